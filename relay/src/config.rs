//! What an operator sets: `relay.toml` as written, and the settings it becomes, once, at start.
//!
//! Nothing here opens a plane or the catalogue.

mod api;
mod catalogue;
mod directory;
mod hpcc;
mod object;
mod plane;
mod template;
mod units;

#[cfg(test)]
mod tests;

pub use api::{ApiProtection, ApiTable};
pub use catalogue::CatalogueArg;
pub use directory::RelayDir;
pub use hpcc::{HpccError, HpccPlanes, Ignored, SECRETS_DIR, Unserved, UnservedReason};
pub use object::{Checksum, Credentials, ObjectConfigError, ObjectKind, ObjectSettings};
pub use plane::{Category, PlaneArg, PlaneArgError, PlaneConfigError, PlaneSettings, PlaneTable};
pub use template::NewRelay;
pub use units::{Size, UnitError, parse_duration};

use crate::catalogue::{CatalogueUrl, CatalogueUrlError};
use serde::Deserialize;
use skyspray_certs::address::{RelayAddress, RelayAddressError};
use skyspray_certs::trust_domain::{TrustDomain, TrustDomainError};
use skyspray_link::mtu::{Mtu, MtuError};
use skyspray_wire::name::{LabelError, PlaneName};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `relay.toml` as written by a person. Turned into [`RelaySettings`] once, at start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayFile {
    /// The name or address by which edges reach this relay, without a port.
    pub public_name: String,
    /// DNS suffix of every certificate name; must be the one the relay was initialised with.
    pub trust_domain: String,
    /// Where enrolled edges connect. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where edges enroll. Port 0 takes any free one.
    pub enroll_listen: SocketAddr,
    /// Where the HTTP interface listens; absent, there is none.
    pub api_listen: Option<SocketAddr>,
    /// How the HTTP interface is protected.
    #[serde(default)]
    pub api: ApiTable,
    /// Where the catalogue is: `sqlite`, or the URL of a PostgreSQL database without a password.
    pub catalogue: Option<CatalogueArg>,
    /// The file that holds the password for it.
    pub catalogue_password_file: Option<PathBuf>,
    /// Where edges are told to connect, as `host:port`; empty for the public name and the port.
    #[serde(default)]
    pub advertise: Vec<String>,
    /// The directory of what replicas share, where it is not this relay's own `identity`.
    pub identity_dir: Option<PathBuf>,
    /// What the relay may use.
    #[serde(default)]
    pub limits: LimitsTable,
    /// An HPCC Helm values file whose planes are served as well; relative to the directory of
    /// this file.
    pub planes_from: Option<PathBuf>,
    /// Where the secrets that such a file names are: a directory for each.
    pub secrets_dir: Option<PathBuf>,
    /// The planes by name.
    #[serde(default)]
    pub plane: BTreeMap<String, PlaneTable>,
}

/// `[limits]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsTable {
    /// Memory for chunks on their way, for the whole process.
    pub memory: Size,
    /// Sessions served at once. One more is refused as busy, not queued.
    pub sessions_max: u32,
    /// Sessions of one agent at once.
    pub sessions_per_agent: u32,
    /// The longest packet that is tried on a path, in bytes of UDP payload.
    pub mtu: u32,
}

impl Default for LimitsTable {
    fn default() -> Self {
        let mtu = Mtu::default().bytes().into();
        Self { memory: Size(128 << 20), sessions_max: 256, sessions_per_agent: 4, mtu }
    }
}

/// The settings of a relay, known to be usable together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RelaySettings {
    /// The name or address by which edges reach this relay.
    pub public_name: PublicName,
    /// DNS suffix of every certificate name.
    pub trust_domain: TrustDomain,
    /// Where enrolled edges connect.
    pub listen: SocketAddr,
    /// Where edges enroll.
    pub enroll_listen: SocketAddr,
    /// Where the HTTP interface listens, if it does.
    pub api_listen: Option<SocketAddr>,
    /// How the HTTP interface is protected.
    pub api: ApiProtection,
    /// Where the catalogue is.
    pub catalogue: CatalogueUrl,
    /// The file that holds the password for it.
    pub catalogue_password_file: Option<PathBuf>,
    /// Where edges are told to connect, in this order, [`ADVERTISE_MAX`] at most; empty for the public
    /// name and the port of the data listener.
    pub advertise: Vec<RelayAddress>,
    /// The directory of what replicas share, never written to; `None` for this relay's own `identity`.
    pub identity_dir: Option<PathBuf>,
    /// What the relay may use.
    pub limits: Limits,
    /// The planes by name, those of a values file among them.
    pub planes: BTreeMap<PlaneName, PlaneSettings>,
    /// What the values file says, if there is one.
    pub hpcc: HpccPlanes,
}

