//! Why a command failed, how it then ends, and what its user can do.

use super::{Exit, Failure, SprayError};
use crate::api::tokens::TokensError;
use crate::catalogue::{
    AgentError, AgentState, AuditFault, CatalogueError, JobError, RollbackError,
};
use crate::config::ConfigError;
use crate::copy::CopyError;
use crate::housekeeping::CollectError;
use crate::placing::PlacingError;
use crate::plane::OpenError;
use crate::plane::{PlaneError, ProbeError};
use crate::pointer::PointerError;
use skyspray_certs::key::KeyError;
use skyspray_certs::relay_identity::RelayIdentityError;
use skyspray_certs::store::StoreError;
use skyspray_certs::trust_domain::TrustDomain;
use skyspray_link::seam::files::{FileError, RootError};
use skyspray_wire::ids::{JobId, PartIndex};
use skyspray_wire::name::PlaneName;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A failed command.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// No directory was named and there is no default.
    #[error("no directory of a relay is named and /etc/skyspray does not exist")]
    NoDirectory,
    /// There is no relay in the directory.
    #[error("{} has no relay.toml", dir.display())]
    NotInitialised {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a relay in the directory, whole or in part.
    #[error("{} exists already", found.display())]
    AlreadyInitialised {
        /// What was found.
        found: PathBuf,
    },
    /// The host does not know its own name.
    #[error("the name of this host is not known")]
    HostName,
    /// The command belongs to the server, not to this part of the program.
    #[error("serve is not a command on a directory")]
    ServeHere,
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity cannot be stored or loaded.
    #[error(transparent)]
    Identity(#[from] StoreError),
    /// The identity cannot be made.
    #[error(transparent)]
    IdentityMake(#[from] RelayIdentityError),
    /// A token cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The configuration names another trust domain than the certificates.
    #[error("trust_domain is {configured}, but this relay's certificates are for {issued}")]
    TrustDomainDiffers {
        /// In `relay.toml`.
        configured: TrustDomain,
        /// In the certificates.
        issued: TrustDomain,
    },
    /// The port to enroll at is known only while the relay runs.
    #[error("enroll_listen has port 0 and no relay is running in this directory")]
    NotRunning,
    /// The file of a running relay is damaged.
    #[error("{} does not hold the addresses of a running relay", path.display())]
    Addresses {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// An agent cannot be changed.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A token of the HTTP interface cannot be made or removed.
    #[error(transparent)]
    ApiToken(#[from] TokensError),
    /// A job cannot be changed.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A job that has done what it was to do is not given up.
    #[error("job {job} is committed and cannot be cancelled")]
    JobCommitted {
        /// The job.
        job: JobId,
    },
    /// Parts are being placed, or whether they are cannot be told.
    #[error(transparent)]
    Placing(#[from] PlacingError),
    /// A plane cannot be opened.
    #[error("plane {plane} cannot be used")]
    PlaneOpen {
        /// The plane.
        plane: PlaneName,
        /// Why.
        source: OpenError,
    },
    /// A plane failed its trial.
    #[error("plane {plane} failed its test")]
    PlaneTest {
        /// The plane.
        plane: PlaneName,
        /// What failed.
        source: ProbeError,
    },
    /// A plane failed.
    #[error("plane {plane} failed")]
    Plane {
        /// The plane.
        plane: PlaneName,
        /// Why.
        source: PlaneError,
    },
    /// What was named is not there.
    #[error("{kind} {name} does not exist")]
    Missing {
        /// `agent`, `file` or `job`.
        kind: &'static str,
        /// As it was named.
        name: String,
    },
    /// Stored parts are not what was committed.
    #[error("{failed} of {parts} parts of {name} are not what was committed, first part {first}")]
    Mismatch {
        /// The file.
        name: String,
        /// How many parts differ.
        failed: u64,
        /// How many were read.
        parts: u64,
        /// The first that differs.
        first: PartIndex,
    },
    /// A part whose store has no tag, or none that was noted at its commit.
    #[error("no tag of the store was noted for part {part} of {name}")]
    NoStoredTag {
        /// The file.
        name: String,
        /// The part.
        part: PartIndex,
    },
    /// Another generation took the place of the one that was verified.
    #[error("{name} was replaced while it was verified")]
    Replaced {
        /// The file.
        name: String,
    },
    /// The options of a spray cannot be used.
    #[error(transparent)]
    Spray(#[from] SprayError),
    /// A logical file was not rolled back.
    #[error(transparent)]
    Rollback(RollbackError),
    /// The pointer to the current generation is not what it should be.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// A logical file was not copied.
    #[error(transparent)]
    Copy(Box<CopyError>),
    /// Nobody has said where copies go.
    #[error("plane {plane} names no planes that copies of its files go to")]
    NoReplication {
        /// The plane.
        plane: PlaneName,
    },
    /// Every plane that is to have a copy has it.
    #[error("every plane that is to have {name} has it")]
    NothingToReplicate {
        /// The file.
        name: String,
    },
    /// The name is gone, some of the stored files are not.
    #[error("{failed} stored files could not be deleted")]
    DeleteIncomplete {
        /// How many.
        failed: u64,
    },
    /// The audit trail was changed after it was written.
    #[error("the audit trail is broken")]
    AuditBroken {
        /// Where and how.
        source: AuditFault,
    },
    /// A file of the relay's directory cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory of the relay cannot be opened.
    #[error("the directory of the relay cannot be used")]
    Directory {
        /// Why.
        source: RootError,
    },
    /// A file of the relay's directory cannot be written.
    #[error("the configuration cannot be written")]
    Write {
        /// Why.
        source: FileError,
    },
    /// Nobody reads what is printed.
    #[error("cannot print")]
    Print {
        /// Why.
        source: io::Error,
    },
}

impl Failure for AdminError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoDirectory
            | Self::NotInitialised { .. }
            | Self::AlreadyInitialised { .. }
            | Self::HostName
            | Self::ServeHere
            | Self::Config(_)
            | Self::TrustDomainDiffers { .. }
            | Self::Directory { .. }
            | Self::JobCommitted { .. }
            | Self::NoStoredTag { .. }
            | Self::Spray(_)
            | Self::NoReplication { .. }
            | Self::PlaneOpen { .. } => Exit::Usage,
            Self::Identity(error) => identity_exit(error),
            Self::IdentityMake(_) | Self::Key(_) | Self::Addresses { .. } => Exit::Internal,
            Self::NotRunning | Self::Replaced { .. } => Exit::Temporary,
            Self::Catalogue(error) => catalogue_exit(error),
            Self::Agent(AgentError::Catalogue(error)) | Self::Job(JobError::Catalogue(error)) => {
                catalogue_exit(error)
            }
            Self::Agent(AgentError::Reserved { .. }) => Exit::Usage,
            Self::Agent(_) => Exit::Refused,
            Self::ApiToken(error) => api_token_exit(error),
            Self::Rollback(error) => rollback_exit(error),
            Self::Pointer(error) => error.refusal().code.remedy().into(),
            Self::Copy(error) => error.exit(),
            Self::Job(error) => error.refusal().code.remedy().into(),
            Self::Placing(error) => placing_exit(error),
            Self::PlaneTest { source, .. } => probe_exit(source),
            Self::Plane { source: PlaneError::Full { .. }, .. } => Exit::Limit,
            Self::Plane { source: PlaneError::Missing { .. }, .. } => Exit::Source,
            Self::Plane { source, .. } => source.remedy().into(),
            Self::Missing { .. } => Exit::Source,
            Self::Mismatch { .. } | Self::AuditBroken { .. } => Exit::Mismatch,
            Self::DeleteIncomplete { .. } => Exit::SomeFailed,
            Self::NothingToReplicate { .. } => Exit::NothingToDo,
            Self::File { .. } | Self::Write { .. } | Self::Print { .. } => Exit::Internal,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NoDirectory => "name it with --dir DIR or SKYSPRAY_DIR",
            Self::NotInitialised { .. } => "set it up with skyspray-relay init DIR",
            Self::AlreadyInitialised { .. } => {
                "choose another directory; nothing in this one was changed"
            }
            Self::HostName => "name this relay with --public-name HOST",
            Self::ServeHere => "run skyspray-relay serve DIR",
            Self::Config(ConfigError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                "set it up with skyspray-relay init DIR, or name another directory"
            }
            Self::Config(ConfigError::Catalogue { source }) => source.advice(),
            Self::Config(ConfigError::PlaneUnserved { .. }) => {
                "look at it with skyspray-relay plane list, or name another plane"
            }
            Self::Config(ConfigError::PlanesFrom { .. }) => {
                "correct the values file, or name another with --planes-from or planes_from"
            }
            Self::Config(_) => "correct relay.toml or the argument",
            Self::Identity(_) => "check owner and mode of the identity directory, or restore it",
            Self::TrustDomainDiffers { .. } => "set trust_domain back to what it was",
            Self::NotRunning => "start skyspray-relay serve, or set a port in relay.toml",
            Self::Addresses { .. } => "restart the relay, which writes the file anew",
            Self::Catalogue(error) => catalogue_advice(error),
            Self::Agent(error) => agent_advice(error),
            Self::ApiToken(error) => api_token_advice(error),
            Self::Rollback(error) => rollback_advice(error),
            Self::Pointer(_) => {
                "test the plane with skyspray-relay plane test NAME; the relay tries again as well"
            }
            Self::Copy(error) => error.advice(),
            Self::JobCommitted { .. } => {
                "a logical file is removed with skyspray-relay file remove PLANE:NAME"
            }
            Self::Job(_) => "look at it with skyspray-relay job show JOB",
            Self::Placing(error) => placing_advice(error),
            Self::PlaneOpen { .. } | Self::PlaneTest { .. } => {
                "check url in relay.toml, the mount, and the rights of this user there"
            }
            Self::Plane { source: PlaneError::Full { .. }, .. } => "make room on the plane",
            Self::Plane { .. } => "test the plane with skyspray-relay plane test NAME",
            Self::Missing { .. } => "list what there is with the list command",
            Self::Replaced { .. } => "run the command again",
            Self::Spray(_) => "correct the options; skyspray-relay spray --help has all",
            Self::NoReplication { .. } => "name them with --to PLANE or replication in relay.toml",
            Self::NothingToReplicate { .. } => "there is nothing to do",
            Self::NoStoredTag { .. } => {
                "only object stores have such tags; verify with --mode full or --mode size"
            }
            Self::Mismatch { .. } => "spray the file again; check the disks of the plane",
            Self::DeleteIncomplete { .. } => {
                "run skyspray-relay collect later; see the log lines above"
            }
            Self::AuditBroken { .. } => "compare the catalogue with a backup",
            Self::Directory { .. } | Self::File { .. } | Self::Write { .. } => {
                "check the directory and the rights of this user there"
            }
            Self::IdentityMake(_) | Self::Key(_) => "check the clock of this host",
            Self::Print { .. } => "check where the output goes",
        }
    }

    fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Copy(error) => error.hpcc_number(),
            _ => None,
        }
    }
}

impl From<CopyError> for AdminError {
    fn from(error: CopyError) -> Self {
        Self::Copy(Box::new(error))
    }
}

impl From<CollectError> for AdminError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Catalogue(error) => error.into(),
            CollectError::Job(error) => error.into(),
            CollectError::Plane { plane, source } => Self::Plane { plane, source },
            // Worth trying again, like a catalogue that others hold.
            CollectError::InDoubt { .. } => CatalogueError::Busy.into(),
        }
    }
}

