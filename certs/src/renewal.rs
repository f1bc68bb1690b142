//! When an identity is renewed, and whether a request to renew it is the rightful one.

use crate::authority::BACKDATE;
use crate::identity::{IdentityGeneration, Validity};
use crate::key::{KeyError, KeyHash, PublicKey};
use ring::rand::SecureRandom;
use std::time::{Duration, SystemTime};

/// The part of its life after which a leaf is renewed at the earliest, in thousandths.
const RENEW_FROM_PERMILLE: u32 = 700;

/// Width of the interval renewals are spread over, in thousandths of the leaf's life.
const RENEW_SPREAD_PERMILLE: u32 = 200;

/// The moment to renew a leaf: at 70 to 90 % of its life, uniformly, so that a fleet that was
/// enrolled together does not renew together.
///
/// # Errors
///
/// [`KeyError::RandomFailed`].
pub fn renewal_time(validity: Validity, rng: &dyn SecureRandom) -> Result<SystemTime, KeyError> {
    let mut bytes = [0; 4];
    rng.fill(&mut bytes).map_err(|_| KeyError::RandomFailed)?;
    let jitter = u32::from_le_bytes(bytes) % (RENEW_SPREAD_PERMILLE + 1);
    let issued = validity.not_before + BACKDATE;
    let life = validity.not_after.duration_since(issued).unwrap_or(Duration::ZERO);
    Ok(issued + life * (RENEW_FROM_PERMILLE + jitter) / 1000)
}

/// What the relay's record says about an agent's identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IssuedIdentity {
    /// How often the identity has been issued.
    pub generation: IdentityGeneration,
    /// Hash of the session key it was last issued for.
    pub key_hash: KeyHash,
}

/// What a request to renew or recover an identity means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RenewalDecision {
    /// The next one: issue for this generation, and record it only if the record is unchanged.
    Advance(IdentityGeneration),
    /// The request that was answered last, asked again because the answer was lost: answer the
    /// same generation and key again, change nothing.
    Repeat,
    /// Somebody else has renewed with the same generation: the identity exists twice. Lock it.
    Diverged,
}

/// Decides a request that claims `claimed` as its current generation and brings `session_key`.
pub fn decide_renewal(
    issued: IssuedIdentity,
    claimed: IdentityGeneration,
    session_key: &PublicKey,
) -> RenewalDecision {
    if claimed == issued.generation {
        RenewalDecision::Advance(claimed.next())
    } else if claimed.next() == issued.generation && session_key.hash() == issued.key_hash {
        RenewalDecision::Repeat
    } else {
        RenewalDecision::Diverged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PrivateKey;
    use ring::rand::SystemRandom;

    #[test]
    fn a_leaf_is_renewed_between_70_and_90_percent_of_its_life() {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let life = Duration::from_secs(1000);
        let validity = Validity { not_before: issued - BACKDATE, not_after: issued + life };

        for _ in 0..1000 {
            let after = renewal_time(validity, &SystemRandom::new()).unwrap();
            let after = after.duration_since(issued).unwrap();
            assert!((Duration::from_secs(700)..=Duration::from_secs(900)).contains(&after));
        }
    }

    #[test]
    fn the_second_edge_with_one_identity_is_found_out() {
        let rng = SystemRandom::new();
        let (mine, other) =
            (PrivateKey::generate(&rng).unwrap(), PrivateKey::generate(&rng).unwrap());
        let (mine, other) = (mine.public_key(), other.public_key());
        let issued = IssuedIdentity { generation: IdentityGeneration(7), key_hash: mine.hash() };
        let decide = |claimed, key| decide_renewal(issued, IdentityGeneration(claimed), key);

        assert_eq!(decide(7, other), RenewalDecision::Advance(IdentityGeneration(8)));
        assert_eq!(decide(6, mine), RenewalDecision::Repeat);
        assert_eq!(decide(6, other), RenewalDecision::Diverged);
        assert_eq!(decide(5, mine), RenewalDecision::Diverged);
        assert_eq!(decide(8, mine), RenewalDecision::Diverged);
    }
}