/// Settings given when a command starts; they count more than `relay.toml`.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// An HPCC Helm values file; relative to the working directory.
    pub planes_from: Option<PathBuf>,
    /// Where the catalogue is; see [`RelaySettings::override_catalogue`].
    pub catalogue: Option<CatalogueArg>,
}

/// Limits known to be usable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes for chunks on their way, at least [`MEMORY_BYTES_MIN`].
    pub memory_bytes: u64,
    /// Sessions served at once.
    pub sessions_max: NonZeroU32,
    /// Sessions of one agent at once.
    pub sessions_per_agent: NonZeroU32,
    /// How long packets may become.
    pub mtu: Mtu,
}

/// Most addresses that edges are told: as many as an answer to an enrollment has room for.
pub const ADVERTISE_MAX: usize = 16;

/// Smallest memory budget, in bytes: 16 MiB, which is a few chunks of a file plane.
pub const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// The host part of this relay's addresses, as edges see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicName(String);

impl PublicName {
    /// Accepts a DNS name, an IPv4 address or an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match RelayAddress::parse(&format!("{text}:1")) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(ConfigError::PublicName { text: text.chars().take(80).collect() }),
        }
    }

    /// The address of a listener of this relay; `None` for port 0, which no listener has.
    pub fn with_port(&self, port: u16) -> Option<RelayAddress> {
        RelayAddress::parse(&format!("{}:{port}", self.0)).ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a relay's configuration cannot be used. All for the operator to correct.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML, or has a key or value that is not known.
    #[error("{} line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// `public_name` is no host.
    #[error("public name {text:?} is not a host name or IP address")]
    PublicName {
        /// What it is, cut to 80 characters.
        text: String,
    },
    /// `trust_domain` is no domain.
    #[error("trust_domain is not usable")]
    TrustDomain {
        /// What is wrong with it.
        source: TrustDomainError,
    },
    /// What says where the catalogue is cannot be used.
    #[error(transparent)]
    Catalogue {
        /// What is wrong with it.
        source: CatalogueUrlError,
    },
    /// An address that edges are to be told is none.
    #[error("advertise has an unusable address")]
    Advertise {
        /// What is wrong with it.
        source: RelayAddressError,
    },
    /// More addresses than edges can be told.
    #[error("advertise has {found} addresses, expected at most {ADVERTISE_MAX}")]
    AdvertiseTooMany {
        /// How many there are.
        found: usize,
    },
    /// The two listeners would share one port.
    #[error("listen and enroll_listen are both {address}, expected two addresses")]
    SameListener {
        /// The address.
        address: SocketAddr,
    },
    /// A certificate without its key, or the other way round.
    #[error("[api] has no {key}, expected both tls_cert and tls_key or neither")]
    ApiHalf {
        /// The key that is missing.
        key: &'static str,
    },
    /// Both TLS and none.
    #[error("[api] has plaintext = true beside tls_cert and tls_key, expected one of the two")]
    ApiBoth,
    /// A limit below what the relay needs.
    #[error("{key} is {found}, expected at least {min}")]
    TooSmall {
        /// The key.
        key: &'static str,
        /// What it is set to.
        found: Size,
        /// The least it may be.
        min: Size,
    },
    /// A count that must not be zero.
    #[error("{key} is 0, expected at least 1")]
    Zero {
        /// The key.
        key: &'static str,
    },
    /// Packets that are too short or too long.
    #[error("[limits] cannot be used")]
    Mtu {
        /// What is wrong with it.
        #[from]
        source: MtuError,
    },
    /// The name of a plane breaks the rules.
    #[error("plane has an unusable name")]
    PlaneName {
        /// What is wrong with it.
        source: LabelError,
    },
    /// A plane's table cannot be used.
    #[error("plane {plane}")]
    Plane {
        /// The plane.
        plane: PlaneName,
        /// What is wrong with it.
        source: PlaneConfigError,
    },
    /// No plane has this name.
    #[error("plane {plane} is not in relay.toml")]
    PlaneUnknown {
        /// The name asked for.
        plane: PlaneName,
    },
    /// A values file cannot be used.
    #[error("planes_from cannot be used")]
    PlanesFrom {
        /// What is wrong with it.
        #[from]
        source: HpccError,
    },
    /// `relay.toml` and the values file have planes of one name.
    #[error("plane {plane} is in relay.toml and in the values file of planes_from")]
    PlaneTwice {
        /// The name.
        plane: PlaneName,
    },
    /// The values file has this plane, and it is not served.
    #[error("plane {plane} of the values file is not served")]
    PlaneUnserved {
        /// The name asked for.
        plane: PlaneName,
        /// Why.
        source: Box<UnservedReason>,
    },
}

