//! What an earlier session has learned of a path, for the next one to begin with.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How far a path carries: found by a session that has filled it, believed in part by the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnownPath {
    /// Bytes a second that arrived, packets as QUIC sends them.
    pub bytes_per_second: u64,
    /// The round trip with nothing in the queue.
    pub round_trip: Duration,
}

impl KnownPath {
    /// Round trips for which it is worth to know a path: on shorter ones start-up takes no time.
    const ROUND_TRIP_LEAST: Duration = Duration::from_millis(5);

    /// The share of the rate a session begins with. With half of it a path that has become half as
    /// fast is full, and the next round trip brings all of one that has not.
    const SHARE: f64 = 0.5;

    /// The least change of a rate or a round trip that makes another path of it.
    const CHANGE: f64 = 0.05;

    /// A path, unless it is so short that nothing is won by knowing it.
    pub(super) fn found(rate: f64, round_trip: Duration) -> Option<Self> {
        let known = Self { bytes_per_second: rate as u64, round_trip };
        (known.bytes_per_second > 0 && round_trip >= Self::ROUND_TRIP_LEAST).then_some(known)
    }

    /// Bytes in flight to begin with, where the first round trip shows that this is the path.
    pub(super) fn window(&self, round_trip: Duration) -> Option<f64> {
        let apart = self.round_trip.abs_diff(round_trip);
        let share = Self::SHARE * self.bytes_per_second as f64;
        (apart <= self.round_trip / 4).then_some(share * round_trip.as_secs_f64())
    }

    /// Whether `other` says something new.
    pub fn differs_from(&self, other: &Self) -> bool {
        let rates = self.bytes_per_second.abs_diff(other.bytes_per_second) as f64;
        let trips = self.round_trip.abs_diff(other.round_trip).as_secs_f64();
        rates > Self::CHANGE * self.bytes_per_second as f64
            || trips > Self::CHANGE * self.round_trip.as_secs_f64()
    }
}

/// Paths by what tells them apart, at most a fixed number: the one that was not used for longest makes
/// way for another.
#[derive(Clone, Debug)]
pub struct KnownPaths<K> {
    most: usize,
    uses: u64,
    paths: HashMap<K, (KnownPath, u64)>,
}

impl<K: Clone + Eq + Hash> KnownPaths<K> {
    /// Room for `most` paths.
    pub fn new(most: usize) -> Self {
        Self { most, uses: 0, paths: HashMap::new() }
    }

    /// What is known of a path.
    pub fn get(&mut self, key: &K) -> Option<KnownPath> {
        self.uses += 1;
        let (path, used) = self.paths.get_mut(key)?;
        *used = self.uses;
        Some(*path)
    }

    /// Takes note of a path.
    pub fn insert(&mut self, key: K, path: KnownPath) {
        self.uses += 1;
        self.paths.insert(key, (path, self.uses));
        if self.paths.len() > self.most {
            let oldest = self.paths.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| self.paths.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: KnownPath =
        KnownPath { bytes_per_second: 25_000_000, round_trip: Duration::from_millis(80) };

    #[test]
    fn a_path_is_begun_with_half_of_what_it_carried() {
        assert_eq!(PATH.window(Duration::from_millis(80)), Some(1_000_000.0));
        assert_eq!(PATH.window(Duration::from_millis(100)), Some(1_250_000.0));
    }

    #[test]
    fn a_path_with_another_round_trip_is_another_path() {
        assert_eq!(PATH.window(Duration::from_millis(101)), None);
        assert_eq!(PATH.window(Duration::from_millis(59)), None);
    }

    #[test]
    fn a_short_path_is_not_worth_knowing() {
        assert_eq!(KnownPath::found(1e9, Duration::from_millis(4)), None);
        assert_eq!(KnownPath::found(0.5, Duration::from_millis(80)), None);
        assert_eq!(KnownPath::found(25e6, Duration::from_millis(80)), Some(PATH));
    }

    #[test]
    fn only_a_change_of_a_twentieth_is_news() {
        let other = |bytes_per_second, millis| KnownPath {
            bytes_per_second,
            round_trip: Duration::from_millis(millis),
        };

        assert!(!PATH.differs_from(&other(26_000_000, 83)));
        assert!(PATH.differs_from(&other(27_000_000, 80)));
        assert!(PATH.differs_from(&other(25_000_000, 85)));
    }

    #[test]
    fn the_path_that_was_not_used_for_longest_makes_way() {
        let mut paths = KnownPaths::new(2);
        paths.insert('a', PATH);
        paths.insert('b', PATH);
        assert_eq!(paths.get(&'a'), Some(PATH));

        paths.insert('c', PATH);

        assert_eq!(paths.get(&'b'), None);
        assert_eq!((paths.get(&'a'), paths.get(&'c')), (Some(PATH), Some(PATH)));
    }
}
