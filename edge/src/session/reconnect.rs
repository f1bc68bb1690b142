//! One session after another for a job that outlives them.

use super::{ConnectError, Connector, RelaySession};
use skyspray_link::backoff::Backoff;
use skyspray_link::request::Exchange;
use skyspray_wire::message::Request;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a job goes on without a session or progress.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The most that one session, dial or wait counts for. One that took longer was held up with the whole
/// process, by a suspended host or a debugger: that is no reason to give up.
const STEP_MAX: Duration = Duration::from_secs(20);

/// The longest wait before the dial that follows a relay's farewell: sessions that all lost the same
/// relay do not come to the next one in one moment.
const MOVE_JITTER: Duration = Duration::from_millis(250);

/// Dials that follow each other that fast after a farewell, while relays turn them away: a balancer
/// gives each to another relay, and may not know yet which of them goes.
const MOVE_DIALS: u32 = 8;

/// How long it goes on while the relay says that its storage is away: a burst of failures of a
/// store may last minutes (F14).
pub const OUTAGE_PATIENCE: Duration = Duration::from_secs(300);

/// The longest wait between attempts in that time: when the storage is back is seen soon.
const OUTAGE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Opens the sessions of one job, with waits between attempts, until neither a session nor
/// progress was made for a while.
#[derive(Debug)]
pub struct Reconnect<'a> {
    connector: &'a Connector,
    patience: Duration,
    backoff: Backoff,
    /// For how long the job has made no progress.
    standstill: Standstill,
    /// Whether a session since then brought nothing.
    in_vain: bool,
    /// Whether the relay of the last session has sent this edge on to another.
    moved: bool,
    /// Whether there was a session at all.
    any: bool,
    /// Whether the last session ended because the relay's storage is away.
    outage: bool,
}

impl<'a> Reconnect<'a> {
    /// For a job that gives up after `patience`, usually [`PATIENCE`].
    pub fn new(connector: &'a Connector, patience: Duration) -> Self {
        let (backoff, standstill) = (Backoff::default(), Standstill::new(Instant::now()));
        let (in_vain, moved, any, outage) = (false, false, false, false);
        Self { connector, patience, backoff, standstill, in_vain, moved, any, outage }
    }

    /// The next session. The first, and the one after progress, are dialled at once; the one after a
    /// relay's farewell almost.
    ///
    /// # Errors
    ///
    /// One that no later attempt would mend, [`ConnectError::GaveUp`], or
    /// [`ConnectError::NoProgress`] when sessions came and went.
    pub async fn session(&mut self) -> Result<RelaySession, ConnectError> {
        Ok(self.session_with(async |connector| Ok((connector.connect().await?, ()))).await?.0)
    }

    /// The next session like [`Reconnect::session`], with `first` asked as
    /// [`Connector::connect_asking`] does.
    ///
    /// # Errors
    ///
    /// As for [`Reconnect::session`].
    pub async fn session_asking(
        &mut self,
        first: &Request,
    ) -> Result<(RelaySession, Exchange), ConnectError> {
        self.session_with(async |connector| connector.connect_asking(first).await).await
    }

    async fn session_with<T>(
        &mut self,
        connect: impl AsyncFn(&Connector) -> Result<(RelaySession, T), ConnectError>,
    ) -> Result<(RelaySession, T), ConnectError> {
        let mut fast = 0;
        if std::mem::take(&mut self.moved) {
            fast = MOVE_DIALS;
            self.wait_a_moment().await;
        } else if self.in_vain {
            if self.count() >= self.patience() {
                return Err(ConnectError::NoProgress { seconds: self.standstill.lasted.as_secs() });
            }
            self.wait().await;
        }
        loop {
            let error = match connect(self.connector).await {
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
            if self.count() >= self.patience() {
                return Err(self.gave_up(error));
            }
            tracing::info!(%error, "no session, trying again");
            if fast > 0 && matches!(error, ConnectError::TurnedAway { .. }) {
                fast -= 1;
                self.wait_a_moment().await;
            } else {
                self.wait().await;
            }
        }
    }

    /// The job made progress: the clock starts anew.
    pub fn progressed(&mut self) {
        self.backoff.reset();
        self.standstill = Standstill::new(Instant::now());
        self.in_vain = false;
        self.outage = false;
    }

    /// The session ended; `outage` says whether because the relay's storage is away. Returns
    /// whether that is new.
    pub fn ended(&mut self, outage: bool) -> bool {
        let is_new = outage && !self.outage;
        self.outage = outage;
        // After progress too: the next attempt would find the storage as this one left it.
        self.in_vain |= outage;
        is_new
    }

    fn patience(&self) -> Duration {
        if self.outage { self.patience.max(OUTAGE_PATIENCE) } else { self.patience }
    }

    /// The last session ended because its relay goes away: it was not in vain, and another relay, or
    /// the next process of this one, is there.
    ///
    /// The time a job goes on without progress runs on, so that relays that all send it away do not
    /// keep it for ever.
    pub fn moved(&mut self) {
        self.backoff.reset();
        self.moved = self.count() < self.patience;
    }

    /// For how long the job has made no progress, up to now.
    fn count(&mut self) -> Duration {
        self.standstill.count(Instant::now())
    }

    fn gave_up(&self, last: ConnectError) -> ConnectError {
        ConnectError::GaveUp { seconds: self.standstill.lasted.as_secs(), source: Box::new(last) }
    }

    async fn wait_a_moment(&self) {
        let most = u64::try_from(MOVE_JITTER.as_millis()).expect("less than a second");
        sleep(Duration::from_millis(self.connector.random().u64() % (most + 1))).await;
    }

    async fn wait(&mut self) {
        let wait = self.backoff.next_wait(self.connector.random());
        let wait = if self.outage { wait.min(OUTAGE_WAIT_MAX) } else { wait };
        let left = self.patience().saturating_sub(self.count());
        sleep(wait.min(left)).await;
    }
}

/// Time without progress, as far as the process ran.
#[derive(Debug)]
struct Standstill {
    lasted: Duration,
    counted: Instant,
}

impl Standstill {
    fn new(now: Instant) -> Self {
        Self { lasted: Duration::ZERO, counted: now }
    }

    /// Counts what went by since the last time.
    fn count(&mut self, now: Instant) -> Duration {
        self.lasted += (now - self.counted).min(STEP_MAX);
        self.counted = now;
        self.lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_was_suspended_is_no_reason_to_give_up_and_sessions_in_vain_are() {
        let mut now = Instant::now();
        let mut standstill = Standstill::new(now);
        now += Duration::from_secs(7);
        assert_eq!(standstill.count(now), Duration::from_secs(7));
        assert_eq!(standstill.count(now), Duration::from_secs(7));

        now += PATIENCE * 10;
        assert!(standstill.count(now) < PATIENCE, "one step, however long");

        now += PATIENCE;
        standstill.count(now);
        now += PATIENCE;
        assert!(standstill.count(now) >= PATIENCE);
    }
}