impl RelaySettings {
    /// Reads and checks `relay.toml`, and the values file that it or `overrides` names.
    ///
    /// # Errors
    ///
    /// The operator's mistake; see [`ConfigError`].
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, overrides)
    }

    /// Checks the text of the `relay.toml` at `path`, and the values file.
    ///
    /// # Errors
    ///
    /// The operator's mistake; see [`ConfigError`].
    pub fn parse(text: &str, path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let file: RelayFile = toml::from_str(text).map_err(|error| {
            let end = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count();
            let message = error.message().replace('\n', ", ");
            ConfigError::Syntax { path: path.to_owned(), line, message }
        })?;
        let home = path.parent().unwrap_or(Path::new(""));
        let of_file = file.planes_from.as_ref().map(|path| home.join(path));
        let planes_from = overrides.planes_from.clone().or(of_file);
        let secrets_dir = file.secrets_dir.as_ref().map(|path| home.join(path));
        let mut settings = Self::try_from(file)?;
        if let Some(values) = planes_from {
            let secrets_dir = secrets_dir.as_deref().unwrap_or(Path::new(SECRETS_DIR));
            settings.hpcc = HpccPlanes::load(&values, secrets_dir)?;
            settings.hpcc.add_to(&mut settings.planes)?;
        }
        Ok(settings)
    }

    /// The settings of a plane.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PlaneUnserved`] with the reason, or [`ConfigError::PlaneUnknown`].
    pub fn plane(&self, name: &PlaneName) -> Result<&PlaneSettings, ConfigError> {
        if let Some(settings) = self.planes.get(name) {
            return Ok(settings);
        }
        let plane = name.clone();
        match self.hpcc.unserved.get(name.as_str()) {
            Some(unserved) => {
                let source = Box::new(unserved.reason.clone());
                Err(ConfigError::PlaneUnserved { plane, source })
            }
            None => Err(ConfigError::PlaneUnknown { plane }),
        }
    }
}

impl TryFrom<RelayFile> for RelaySettings {
    type Error = ConfigError;

    /// Takes what is in the file itself, without its values file.
    fn try_from(file: RelayFile) -> Result<Self, ConfigError> {
        if file.listen == file.enroll_listen && file.listen.port() != 0 {
            return Err(ConfigError::SameListener { address: file.listen });
        }
        let catalogue = match file.catalogue {
            Some(said) => said.url()?,
            None => CatalogueUrl::default(),
        };
        let advertise = advertised(&file.advertise)?;
        let mut planes = BTreeMap::new();
        for (name, table) in file.plane {
            let plane =
                PlaneName::parse(&name).map_err(|source| ConfigError::PlaneName { source })?;
            let settings = PlaneSettings::try_from(table)
                .map_err(|source| ConfigError::Plane { plane: plane.clone(), source })?;
            planes.insert(plane, settings);
        }
        Ok(Self {
            public_name: PublicName::parse(&file.public_name)?,
            trust_domain: TrustDomain::parse(&file.trust_domain)
                .map_err(|source| ConfigError::TrustDomain { source })?,
            listen: file.listen,
            enroll_listen: file.enroll_listen,
            api_listen: file.api_listen,
            api: ApiProtection::try_from(file.api)?,
            catalogue,
            catalogue_password_file: file.catalogue_password_file,
            advertise,
            identity_dir: file.identity_dir,
            limits: Limits::try_from(file.limits)?,
            planes,
            hpcc: HpccPlanes::default(),
        })
    }
}

fn advertised(written: &[String]) -> Result<Vec<RelayAddress>, ConfigError> {
    if written.len() > ADVERTISE_MAX {
        return Err(ConfigError::AdvertiseTooMany { found: written.len() });
    }
    let parse = |text: &String| {
        RelayAddress::parse(text).map_err(|source| ConfigError::Advertise { source })
    };
    written.iter().map(parse).collect()
}

impl TryFrom<LimitsTable> for Limits {
    type Error = ConfigError;

    fn try_from(table: LimitsTable) -> Result<Self, ConfigError> {
        let at_least_one = |key, value| NonZeroU32::new(value).ok_or(ConfigError::Zero { key });
        if table.memory.0 < MEMORY_BYTES_MIN {
            return Err(ConfigError::TooSmall {
                key: "limits.memory",
                found: table.memory,
                min: Size(MEMORY_BYTES_MIN),
            });
        }
        Ok(Self {
            memory_bytes: table.memory.0,
            sessions_max: at_least_one("limits.sessions_max", table.sessions_max)?,
            sessions_per_agent: at_least_one(
                "limits.sessions_per_agent",
                table.sessions_per_agent,
            )?,
            mtu: Mtu::try_new(table.mtu)?,
        })
    }
}
