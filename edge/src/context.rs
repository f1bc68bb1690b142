//! What every command that talks to a relay works with: opened once, then only lent.

use crate::config::{Directories, EdgeConfig};
use crate::exit::Explain;
use crate::journal::Journal;
use crate::landing::LandingZones;
use crate::output::Reporter;
use crate::session::{Connector, SocketFactory};
use crate::stop::Stop;
use skyspray_link::seam::{Clock, Random, SystemClock, SystemRandom};
use skyspray_wire::ids::JobId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// How a command fails: with something that knows its exit status, code and remedy.
pub type CommandError = Box<dyn Explain + Send>;

impl<E: Explain + Send + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

/// The host as a command sees it; a test gives others.
#[derive(Clone, Debug)]
pub struct Host {
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// UDP sockets.
    pub sockets: SocketFactory,
    /// The directory that plain relative paths are relative to.
    pub cwd: PathBuf,
    /// Whether to stop.
    pub stop: Stop,
}

impl Host {
    /// The host this process runs on, in `cwd`.
    pub fn system(cwd: PathBuf, stop: Stop) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            sockets: SocketFactory::system(),
            cwd,
            stop,
        }
    }
}

/// An enrolled edge, ready to run a command.
#[derive(Debug)]
pub struct Context {
    /// Where configuration and state are.
    pub directories: Directories,
    /// The configuration.
    pub config: EdgeConfig,
    /// The landing zones of the configuration.
    pub zones: LandingZones,
    /// Opens sessions.
    pub connector: Connector,
    /// The jobs that are open.
    pub journal: Journal,
    /// What the user sees.
    pub reporter: Reporter,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The directory that plain relative paths are relative to.
    pub cwd: PathBuf,
    /// Whether to stop.
    pub stop: Stop,
}

impl Context {
    /// Opens configuration, identity and journal. Blocks.
    ///
    /// # Errors
    ///
    /// The edge is not enrolled, or one of them cannot be used; the operator's to correct.
    pub fn open(
        directories: Directories,
        reporter: Reporter,
        host: Host,
    ) -> Result<Self, CommandError> {
        let config = EdgeConfig::load(&directories)?;
        directories.create()?;
        let zones = LandingZones::new(&config);
        let connector = Connector::open(&directories, &config, &host)?;
        let journal = Journal::open(&directories.state)?;
        let Host { clock, random, cwd, stop, .. } = host;
        Ok(Self {
            directories,
            config,
            zones,
            connector,
            journal,
            reporter,
            clock,
            random,
            cwd,
            stop,
        })
    }

    /// The time, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        unix_ms(self.clock.now())
    }

    /// Draws the id of a new job.
    pub fn new_job(&self) -> JobId {
        let mut id = [0; 16];
        self.random.fill(&mut id);
        JobId(id)
    }
}

/// `time` in milliseconds since 1970; the ends of the range stand for everything beyond.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_before_1970_are_negative() {
        let epoch = SystemTime::UNIX_EPOCH;

        assert_eq!(unix_ms(epoch + Duration::from_millis(1_700_000_000_123)), 1_700_000_000_123);
        assert_eq!(unix_ms(epoch - Duration::from_millis(5)), -5);
    }
}