fn identity_exit(error: &StoreError) -> Exit {
    match error {
        StoreError::Io { .. } => Exit::Internal,
        _ => Exit::Usage,
    }
}

fn placing_exit(error: &PlacingError) -> Exit {
    match error {
        PlacingError::Catalogue(error) => catalogue_exit(error),
        PlacingError::Taken { .. } => Exit::Temporary,
        PlacingError::File { .. } => Exit::Internal,
    }
}

fn agent_advice(error: &AgentError) -> &'static str {
    match error {
        AgentError::State { state: AgentState::Revoked, .. } => {
            "a revoked name is not used again; add the edge under another name"
        }
        AgentError::State { state: AgentState::Enrolled, .. } => {
            "change its rules with skyspray-relay agent allow NAME RULE; \
             a lost identity is revoked and the edge added under another name"
        }
        AgentError::Reserved { .. } => "choose another name",
        _ => "look at it with skyspray-relay agent show NAME",
    }
}

fn placing_advice(error: &PlacingError) -> &'static str {
    match error {
        PlacingError::Catalogue(error) => catalogue_advice(error),
        PlacingError::Taken { .. } => "run the command again",
        PlacingError::File { .. } => "check the directory and the rights of this user there",
    }
}

fn api_token_exit(error: &TokensError) -> Exit {
    match error {
        TokensError::Exists { .. } => Exit::Refused,
        TokensError::Missing { .. } => Exit::Source,
        TokensError::TooMany => Exit::Limit,
        TokensError::Damaged { .. } | TokensError::Writable { .. } => Exit::Usage,
        TokensError::File { .. } => Exit::Internal,
    }
}

