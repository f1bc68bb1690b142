//! The controller on simulated paths: alone, beside itself, and beside what TCP does. Packet by packet,
//! in virtual time; every run prints its seed.

mod flow;
mod network;
mod tcp;

use super::known::KnownPath;
use super::model::Model;
use flow::{Control, Pace, Setting, quic_pace};
use network::{Network, Path};
use std::time::{Duration, Instant};
use tcp::{Bbr, Cubic};

/// Bytes a second of file content that fill a path of 1 Mbit/s.
const MBIT: f64 = 125_000.0;

struct Ours(Model);

impl Control for Ours {
    fn on_sent(&mut self, now: Instant) {
        self.0.on_sent(now);
    }

    fn on_packet_acked(&mut self, _now: Instant, sent: Instant, bytes: u64, app_limited: bool) {
        self.0.on_packet_acked(sent, bytes, app_limited);
    }

    fn on_acked(&mut self, now: Instant, in_flight: u64) {
        self.0.on_acked(now, in_flight);
    }

    fn on_lost(&mut self, now: Instant, _sent: Instant, bytes: u64, persistent: bool) {
        self.0.on_lost(now, bytes, persistent);
    }

    fn window(&self) -> u64 {
        self.0.window()
    }

    fn learned(&self) -> Option<KnownPath> {
        self.0.learned()
    }

    fn pace(&self, smoothed: Duration) -> Pace {
        quic_pace(self.0.window(), smoothed)
    }
}

/// A flow that expects its path to be one that carried so much with so long a round trip, and whose
/// handshake took `found`.
fn expecting(mbit: f64, millis: u64, found: Duration) -> Box<dyn Control> {
    let answered = Instant::now();
    let began = answered - found;
    let mut model = Model::new(began, 1452);
    model.on_sent(began);
    model.expect(KnownPath {
        bytes_per_second: (mbit * MBIT) as u64,
        round_trip: Duration::from_millis(millis),
    });
    model.on_packet_acked(began, 1200, true);
    model.on_acked(answered, 0);
    Box::new(Ours(model))
}

fn ours() -> Box<dyn Control> {
    Box::new(Ours(Model::new(Instant::now(), 1452)))
}

fn cubic() -> Box<dyn Control> {
    Box::new(Cubic::new())
}

fn bbr() -> Box<dyn Control> {
    Box::new(Bbr::new(Instant::now()))
}

/// What became of one file on one path.
#[derive(Debug)]
struct Sent {
    /// Share of the path's rate that was file content, from the first packet to the last answer.
    goodput: f64,
    mean_queue: Duration,
    /// Share of the packets that found the queue full.
    own_loss: f64,
}

fn send(path: Path, mib: u64, seed: u64) -> Sent {
    send_by(ours(), path, mib, seed)
}

fn send_by(control: Box<dyn Control>, path: Path, mib: u64, seed: u64) -> Sent {
    let rate = path.rate;
    let mut network = Network::new(path.clone(), seed);
    network.add(Setting::file(control, mib));
    network.run_until(Duration::from_secs(120));
    assert!(network.flow(0).is_done(), "{mib} MiB took too long on {path:?}, seed {seed}");
    let sent = Sent {
        goodput: (mib << 20) as f64 / network.now().as_secs_f64() / rate,
        mean_queue: network.passed.mean_queue(),
        own_loss: network.passed.own_loss(),
    };
    println!("{mib} MiB, seed {seed}: {sent:?} on {path:?}");
    sent
}

/// The shares of the path that flows have in `seconds`, after three seconds in which they start one
/// after the other.
fn shares(path: Path, flows: Vec<Box<dyn Control>>, seconds: u64, seed: u64) -> Vec<f64> {
    let rate = path.rate;
    let mut network = Network::new(path.clone(), seed);
    let count = flows.len();
    for (index, control) in flows.into_iter().enumerate() {
        let begin = Duration::from_millis(1500 * index as u64);
        network.add(Setting { begin, ..Setting::endless(control) });
    }
    network.run_until(Duration::from_secs(3));
    let before: Vec<_> = (0..count).map(|index| network.flow(index).received).collect();
    network.run_until(Duration::from_secs(3 + seconds));
    let bytes = flow::PACKET_BYTES as f64 + flow::HEADER_BYTES;
    let shares: Vec<_> = (0..count)
        .map(|index| (network.flow(index).received - before[index]) as f64 * bytes)
        .map(|bytes| bytes / seconds as f64 / rate)
        .collect();
    println!("seed {seed}: shares {shares:.3?}, {:?} on {path:?}", network.passed);
    shares
}

