//! The sessions of one download: one at a time, another when it is lost.

use super::fault::DownloadFault;
use crate::context::Context;
use crate::session::{ConnectError, OUTAGE_PATIENCE, PATIENCE, Reconnect, RelaySession};
use skyspray_link::request::Exchange;
use skyspray_wire::message::Request;
use std::time::Duration;

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
        Self::with_patience(context, PATIENCE)
    }

    fn with_patience(context: &'a Context, patience: Duration) -> Self {
        let reconnect = Reconnect::new(&context.connector, patience);
        Self { context, reconnect, relay: None, last: None }
    }

    /// Asks in the current session, or in a new one together with its greeting.
    ///
    /// # Errors
    ///
    /// There is no session to be had, the user wants to stop, or sessions came and went in vain for
    /// too long: [`DownloadFault::GaveUp`].
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
                let (relay, answer) = opened.map_err(|error| self.gave_up(error))?;
                self.relay = Some(relay);
                answer
            }
        };
        Ok((self.relay.as_ref().expect("there is one now"), answer))
    }

    /// What the job ends with that got no other session: what ended the last one says more than that
    /// there was no progress.
    fn gave_up(&mut self, error: ConnectError) -> DownloadFault {
        match (error, self.last.take()) {
            (ConnectError::NoProgress { .. }, Some(last)) => DownloadFault::GaveUp(Box::new(last)),
            (error, _) => error.into(),
        }
    }

    /// The job moved on.
    pub(crate) fn progressed(&mut self) {
        self.reconnect.progressed();
        self.last = None;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::Listing;
    use crate::exit::{Exit, Explain as _};
    use crate::session::tests::enrolled;
    use skyspray_wire::message::ListWhat;
    use skyspray_wire::name::{PlaneName, Scope};
    use skyspray_wire::refusal::RefusalCode;
    use std::sync::mpsc;
    use std::thread;

    /// With what a list ends, without patience, of a plane of which the relay says only `code`.
    async fn list_in_vain(code: RefusalCode) -> (DownloadFault, u32) {
        let (relay, edge) = enrolled().await;
        relay.refuse(code);
        let context = edge.context();
        let mut link = Link::with_patience(&context, Duration::ZERO);
        let plane = PlaneName::parse("lake").unwrap();
        let mut listing = Listing::new(plane, ListWhat::Logical(Scope::default()), None);
        let fault = listing.next_batch(&mut link).await.unwrap_err();
        (fault, relay.refused())
    }

    /// In a thread of its own: a task that never waits could not be ended by a timer beside it.
    #[test]
    fn a_relay_that_is_there_and_only_says_not_yet_is_not_asked_for_ever() {
        let (ended, end) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            ended.send(runtime.unwrap().block_on(list_in_vain(RefusalCode::Busy)))
        });

        let (fault, asked) = end.recv_timeout(Duration::from_secs(30)).expect("the list ends");

        let DownloadFault::GaveUp(last) = &fault else { panic!("{fault}") };
        assert!(matches!(&**last, DownloadFault::Refused(no) if no.code == RefusalCode::Busy));
        assert_eq!((fault.exit(), &*fault.code(), asked), (Exit::Temporary, "refused-304", 1));
    }
}
