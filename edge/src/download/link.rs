//! The sessions of one download: one at a time, another when it is lost.

use super::fault::DownloadFault;
use crate::context::Context;
use crate::session::{ConnectError, OUTAGE_PATIENCE, PATIENCE, Reconnect, RelaySession};
use skyspray_link::request::Exchange;
use skyspray_wire::message::Request;

/// Asks in the current session, dialling when there is none.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    context: &'a Context,
    reconnect: Reconnect<'a>,
    relay: Option<RelaySession>,
    /// Why the last session was given up.
    last: Option<DownloadFault>,
}

impl<'a> Link<'a> {
    /// No session yet.
    pub(crate) fn new(context: &'a Context) -> Self {
        let reconnect = Reconnect::new(&context.connector, PATIENCE);
        Self { context, reconnect, relay: None, last: None }
    }

    /// Asks in the current session, or in a new one together with its greeting.
    ///
    /// # Errors
    ///
    /// There is no session to be had, or the user wants to stop.
    pub(crate) async fn ask(
        &mut self,
        request: &Request,
    ) -> Result<(&RelaySession, Exchange), DownloadFault> {
        if let Some(relay) = self.relay.take_if(|relay| relay.session().is_closed())
            && relay.was_moved()
        {
            self.reconnect.moved();
        }
        let answer = match &self.relay {
            Some(relay) => relay.session().request(request).await?,
            None => {
                let opened = tokio::select! {
                    opened = self.reconnect.session_asking(request) => opened,
                    () = self.context.stop.requested() => return Err(DownloadFault::Interrupted),
                };
                let (relay, answer) = opened.map_err(|error| match error {
                    // What ended the sessions says more than that they ended.
                    ConnectError::NoProgress { .. } => {
                        self.last.take().unwrap_or_else(|| error.into())
                    }
                    error => error.into(),
                })?;
                self.relay = Some(relay);
                answer
            }
        };
        Ok((self.relay.as_ref().expect("there is one now"), answer))
    }

    /// The job moved on.
    pub(crate) fn progressed(&mut self) {
        self.reconnect.progressed();
    }

    /// Gives the session up because of `fault`; the next one is a new one.
    pub(crate) async fn give_up(&mut self, fault: DownloadFault) {
        tracing::info!(%fault, "the session is given up, going on in another");
        if fault.is_move() || self.relay.as_ref().is_some_and(RelaySession::was_moved) {
            self.reconnect.moved();
        }
        if self.reconnect.ended(fault.is_outage()) {
            let seconds = OUTAGE_PATIENCE.as_secs();
            let text = format!("{fault}; waiting up to {seconds} s for it");
            self.context.reporter.warn("plane-unavailable", text);
        }
        self.last = Some(fault);
        self.close().await;
    }

    /// Closes the session, if there is one.
    pub(crate) async fn close(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.close().await;
        }
    }
}