#[test]
fn a_long_path_is_filled_whatever_is_lost_at_random() {
    for (loss, least) in [(0.0, 0.925), (0.001, 0.925), (0.01, 0.92), (0.02, 0.91)] {
        let sent = send(Path::new(200.0, 80, 1.0).with_loss(loss), 480, 7);

        assert!(sent.goodput > least, "{sent:?} with {loss} lost");
        assert!(sent.mean_queue < Duration::from_millis(10), "{sent:?} with {loss} lost");
        assert!(sent.own_loss < 0.002, "{sent:?} with {loss} lost");
    }
}

#[test]
fn queues_of_every_size_stay_short() {
    for products in [0.25, 1.0, 4.0] {
        for (mbit, millis, mib) in [(200.0, 80, 96), (1000.0, 20, 192), (50.0, 200, 48)] {
            let sent = send(Path::new(mbit, millis, products).with_loss(0.001), mib, 11);

            assert!(sent.goodput > 0.80, "{sent:?}");
            assert!(sent.mean_queue < Duration::from_millis(20), "{sent:?}");
            assert!(sent.own_loss < 0.04, "{sent:?}");
        }
    }
}

/// What is sent before anything is known of a path must not overrun it.
#[test]
fn a_slow_path_is_not_overrun_by_the_first_window() {
    for (mbit, millis) in [(2.0, 80), (2.0, 20), (2.0, 300), (10.0, 40)] {
        let sent = send(Path::new(mbit, millis, 0.25), 2, 13);

        assert!(sent.own_loss < 0.002, "{sent:?} at {mbit} Mbit/s");
    }
}

/// Seconds that a path takes for so much.
fn seconds(sent: &Sent, path: &Path, mib: u64) -> f64 {
    (mib << 20) as f64 / path.rate / sent.goodput
}

#[test]
fn a_path_that_is_known_is_filled_three_round_trips_sooner() {
    for loss in [0.0, 0.01] {
        let path = Path::new(200.0, 80, 1.0).with_loss(loss);
        let new = send(path.clone(), 48, 7);
        let known = send_by(expecting(190.0, 80, path.round_trip), path.clone(), 48, 7);

        let won = seconds(&new, &path, 48) - seconds(&known, &path, 48);
        assert!(won > 3.0 * 0.08, "{won} s sooner with {loss} lost");
        assert!(known.own_loss < 0.004, "{known:?} with {loss} lost");
    }
}

/// What was learned of a path may be long past.
#[test]
fn a_path_that_carries_less_than_it_did_is_not_overrun_for_long() {
    for (mbit, own_loss) in [(100.0, 0.002), (50.0, 0.02), (20.0, 0.05)] {
        let path = Path::new(mbit, 80, 1.0);
        let new = send(path.clone(), 24, 7);
        let known = send_by(expecting(200.0, 80, path.round_trip), path.clone(), 24, 7);

        let lost = seconds(&known, &path, 24) - seconds(&new, &path, 24);
        assert!(lost < 0.5, "{lost} s later at {mbit} Mbit/s");
        assert!(known.own_loss < own_loss, "{known:?} at {mbit} Mbit/s");
    }
}

#[test]
fn a_path_with_another_round_trip_than_expected_is_begun_as_a_new_one() {
    let path = Path::new(200.0, 80, 1.0);
    let new = send(path.clone(), 24, 7);
    let known = send_by(expecting(200.0, 20, path.round_trip), path.clone(), 24, 7);

    let apart = seconds(&known, &path, 24) - seconds(&new, &path, 24);
    assert!(apart.abs() < 0.005, "{apart} s");
}

#[test]
fn a_flow_learns_what_its_path_carries() {
    let path = Path::new(200.0, 80, 1.0).with_loss(0.001);
    let mut model = Model::new(Instant::now(), 1452);
    assert_eq!(model.learned(), None, "nothing was sent");
    model.expect(KnownPath { bytes_per_second: 1, round_trip: Duration::from_millis(80) });
    assert_eq!(model.learned(), None, "what is expected was not found");
    let mut network = Network::new(path, 7);
    network.add(Setting::endless(Box::new(Ours(model))));
    network.run_until(Duration::from_secs(3));

    let learned = network.flow(0).control().learned().expect("the path is full");

    let rate = learned.bytes_per_second as f64 / (200.0 * MBIT);
    assert!((0.93..1.02).contains(&rate), "{learned:?}");
    assert_eq!(learned.round_trip.as_millis(), 80);
}

#[test]
fn a_path_that_loses_one_packet_in_twenty_is_still_filled() {
    let sent = send(Path::new(200.0, 80, 1.0).with_loss(0.05), 192, 3);

    assert!(sent.goodput > 0.82, "{sent:?}");
}

