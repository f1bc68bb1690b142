//! `[api]`: how the HTTP interface is protected.

use super::ConfigError;
use serde::Deserialize;
use std::path::PathBuf;

/// `[api]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiTable {
    /// Its certificate and those above it, in PEM.
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether it may listen without TLS on addresses that others can reach.
    pub plaintext: bool,
}

/// How the HTTP interface is protected on its way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ApiProtection {
    /// Not at all; only this host may reach it.
    #[default]
    Loopback,
    /// Not by the relay: whoever runs it says that something else does.
    Plaintext,
    /// TLS with these files. A path that is relative is below the relay's directory.
    Tls {
        /// Certificates, in PEM.
        cert: PathBuf,
        /// Their private key, in PEM.
        key: PathBuf,
    },
}

impl TryFrom<ApiTable> for ApiProtection {
    type Error = ConfigError;

    fn try_from(table: ApiTable) -> Result<Self, ConfigError> {
        match (table.tls_cert, table.tls_key, table.plaintext) {
            (Some(cert), Some(key), false) => Ok(Self::Tls { cert, key }),
            (None, None, true) => Ok(Self::Plaintext),
            (None, None, false) => Ok(Self::Loopback),
            (Some(_), None, _) => Err(ConfigError::ApiHalf { key: "tls_key" }),
            (None, Some(_), _) => Err(ConfigError::ApiHalf { key: "tls_cert" }),
            (Some(_), Some(_), true) => Err(ConfigError::ApiBoth),
        }
    }
}
