//! Congestion control for long paths that lose packets: [`Fill`] keeps a path full and its queue
//! short.
//!
//! What it does and why is in `docs/decisions/0015-congestion-controller.md`. The model is in
//! [`model`], without clock, socket or randomness; this file is what fits it to the QUIC layer, whose
//! pacer sends at 1.25 windows in a round trip, so that the window is the only lever.

mod contest;
mod known;
mod model;
mod rate;
mod round;
mod rtt;
#[cfg(test)]
mod tests;

pub use known::{KnownPath, KnownPaths};
use model::Model;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Makes the controller of a session.
#[derive(Debug, Default)]
pub(crate) struct Fill;

impl ControllerFactory for Fill {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let expected = Arc::default();
        Box::new(Filling { model: Model::new(now, current_mtu), expected })
    }
}

#[derive(Clone)]
struct Filling {
    model: Model,
    /// What the session says of its path once it knows where it leads. Shared with the clones, which
    /// are all that the QUIC layer hands out.
    expected: Arc<OnceLock<KnownPath>>,
}

/// Says that a session, just begun, goes over a path that an earlier one knew.
pub(crate) fn expect(state: Box<dyn Controller>, path: KnownPath) {
    if let Ok(filling) = state.into_any().downcast::<Filling>() {
        // Said twice, the first word counts.
        let _ = filling.expected.set(path);
    }
}

/// What a session has learned of its path, if it has filled it.
pub(crate) fn learned(state: Box<dyn Controller>) -> Option<KnownPath> {
    state.into_any().downcast::<Filling>().ok()?.model.learned()
}

impl Controller for Filling {
    fn on_sent(&mut self, now: Instant, _bytes: u64, _last_packet_number: u64) {
        self.model.on_sent(now);
    }

    fn on_ack(
        &mut self,
        _now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        self.model.on_packet_acked(sent, bytes, app_limited);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        if let Some(&path) = self.expected.get() {
            self.model.expect(path);
        }
        self.model.on_acked(now, in_flight);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        _sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        if lost_bytes == 0 {
            // An ECN mark.
            self.model.on_marked();
        } else {
            self.model.on_lost(now, lost_bytes, is_persistent_congestion);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.on_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.model.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.model.window();
        metrics.pacing_rate = Some((self.model.rate() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.model.window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
