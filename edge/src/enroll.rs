//! The `enroll` command: keys made here, an identity from the relay that the token pins, and
//! `edge.toml`.
//!
//! The keys are stored before the token is used, so an answer that is lost is asked for again with
//! the bound key.

use crate::cli::EnrollArgs;
use crate::config::{Access, ConfigError, Directories, EdgeConfig, Limits, ZoneConfig};
use crate::context::{Host, unix_ms};
use crate::exit::{Exit, Explain};
use crate::output::{Reporter, utc_text};
use crate::session::{ConnectError, IssueError, ask_enroll, binding, dial};
use rustls::ClientConfig;
use serde::Serialize;
use skyspray_certs::enroll::{EnrollRequest, Grant, GrantError, Join, Recover};
use skyspray_certs::key::KeyError;
use skyspray_certs::store::{EdgeStore, StoreError};
use skyspray_certs::tls::{TlsError, edge_enroll_config};
use skyspray_certs::token::{TOKEN_BYTES_MAX, TokenError};
use skyspray_certs::{EdgeIdentity, EnrollToken, IdentityGeneration, PendingEnrollment};
use skyspray_link::seam::files::OsTree;
use skyspray_link::session::CloseCode;
use skyspray_link::tls_clock::tls_clock;
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::RefusalCode;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

/// What `--token-file` is for stdin.
const STDIN: &str = "-";

