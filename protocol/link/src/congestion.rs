//! Congestion control for long paths that lose packets: [`Fill`] keeps a path full and its queue
//! short.
//!
//! What it does and why is in `docs/decisions/0015-congestion-controller.md`. The model is in
//! [`model`], without clock, socket or randomness; this file is what fits it to the QUIC layer, whose
//! pacer sends at 1.25 windows in a round trip, so that the window is the only lever.

mod contest;
mod model;
mod rate;
mod round;
mod rtt;
#[cfg(test)]
mod tests;

use model::Model;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// Makes the controller of a session.
#[derive(Debug, Default)]
pub(crate) struct Fill;

impl ControllerFactory for Fill {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Filling(Model::new(now, current_mtu)))
    }
}

#[derive(Clone)]
struct Filling(Model);

impl Controller for Filling {
    fn on_sent(&mut self, now: Instant, _bytes: u64, _last_packet_number: u64) {
        self.0.on_sent(now);
    }

    fn on_ack(
        &mut self,
        _now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        self.0.on_packet_acked(sent, bytes, app_limited);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.0.on_acked(now, in_flight);
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
            self.0.on_marked();
        } else {
            self.0.on_lost(now, lost_bytes, is_persistent_congestion);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.on_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.0.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.0.window();
        metrics.pacing_rate = Some((self.0.rate() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.0.window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