#[test]
fn a_local_path_is_filled() {
    let sent = send(Path::new(1000.0, 1, 4.0), 96, 5);

    assert!(sent.goodput > 0.93, "{sent:?}");
    assert!(sent.mean_queue < Duration::from_millis(4), "{sent:?}");
}

#[test]
fn a_path_whose_packets_are_late_by_chance_is_used() {
    let path = Path { jitter: Duration::from_millis(5), ..Path::new(200.0, 80, 1.0) };
    let sent = send(path, 192, 7);

    assert!(sent.goodput > 0.70, "{sent:?}");
    assert!(sent.mean_queue < Duration::from_millis(10), "{sent:?}");
}

#[test]
fn two_flows_share_a_path() {
    for (mbit, millis, products) in [(200.0, 80, 1.0), (1000.0, 20, 1.0), (50.0, 40, 1.0)] {
        let path = Path::new(mbit, millis, products);
        let shares = shares(path, vec![ours(), ours()], 20, 1);

        assert!(shares.iter().sum::<f64>() > 0.96, "{shares:?}");
        let apart = (shares[0] - shares[1]).abs() / (shares[0] + shares[1]);
        assert!(apart < 0.2, "{shares:?}");
    }
}

#[test]
fn cubic_and_this_flow_each_keep_their_part_of_a_path() {
    for order in [0, 1] {
        let mut flows = vec![ours(), cubic()];
        flows.rotate_left(order);
        let shares = shares(Path::new(200.0, 80, 1.0), flows, 30, 1);

        assert!(shares.iter().all(|&share| share > 0.3), "{shares:?}");
        assert!(shares.iter().sum::<f64>() > 0.95, "{shares:?}");
    }
}

#[test]
fn a_flow_is_not_pushed_off_the_path_by_bbr() {
    let shares = shares(Path::new(200.0, 80, 1.0), vec![ours(), bbr()], 25, 1);

    assert!(shares.iter().all(|&share| share > 0.24), "{shares:?}");
}

#[test]
fn a_flow_that_finds_bbr_on_the_path_gets_its_part_with_time() {
    let shares = shares(Path::new(200.0, 80, 1.0), vec![bbr(), ours()], 40, 1);

    assert!(shares[1] > 0.2, "{shares:?}");
}

#[test]
fn an_outage_costs_little_more_than_its_length() {
    let path = Path::new(200.0, 80, 1.0);
    let clear = send(path.clone(), 96, 9);
    let outage = Some((Duration::from_secs(2), Duration::from_secs(4)));
    let sent = send(Path { outage, ..path.clone() }, 96, 9);

    let seconds = |goodput: f64| (96 << 20) as f64 / path.rate / goodput;
    let more = seconds(sent.goodput) - seconds(clear.goodput);
    assert!(more < 2.0 + 2.5, "{more} s more for an outage of 2 s");
}

#[test]
fn a_path_that_changes_is_followed() {
    for (mbit, millis) in [(50.0, 80), (200.0, 160), (400.0, 40)] {
        let to = (Duration::from_secs(3), mbit * MBIT, Duration::from_millis(millis));
        let mut network = Network::new(Path { change: Some(to), ..Path::new(200.0, 80, 1.0) }, 1);
        network.add(Setting::endless(ours()));
        network.run_until(Duration::from_secs(9));
        let before = network.flow(0).received;
        network.run_until(Duration::from_secs(14));

        let bytes = (network.flow(0).received - before) as f64 * 1480.0;
        let share = bytes / 5.0 / (mbit * MBIT);
        assert!(share > 0.90, "{share} of {mbit} Mbit/s with {millis} ms");
    }
}

#[test]
fn a_slow_application_does_not_make_the_path_look_slow() {
    let mut network = Network::new(Path::new(200.0, 80, 1.0), 1);
    network.add(Setting::endless(ours()));
    network.run_until(Duration::from_secs(3));
    let window = network.flow(0).control().window();
    network.limit(0, Some(2.0 * MBIT));
    network.run_until(Duration::from_secs(10));

    // The window at the end of the fast part may be that of a probe, a quarter larger.
    assert!(network.flow(0).control().window() > window * 3 / 4);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = || {
        let mut network = Network::new(Path::new(50.0, 40, 1.0).with_loss(0.01), 42);
        network.add(Setting::endless(ours()));
        network.run_until(Duration::from_secs(3));
        (network.flow(0).received, network.flow(0).lost, network.passed.offered)
    };

    assert_eq!(run(), run());
}
