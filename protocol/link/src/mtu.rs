//! How long packets may become.

use quinn::EndpointConfig;
use std::fmt;
use thiserror::Error;

/// The longest packet that is tried on a path, as bytes of UDP payload: [`Mtu::MIN`] to [`Mtu::MAX`].
///
/// Packets begin at [`Mtu::MIN`], which every path carries, and grow up to this as far as the path
/// and the other side take them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mtu(u16);

/// A length that no packet is to have.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("mtu is {found}, expected {} to {}", Mtu::MIN.0, Mtu::MAX.0)]
pub struct MtuError {
    /// The length found.
    pub found: u32,
}

impl Mtu {
    /// What every path of QUIC carries (RFC 9000, 14).
    pub const MIN: Self = Self(1200);

    /// The longest of which ten still go out in one send with segmentation offload.
    pub const MAX: Self = Self(6500);

    /// Accepts a length in range.
    ///
    /// # Errors
    ///
    /// Any other; the operator's to correct.
    pub fn try_new(bytes: u32) -> Result<Self, MtuError> {
        let mtu = u16::try_from(bytes).map(Self).map_err(|_| MtuError { found: bytes })?;
        if (Self::MIN..=Self::MAX).contains(&mtu) {
            Ok(mtu)
        } else {
            Err(MtuError { found: bytes })
        }
    }

    /// The length in bytes of UDP payload.
    pub fn bytes(self) -> u16 {
        self.0
    }

    /// Tells peers that packets of this length are taken, where it is more than they take for granted.
    pub(crate) fn announce(self, endpoint: &mut EndpointConfig) {
        let least = endpoint.get_max_udp_payload_size();
        if u64::from(self.0) > least {
            endpoint.max_udp_payload_size(self.0).expect("QUIC allows 1200 and more");
        }
    }
}

impl Default for Mtu {
    /// What Ethernet leaves behind the headers of IPv6, UDP: 1452.
    fn default() -> Self {
        Self(1452)
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_from_1200_to_6500_are_taken() {
        for bytes in [1200, 1452, 6500] {
            assert_eq!(u32::from(Mtu::try_new(bytes).unwrap().bytes()), bytes);
        }
        for found in [0, 1199, 6501, 8952, 65_536 + 1452] {
            assert_eq!(Mtu::try_new(found).unwrap_err(), MtuError { found });
        }
        let text = MtuError { found: 9000 }.to_string();
        assert_eq!(text, "mtu is 9000, expected 1200 to 6500");
    }
}
