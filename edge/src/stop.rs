//! The wish to stop: set by SIGINT or SIGTERM, followed by whatever runs.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Whether the command was asked to stop. Cheap to clone.
///
/// A job that sees it stops between chunks and keeps its journal, so that the same command
/// continues it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The side that asks.
#[derive(Debug)]
pub struct StopSender(watch::Sender<bool>);

/// A pair of which nobody has asked yet.
pub fn channel() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSender(sender), Stop(receiver))
}

impl Stop {
    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked; for ever when nobody can ask any more.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|&asked| asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl StopSender {
    /// Asks everybody who follows to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Asks at the first SIGINT or SIGTERM; returns at the second, which wants no waiting.
    pub async fn follow(self, mut signals: Signals) {
        signals.next().await;
        self.stop();
        signals.next().await;
    }
}

/// The two signals that ask a command to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the two signals over from the operating system. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn catch() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_follows_hears_of_it_also_afterwards() {
        let (sender, stop) = channel();
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.requested().await }
        });
        assert!(!stop.is_requested());

        sender.stop();

        waiting.await.unwrap();
        stop.requested().await;
        assert!(stop.is_requested());
    }

    #[tokio::test]
    async fn a_wish_that_cannot_come_any_more_is_waited_for_in_vain() {
        let (sender, stop) = channel();
        drop(sender);

        tokio::select! {
            biased;
            () = stop.requested() => panic!("nobody asked"),
            () = std::future::ready(()) => {}
        }
    }
}
