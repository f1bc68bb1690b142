//! The clock seam as rustls asks for it, so that tests move the time certificates are judged at.

use crate::seam::Clock;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use std::sync::Arc;
use std::time::SystemTime;

/// `clock` as the source of time of a TLS configuration.
pub fn tls_clock(clock: Arc<dyn Clock>) -> Arc<dyn TimeProvider> {
    Arc::new(TlsClock(clock))
}

#[derive(Debug)]
struct TlsClock(Arc<dyn Clock>);

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        // Before 1970 no certificate is valid; rustls then fails the handshake.
        let since = self.0.now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::ManualClock;
    use std::time::Duration;

    #[test]
    fn tls_sees_the_seconds_of_the_clock_and_none_before_1970() {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(7)));
        let tls = tls_clock(clock.clone());

        let seconds = || tls.current_time().map(|time| time.as_secs());
        assert_eq!(seconds(), Some(7));
        clock.advance(Duration::from_millis(1999));
        assert_eq!(seconds(), Some(8));
        clock.set(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(seconds(), None);
    }
}
