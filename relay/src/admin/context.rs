//! What every command stands on: the host, and an initialised relay's directory, settings,
//! catalogue, identity and planes.

use super::AdminError;
use crate::catalogue::Catalogue;
use crate::config::{Overrides, RelayDir, RelaySettings};
use crate::housekeeping::Planes;
use crate::plane::{ObjectMemory, Plane};
use crate::state::unix_ms;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use skyspray_certs::authority::RELAY_LEAF_LIFE;
use skyspray_certs::store::{MountedStore, RelayStore};
use skyspray_certs::{RelayAddress, RelayIdentity, Term};
use skyspray_link::seam::Clock;
use skyspray_wire::ids::JobId;
use skyspray_wire::name::PlaneName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What a command asks the host for.
#[derive(Debug)]
pub struct Host {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// For keys, tokens and ids.
    pub random: SystemRandom,
}

impl Host {
    /// Milliseconds since 1970, 0 for a clock before that.
    pub fn now_ms(&self) -> i64 {
        unix_ms(self.clock.now())
    }

    /// An id no job has.
    pub(super) fn job_id(&self) -> JobId {
        let mut id = [0; 16];
        self.random.fill(&mut id).expect("the operating system provides random bytes");
        JobId(id)
    }
}

/// On which addresses a running relay listens, as `serve` leaves it in
/// [`RelayDir::addresses_file`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RunningAddresses {
    /// For enrolled edges.
    pub data: SocketAddr,
    /// For enrollment.
    pub enroll: SocketAddr,
    /// For HTTP, where it is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
}

/// An initialised relay.
pub(super) struct Context<'a> {
    pub(super) dir: RelayDir,
    pub(super) settings: RelaySettings,
    pub(super) host: &'a Host,
}

impl<'a> Context<'a> {
    pub(super) fn open(
        dir: RelayDir,
        overrides: &Overrides,
        host: &'a Host,
    ) -> Result<Self, AdminError> {
        let file = dir.config_file();
        if !file.exists() {
            return Err(AdminError::NotInitialised { dir: dir.path().to_owned() });
        }
        let mut settings = RelaySettings::load(&file, overrides)?;
        settings.override_catalogue(overrides.catalogue.as_ref())?;
        Ok(Self { dir, settings, host })
    }

    pub(super) async fn catalogue(&self) -> Result<Catalogue, AdminError> {
        Ok(Catalogue::open(&self.settings.catalogue_place(&self.dir)).await?)
    }

    /// Opens a configured plane.
    pub(super) fn plane(&self, name: &PlaneName) -> Result<Plane, AdminError> {
        let settings = self.settings.plane(name)?;
        Plane::configured(settings, ObjectMemory::default())
            .map_err(|source| AdminError::PlaneOpen { plane: name.clone(), source })
    }

    /// All planes that can be opened.
    pub(super) fn planes(&self) -> Planes {
        let open = |name: &PlaneName| Some((name.clone(), Arc::new(self.plane(name).ok()?)));
        self.settings.planes.keys().filter_map(open).collect()
    }

    /// The address at which an edge enrolls: the configured port or, where any free one was asked
    /// for, that of the running relay.
    pub(super) fn enroll_address(&self) -> Result<RelayAddress, AdminError> {
        let port = match self.settings.enroll_listen.port() {
            0 => self.running()?.enroll.port(),
            port => port,
        };
        self.settings.public_name.with_port(port).ok_or(AdminError::NotRunning)
    }

    fn running(&self) -> Result<RunningAddresses, AdminError> {
        let path = self.dir.addresses_file();
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => AdminError::NotRunning,
            _ => AdminError::File { action: "read", path: path.clone(), source },
        })?;
        serde_json::from_str(&text).map_err(|source| AdminError::Addresses { path, source })
    }
}

/// The relay's keys and certificates, checked to belong to its settings. What replicas share comes with
/// a certificate made at this moment.
///
/// # Errors
///
/// An identity that is missing, damaged or not private, or of another trust domain.
pub fn load_identity(
    dir: &RelayDir,
    settings: &RelaySettings,
    now: SystemTime,
) -> Result<RelayIdentity, AdminError> {
    let identity = match &settings.identity_dir {
        // An absolute path stays what it is.
        Some(shared) => {
            let term = Term { now, life: RELAY_LEAF_LIFE };
            MountedStore::new(dir.path().join(shared)).load(term, &SystemRandom::new())?
        }
        None => RelayStore::open(&dir.identity())?.load()?,
    };
    if *identity.trust_domain() != settings.trust_domain {
        return Err(AdminError::TrustDomainDiffers {
            configured: settings.trust_domain.clone(),
            issued: identity.trust_domain().clone(),
        });
    }
    Ok(identity)
}
