//! One session after another for a job that outlives them.

use super::{ConnectError, Connector, RelaySession};
use skyspray_link::backoff::Backoff;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a job goes on without a session or progress.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Opens the sessions of one job, with waits between attempts, until neither a session nor
/// progress was made for a while.
#[derive(Debug)]
pub struct Reconnect<'a> {
    connector: &'a Connector,
    patience: Duration,
    backoff: Backoff,
    /// When the job last made progress, or began.
    since: Instant,
    /// Whether a session since then brought nothing.
    in_vain: bool,
    /// Whether there was a session at all.
    any: bool,
}

impl<'a> Reconnect<'a> {
    /// For a job that gives up after `patience`, usually [`PATIENCE`].
    pub fn new(connector: &'a Connector, patience: Duration) -> Self {
        let (backoff, since) = (Backoff::default(), Instant::now());
        Self { connector, patience, backoff, since, in_vain: false, any: false }
    }

    /// The next session. The first, and the one after progress, are dialled at once.
    ///
    /// # Errors
    ///
    /// One that no later attempt would mend, [`ConnectError::GaveUp`], or
    /// [`ConnectError::NoProgress`] when sessions came and went.
    pub async fn session(&mut self) -> Result<RelaySession, ConnectError> {
        if self.in_vain {
            if self.since.elapsed() >= self.patience {
                return Err(ConnectError::NoProgress { seconds: self.since.elapsed().as_secs() });
            }
            self.wait().await;
        }
        loop {
            let error = match self.connector.connect().await {
                Ok(session) => {
                    (self.in_vain, self.any) = (true, true);
                    return Ok(session);
                }
                Err(error) => error,
            };
            // A relay that never answered is rather out of reach than away for a moment.
            if !error.is_passing() || (!self.any && error.is_silence()) {
                return Err(error);
            }
            if self.since.elapsed() >= self.patience {
                return Err(self.gave_up(error));
            }
            tracing::info!(%error, "no session, trying again");
            self.wait().await;
        }
    }

    /// The job made progress: the clock starts anew.
    pub fn progressed(&mut self) {
        self.backoff.reset();
        self.since = Instant::now();
        self.in_vain = false;
    }

    fn gave_up(&self, last: ConnectError) -> ConnectError {
        ConnectError::GaveUp { seconds: self.since.elapsed().as_secs(), source: Box::new(last) }
    }

    async fn wait(&mut self) {
        let wait = self.backoff.next_wait(self.connector.random());
        let left = self.patience.saturating_sub(self.since.elapsed());
        sleep(wait.min(left)).await;
    }
}