/// Why this edge was not enrolled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// It is enrolled.
    #[error("{} holds the identity of agent {agent} already", path.display())]
    AlreadyEnrolled {
        /// The directory of the identity.
        path: PathBuf,
        /// Whose identity it is.
        agent: AgentName,
    },
    /// The token's file cannot be read.
    #[error("token file {} cannot be read", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token is none.
    #[error("token cannot be used")]
    Token(#[from] TokenError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory of the identity.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No key can be made.
    #[error("key cannot be made")]
    Key(#[from] KeyError),
    /// The token pins nothing TLS could believe.
    #[error("token does not fit TLS")]
    Tls(#[from] TlsError),
    /// No connection to the enrollment listener.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The relay did not issue an identity.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl From<GrantError> for EnrollError {
    fn from(error: GrantError) -> Self {
        Self::Issue(error.into())
    }
}

impl Explain for EnrollError {
    fn exit(&self) -> Exit {
        match self {
            Self::AlreadyEnrolled { .. } | Self::TokenFile { .. } | Self::Token(_) => Exit::Usage,
            Self::Config(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Key(_) | Self::Tls(_) => Exit::Internal,
            Self::Connect(error) => error.exit(),
            Self::Issue(error) => error.exit(),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::AlreadyEnrolled { .. } => "already-enrolled".into(),
            Self::TokenFile { .. } => "token-unreadable".into(),
            Self::Token(_) => "token-invalid".into(),
            Self::Config(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Key(_) | Self::Tls(_) => "internal".into(),
            Self::Connect(error) => error.code(),
            Self::Issue(error) => error.code(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::AlreadyEnrolled { .. } => {
                Some("add --force to replace it, or name another directory with --dir".into())
            }
            Self::Token(_) => {
                Some("copy the whole line that skyspray-relay agent add printed".into())
            }
            // What is not trusted here is not the relay this edge knows, but the one of the token.
            Self::Connect(ConnectError::RelayNotTrusted { .. }) => Some(
                "check that the token was made on this very relay, and this host's clock".into(),
            ),
            Self::Config(error) => error.advice(),
            Self::Store(error) => error.advice(),
            Self::Connect(error) => error.advice(),
            Self::Issue(error) => error.advice(),
            _ => None,
        }
    }
}

#[derive(Debug, Serialize)]
struct Enrolled {
    agent: String,
    relays: Vec<String>,
    generation: u64,
    valid_until_ms: i64,
    landing_zones: Vec<Zone>,
}

#[derive(Debug, Serialize)]
struct Zone {
    name: String,
    path: PathBuf,
    write: bool,
}

#[derive(Debug, Serialize)]
struct NoZone {
    config_file: PathBuf,
}

/// Enrolls this edge and says as what.
///
/// # Errors
///
/// See [`EnrollError`]. After any of them the same command can be run again.
pub async fn enroll(
    args: &EnrollArgs,
    directories: &Directories,
    host: &Host,
    reporter: &Reporter,
) -> Result<Exit, EnrollError> {
    directories.create()?;
    let store = EdgeStore::create(&directories.identity())?;
    let _lock = store.try_lock()?.ok_or(IssueError::Busy)?;
    refuse_second(&store, directories, args.force)?;
    let token = read_token(&args.token_file)?;
    let config = configure(args, directories, &host.cwd)?;
    warn_of_zones(&config.zones, reporter);
    let (pending, again) = pending(&store, &token)?;
    let enrolling = Enrolling { token: &token, pending: &pending, host, again };
    let grant = enrolling.run().await?;
    let identity = pending.accept(grant)?;
    store.save(&identity)?;
    forget_token(&args.token_file, reporter);
    say(&identity, &config.zones, reporter)?;
    note_no_zone(&config.zones, directories, reporter);
    Ok(Exit::Done)
}

/// An edge without landing zones can ask, but neither send nor keep anything.
fn note_no_zone(zones: &[ZoneConfig], directories: &Directories, reporter: &Reporter) {
    if zones.is_empty() {
        let fields = NoZone { config_file: directories.config_file() };
        let text = "no landing zone: add [landing_zone.NAME] to edge.toml before a spray";
        reporter.note("no-landing-zone", &fields, text);
    }
}

fn refuse_second(
    store: &EdgeStore,
    directories: &Directories,
    force: bool,
) -> Result<(), EnrollError> {
    match store.load() {
        Err(StoreError::Missing { .. }) => Ok(()),
        _ if force => Ok(()),
        Ok(identity) => {
            let path = directories.identity();
            Err(EnrollError::AlreadyEnrolled { path, agent: identity.agent })
        }
        Err(error) => Err(error.into()),
    }
}

fn read_token(path: &Path) -> Result<EnrollToken, EnrollError> {
    let mut line = Zeroizing::new(String::new());
    // Some room for blanks around the token; more is no token.
    let limit = 2 * TOKEN_BYTES_MAX as u64;
    let read = if path == Path::new(STDIN) {
        io::stdin().take(limit).read_to_string(&mut line)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_string(&mut line))
    };
    read.map_err(|source| EnrollError::TokenFile { path: path.to_owned(), source })?;
    Ok(EnrollToken::parse(&line)?)
}

/// Writes `edge.toml` with the zones asked for. One that says the same already is left alone, as
/// after an enrollment that did not come to its end.
fn configure(
    args: &EnrollArgs,
    directories: &Directories,
    cwd: &Path,
) -> Result<EdgeConfig, EnrollError> {
    let zones = args.landing_zones.iter().map(|zone| zone.to_config(cwd)).collect();
    let zones = ZoneConfig::check_all(zones)?;
    match EdgeConfig::load(directories) {
        Ok(found) if zones.is_empty() || found.zones == zones => return Ok(found),
        Ok(_) => return Err(ConfigError::Exists { path: directories.config_file() }.into()),
        Err(ConfigError::Missing { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let config = EdgeConfig { relay_addresses: Vec::new(), zones, limits: Limits::default() };
    config.write_new(directories)?;
    Ok(config)
}

fn warn_of_zones(zones: &[ZoneConfig], reporter: &Reporter) {
    for zone in zones {
        if let Err(error) = OsTree::open(&zone.path) {
            reporter.warn("zone-unusable", format_args!("landing zone {}: {error}", zone.name));
        }
    }
}

/// The keys to enroll with, stored; and whether they may have been sent before.
fn pending(
    store: &EdgeStore,
    token: &EnrollToken,
) -> Result<(PendingEnrollment, bool), EnrollError> {
    if let Some(pending) = store.load_pending()?
        && (&pending.agent, &pending.pin) == (&token.agent, &token.pin)
        && pending.trust_domain == token.trust_domain
    {
        return Ok((pending, true));
    }
    let pending = PendingEnrollment::create(token, &ring::rand::SystemRandom::new())?;
    store.save_pending(&pending)?;
    Ok((pending, false))
}

/// One enrollment, on as many connections as it takes.
struct Enrolling<'a> {
    token: &'a EnrollToken,
    pending: &'a PendingEnrollment,
    host: &'a Host,
    /// Whether an earlier run may have used the token with these keys.
    again: bool,
}

impl Enrolling<'_> {
    async fn run(&self) -> Result<Grant, EnrollError> {
        let error = match self.ask(Ask::Join).await {
            Err(EnrollError::Issue(error)) => error,
            other => return other,
        };
        let answer_lost = match &error {
            IssueError::Session(_) => true,
            IssueError::Refused(refusal) => {
                self.again && refusal.code == RefusalCode::TokenRejected
            }
            _ => false,
        };
        if !answer_lost {
            return Err(error.into());
        }
        tracing::info!(%error, "asking for the identity with the bound key");
        // If that fails too, the first answer is the one to act on.
        self.ask(Ask::Recover).await.map_err(|_| error.into())
    }

    async fn ask(&self, ask: Ask) -> Result<Grant, EnrollError> {
        let token = self.token;
        let line =
            dial(&self.host.sockets, &token.address, &token.trust_domain, &self.tls()?).await?;
        let rng = ring::rand::SystemRandom::new();
        let asked = async {
            let (keys, binding) = (self.pending.keys(), binding(&line.session)?);
            let request = match ask {
                Ask::Join => EnrollRequest::Join(Join::create(token, keys, &binding, &rng)?),
                Ask::Recover => {
                    let none = IdentityGeneration(0);
                    let agent = &token.agent;
                    EnrollRequest::Recover(Recover::create(agent, none, keys, &binding, &rng)?)
                }
            };
            ask_enroll(&line.session, &request).await
        };
        let granted = asked.await;
        line.close(CloseCode::Done).await;
        Ok(granted?)
    }

    fn tls(&self) -> Result<ClientConfig, TlsError> {
        let clock = tls_clock(Arc::clone(&self.host.clock));
        edge_enroll_config(&[self.token.pin], &self.token.trust_domain, clock)
    }
}

#[derive(Clone, Copy)]
enum Ask {
    Join,
    Recover,
}

/// A used token is worth nothing, and its file only invites to try it again.
fn forget_token(path: &Path, reporter: &Reporter) {
    if path == Path::new(STDIN) {
        return;
    }
    if let Err(error) = std::fs::remove_file(path) {
        let path = path.display();
        reporter.warn("token-kept", format_args!("token file {path} cannot be removed: {error}"));
    }
}

fn say(
    identity: &EdgeIdentity,
    zones: &[ZoneConfig],
    reporter: &Reporter,
) -> Result<(), IssueError> {
    let until = unix_ms(identity.identity()?.validity.not_after);
    let zone = |zone: &ZoneConfig| Zone {
        name: zone.name.to_string(),
        path: zone.path.clone(),
        write: zone.access != Access::Read,
    };
    let fields = Enrolled {
        agent: identity.agent.to_string(),
        relays: identity.addresses.iter().map(ToString::to_string).collect(),
        generation: identity.generation.0,
        valid_until_ms: until,
        landing_zones: zones.iter().map(zone).collect(),
    };
    let mut text = format!(
        "enrolled as {} at {}, valid until {} and renewed by itself",
        fields.agent,
        fields.relays.join(", "),
        utc_text(until)
    );
    for Zone { name, path, write } in &fields.landing_zones {
        let may = if *write { "read and write" } else { "read" };
        text.push_str(&format!("\nlanding zone {name}: {} ({may})", path.display()));
    }
    reporter.result("enrolled", &fields, text);
    Ok(())
}

#[cfg(test)]
mod tests;