fn api_token_advice(error: &TokensError) -> &'static str {
    match error {
        TokensError::Exists { .. } => {
            "choose another name, or remove it first: skyspray-relay api-token remove NAME"
        }
        TokensError::Missing { .. } => "list what there is: skyspray-relay api-token list",
        TokensError::TooMany => "remove those that are not used any more",
        TokensError::Damaged { .. } => "restore api-tokens.toml, or remove it and make tokens anew",
        TokensError::Writable { .. } => "take the right to write it from others: chmod go-w",
        TokensError::File { .. } => "check the directory and the rights of this user there",
    }
}

/// How a command ends whose catalogue failed.
pub(crate) fn catalogue_exit(error: &CatalogueError) -> Exit {
    match error {
        CatalogueError::Busy | CatalogueError::Unavailable { .. } => Exit::Temporary,
        CatalogueError::Full => Exit::Limit,
        CatalogueError::Open { .. }
        | CatalogueError::Connect { .. }
        | CatalogueError::Untrusted { .. }
        | CatalogueError::UrlFile { .. }
        | CatalogueError::Schema { .. }
        | CatalogueError::PasswordFile { .. }
        | CatalogueError::Newer { .. } => Exit::Usage,
        _ => Exit::Internal,
    }
}

/// What can be done about a catalogue that failed.
pub(crate) fn catalogue_advice(error: &CatalogueError) -> &'static str {
    match error {
        CatalogueError::Busy => "run the command again",
        CatalogueError::Unavailable { .. } => {
            "run the command again in a while; if it goes on, check the database server"
        }
        CatalogueError::Connect { .. } => {
            "check host, name, password and certificate: catalogue and catalogue_password_file in \
             relay.toml"
        }
        CatalogueError::Untrusted { .. } => {
            "name the file of the authority that issued its certificate as sslrootcert in the \
             catalogue's URL, and the host as the certificate does"
        }
        CatalogueError::UrlFile { .. } => "correct the catalogue's URL, or who may read the file",
        CatalogueError::Schema { .. } => {
            "create a schema and put it first on the role's search_path"
        }
        CatalogueError::PasswordFile { .. } => {
            "correct catalogue_password_file in relay.toml, or who may read the file"
        }
        CatalogueError::Full => "make room on the disk of the catalogue",
        CatalogueError::Newer { .. } => "use the newer version of this program",
        CatalogueError::Migrate { .. } => {
            "check that the role may create tables, or restore the catalogue"
        }
        _ => "check the catalogue's database, or restore it",
    }
}

fn rollback_advice(error: &RollbackError) -> &'static str {
    match error {
        RollbackError::Layout { .. } => {
            "generations are kept on planes with layout = \"generation\" and keep_generations in \
             relay.toml"
        }
        RollbackError::Replaced { .. } => "run the command again",
        _ => "look at what is kept with skyspray-relay file show PLANE:NAME",
    }
}

fn rollback_exit(error: &RollbackError) -> Exit {
    match error {
        RollbackError::Replaced { .. } => Exit::Temporary,
        RollbackError::Catalogue(error) => catalogue_exit(error),
        RollbackError::Layout { .. } => Exit::Refused,
        RollbackError::Current { .. } => Exit::NothingToDo,
        _ => Exit::Source,
    }
}

fn probe_exit(error: &ProbeError) -> Exit {
    match error {
        ProbeError::Failed { source, .. } => {
            if source.cause == skyspray_link::seam::files::Cause::NoSpace {
                Exit::Limit
            } else {
                Exit::Usage
            }
        }
        ProbeError::Replaces => Exit::Usage,
        ProbeError::ReadsBackOther => Exit::Mismatch,
        ProbeError::Store { source } => source.remedy().into(),
    }
}
