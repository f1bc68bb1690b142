//! How hard chunks are compressed: chosen, and chosen again, from what the link carries and what
//! compressing costs.
//!
//! A machine without clocks or threads: the driver of a job says at the end of each [`Interval`] how
//! the link did, the encoders say what each chunk cost. It moves one step at a time and keeps a step
//! only if more of the file arrives with it; a step that did not pay is left alone for a while, and
//! for longer every time.

use std::collections::VecDeque;

/// What can be chosen, from nothing to hardest; zstd levels. Above 8 one needs 24 MiB for each encoder and
/// gains next to nothing on what people move.
const STEPS: [Option<i32>; 5] = [None, Some(1), Some(3), Some(6), Some(8)];

/// A step is given up for good measure only after this many seconds, long enough that chunks
/// compressed before it have left.
const TRIAL_SECONDS: f64 = 1.0;

/// Chunks that must have gone out before a trial is judged.
const TRIAL_CHUNKS: u32 = 8;

/// A harder step must carry this many times as much of the file.
const GAIN_UP: f64 = 1.05;

/// An easier step may carry this much less: it saves the host work.
const GAIN_DOWN: f64 = 0.98;

/// Encoders must be able to feed this many times what the link takes before they are given more to do:
/// reading, sending and whatever else the host is for need its cores as well.
const SPARE: f64 = 2.0;

/// Seconds until a step that did not pay is tried again; doubled each time.
const REST_SECONDS: f64 = 10.0;

/// The longest rest, in seconds.
const REST_SECONDS_MAX: f64 = 600.0;

/// Part of their time after which encoders count as what the job waits for.
const BUSY: f64 = 0.8;

/// CPU seconds for a byte at level 1 until it was measured: 250 MB/s on one core.
const COST_GUESS: f64 = 4e-9;

/// Intervals of a step that are remembered.
const RATES_KEPT: usize = 5;

/// Intervals a step must have lasted before another is tried. The first ones of a job are slow by
/// themselves, and one that is slow says nothing.
const RATES_LEAST: usize = 3;

/// Weight of the newest chunk in an average.
const NEWEST: f64 = 0.25;

/// A round trip from which a path is taken for a slow one until it has been measured, in seconds.
/// Within a building it is shorter, also as a busy host measures it: a few milliseconds of a handshake
/// are its own.
const LONG_PATH_SECONDS: f64 = 10e-3;

/// What the link did since the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    /// Its length.
    pub(crate) seconds: f64,
    /// Chunks handed to the link.
    pub(crate) chunks: u32,
    /// Bytes of the file in them.
    pub(crate) raw_bytes: u64,
    /// Whether chunks that were ready had to wait for the link most of the time.
    pub(crate) link_is_behind: bool,
}

/// What a step has shown.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// CPU seconds of an encoder for each byte; `None` before the first chunk.
    cost: Option<f64>,
    /// Seconds it must not be tried for.
    resting: f64,
    /// How long the next rest will be, in seconds; 0 before the first.
    next_rest: f64,
}

/// A step that is being tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    /// Bytes of the file in a second before it.
    rate_before: f64,
    seconds: f64,
    chunks: u32,
    raw_bytes: u64,
    /// The first interval still holds chunks of before.
    started: bool,
}

/// The choice of a job.
#[derive(Debug)]
pub(crate) struct Effort {
    encoders: f64,
    step: usize,
    steps: [Step; STEPS.len()],
    trial: Option<Trial>,
    /// Bytes of the file in a second in the last intervals of this step, newest last.
    rates: VecDeque<f64>,
    /// CPU seconds the encoders spent in this interval.
    spent: f64,
}

impl Effort {
    /// A choice for so many encoders, none of which has done anything.
    pub(crate) fn new(encoders: usize) -> Self {
        let steps = [Step::default(); STEPS.len()];
        let rates = VecDeque::new();
        Self { encoders: encoders as f64, step: 0, steps, trial: None, rates, spent: 0.0 }
    }

    /// The first path of a job is known: on a long one the first chunks are compressed already.
    pub(crate) fn handle_path(&mut self, round_trip_seconds: f64) {
        let untouched = self.step == 0 && self.trial.is_none() && self.steps[1].next_rest == 0.0;
        if untouched && round_trip_seconds >= LONG_PATH_SECONDS {
            self.step = 1;
        }
    }

    /// The zstd level for the next chunk; `None` for none.
    pub(crate) fn level(&self) -> Option<i32> {
        STEPS[self.step]
    }

    /// An encoder has spent `cpu_seconds` on a chunk of `raw_bytes`, compressed with `level`.
    pub(crate) fn handle_encoded(
        &mut self,
        level: Option<i32>,
        raw_bytes: usize,
        cpu_seconds: f64,
    ) {
        self.spent += cpu_seconds;
        let Some(step) = STEPS.iter().position(|&known| known == level) else { return };
        if raw_bytes > 0 {
            let cost = cpu_seconds / raw_bytes as f64;
            let known = self.steps[step].cost.get_or_insert(cost);
            *known += NEWEST * (cost - *known);
        }
    }

    /// An interval has ended: goes on, takes a step or takes one back.
    pub(crate) fn handle_interval(&mut self, interval: &Interval) {
        let busy = self.spent / (self.encoders * interval.seconds);
        self.spent = 0.0;
        for step in &mut self.steps {
            step.resting = (step.resting - interval.seconds).max(0.0);
        }
        if let Some(trial) = self.trial {
            self.trial = self.judge(trial, interval);
            return;
        }
        if self.rates.len() == RATES_KEPT {
            self.rates.pop_front();
        }
        self.rates.push_back(interval.raw_bytes as f64 / interval.seconds);
        if self.rates.len() < RATES_LEAST {
            return;
        }
        // More is asked of what costs more: the best of what it is to replace.
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        let mean = self.rates.iter().sum::<f64>() / self.rates.len() as f64;
        let (to, rate_before) = if interval.link_is_behind {
            (self.harder(best), best)
        } else if busy > BUSY {
            (self.step.checked_sub(1), mean)
        } else {
            (None, mean)
        };
        if let Some(to) = to {
            let from = self.step;
            self.step = to;
            self.rates.clear();
            let (seconds, chunks, raw_bytes) = (0.0, 0, 0);
            self.trial =
                Some(Trial { from, rate_before, seconds, chunks, raw_bytes, started: false });
        }
    }

    /// The next harder step that is not resting, if the encoders can keep up with the link in it.
    fn harder(&self, rate: f64) -> Option<usize> {
        let next = (self.step + 1..STEPS.len()).find(|&step| self.steps[step].resting == 0.0)?;
        // What was not measured costs at least twice the step below it.
        let below = self.steps[..next].iter().rev().find_map(|step| step.cost).unwrap_or(0.0);
        let cost = self.steps[next].cost.unwrap_or((2.0 * below).max(COST_GUESS));
        (self.encoders / cost > SPARE * rate).then_some(next)
    }

    fn judge(&mut self, mut trial: Trial, interval: &Interval) -> Option<Trial> {
        if !trial.started {
            return Some(Trial { started: true, ..trial });
        }
        trial.seconds += interval.seconds;
        trial.chunks += interval.chunks;
        trial.raw_bytes += interval.raw_bytes;
        if trial.seconds < TRIAL_SECONDS || trial.chunks < TRIAL_CHUNKS {
            return Some(trial);
        }
        let rate = trial.raw_bytes as f64 / trial.seconds;
        let gain = if self.step > trial.from { GAIN_UP } else { GAIN_DOWN };
        let tried = std::mem::replace(&mut self.step, trial.from);
        if rate >= trial.rate_before * gain {
            self.step = tried;
            self.steps[tried].next_rest = 0.0;
            // The step that was left must not come back at once.
            self.rest(trial.from);
        } else {
            self.rest(tried);
        }
        None
    }

    fn rest(&mut self, step: usize) {
        let Step { resting, next_rest, .. } = &mut self.steps[step];
        *resting = next_rest.max(REST_SECONDS);
        *next_rest = (*resting * 2.0).min(REST_SECONDS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job in numbers: a link, encoders, and data that shrink by so much at each step.
    struct Plant {
        /// Bytes in a second that the link takes.
        link: f64,
        /// Bytes in a second that the source gives.
        source: f64,
        encoders: f64,
        /// CPU seconds for a byte, and what is left of it on the wire, for each step.
        steps: [(f64, f64); STEPS.len()],
    }

    /// What text costs and saves.
    const TEXT: [(f64, f64); STEPS.len()] =
        [(0.2e-9, 1.0), (3.0e-9, 0.30), (6.0e-9, 0.32), (14e-9, 0.25), (25e-9, 0.245)];

    const NOISE: [(f64, f64); STEPS.len()] =
        [(0.2e-9, 1.0), (0.3e-9, 1.0), (0.3e-9, 1.0), (0.3e-9, 1.0), (0.3e-9, 1.0)];

    impl Plant {
        fn text(link: f64) -> Self {
            Self { link, source: 2e9, encoders: 2.0, steps: TEXT }
        }

        fn capacity(&self, step: usize) -> f64 {
            self.encoders / self.steps[step].0
        }

        fn rate(&self, step: usize) -> f64 {
            (self.link / self.steps[step].1).min(self.capacity(step)).min(self.source)
        }

        /// The best step of all, and how much of the file arrives with it in a second.
        fn best(&self) -> f64 {
            (0..STEPS.len()).map(|step| self.rate(step)).fold(0.0, f64::max)
        }

        /// Runs for so many seconds; returns the bytes of the file that arrived.
        fn run(&self, effort: &mut Effort, seconds: f64) -> f64 {
            let (mut arrived, mut left) = (0.0, seconds);
            while left > 0.0 {
                let step = effort.step;
                let rate = self.rate(step);
                let raw = rate * 0.2;
                arrived += raw;
                left -= 0.2;
                let chunk = 4e6;
                let chunks = (raw / chunk).ceil().max(1.0);
                for _ in 0..chunks as u32 {
                    let bytes = raw / chunks;
                    effort.handle_encoded(STEPS[step], bytes as usize, bytes * self.steps[step].0);
                }
                let link_is_behind = self.link / self.steps[step].1 <= rate;
                effort.handle_interval(&Interval {
                    seconds: 0.2,
                    chunks: chunks as u32,
                    raw_bytes: raw as u64,
                    link_is_behind,
                });
            }
            arrived
        }
    }

    #[test]
    fn a_slow_link_gets_what_carries_most_of_the_file() {
        for link in [1e6, 5e6, 25e6, 60e6, 125e6] {
            let plant = Plant::text(link);
            let mut effort = Effort::new(2);
            effort.handle_path(0.08);

            plant.run(&mut effort, 30.0);
            let arrived = plant.run(&mut effort, 60.0) / 60.0;

            let share = arrived / plant.best();
            assert!(share > 0.93, "{link}: {share}, at {:?}", effort.level());
        }
    }

    #[test]
    fn a_fast_link_is_left_alone() {
        let plant = Plant::text(600e6);
        let mut effort = Effort::new(2);
        effort.handle_path(50e-6);

        let arrived = plant.run(&mut effort, 60.0) / 60.0;

        assert_eq!(effort.level(), None);
        assert!(arrived > 0.999 * plant.rate(0), "{arrived}");
    }

    #[test]
    fn a_fast_link_that_begins_slowly_or_falters_is_left_alone() {
        let plant = Plant::text(600e6);
        let mut effort = Effort::new(2);
        effort.handle_path(50e-6);
        let slow = Plant { source: 2e9, ..Plant::text(100e6) };
        for _ in 0..20 {
            plant.run(&mut effort, 0.6);
            slow.run(&mut effort, 0.2);
            assert_eq!(effort.level(), None);
        }
        let mut begins = Effort::new(2);
        slow.run(&mut begins, 0.2);
        plant.run(&mut begins, 60.0);
        assert_eq!(begins.level(), None);
    }

    #[test]
    fn a_long_path_is_compressed_from_the_first_chunk_and_a_fast_one_soon_not() {
        let plant = Plant { source: 1e9, encoders: 1.0, ..Plant::text(900e6) };
        let mut effort = Effort::new(1);
        effort.handle_path(0.08);
        assert_eq!(effort.level(), Some(1));

        plant.run(&mut effort, 3.0);

        assert_eq!(effort.level(), None, "one encoder gives 333 MB/s, the link takes 900");
        effort.handle_path(0.08);
        assert_eq!(effort.level(), None, "what was learnt counts for more than the path");
    }

    #[test]
    fn noise_costs_a_trial_now_and_then_and_ends_without_compression() {
        let plant = Plant { steps: NOISE, ..Plant::text(25e6) };
        let mut effort = Effort::new(2);
        effort.handle_path(0.0);
        let mut tried = 0;
        for _ in 0..3000 {
            let before = effort.step;
            plant.run(&mut effort, 0.2);
            tried += usize::from(before == 0 && effort.step > 0);
        }

        // Each of the four steps rests for longer every time, up to ten minutes.
        assert!((1..=35).contains(&tried), "{tried}");
    }

    #[test]
    fn a_link_that_becomes_fast_is_not_held_back() {
        let mut effort = Effort::new(1);
        effort.handle_path(0.02);
        let slow = Plant { encoders: 1.0, ..Plant::text(10e6) };
        slow.run(&mut effort, 40.0);
        assert!(effort.level().is_some());

        let fast = Plant { encoders: 1.0, ..Plant::text(1e9) };
        fast.run(&mut effort, 20.0);
        let arrived = fast.run(&mut effort, 20.0) / 20.0;

        assert!(arrived > 0.9 * fast.best(), "{arrived} at {:?}", effort.level());
    }

    #[test]
    fn encoders_that_have_no_core_to_spare_are_given_nothing_more() {
        // The link shares its cores with them: what compressing takes, it loses.
        let mut effort = Effort::new(2);
        effort.handle_encoded(None, 4 << 20, 0.001);
        let interval =
            Interval { seconds: 0.2, chunks: 20, raw_bytes: 80_000_000, link_is_behind: true };

        for _ in 0..2 * RATES_KEPT {
            effort.handle_interval(&interval);
        }

        assert_eq!(effort.level(), None, "400 MB/s are more than two encoders are sure to give");
    }

    #[test]
    fn a_trial_is_judged_by_what_came_after_it() {
        let mut effort = Effort::new(2);
        let interval =
            |raw_bytes| Interval { seconds: 0.5, chunks: 5, raw_bytes, link_is_behind: true };
        for raw_bytes in [1, 9_000_000, 10_000_000] {
            assert_eq!(effort.level(), None, "too little is known of this step");
            effort.handle_interval(&interval(raw_bytes));
        }
        assert_eq!(effort.level(), Some(1));

        effort.handle_interval(&interval(1));
        assert_eq!(effort.level(), Some(1), "chunks of before");
        effort.handle_interval(&interval(10_000_000));
        effort.handle_interval(&interval(10_400_000));

        assert_eq!(effort.level(), None, "4 % more is not worth it");
        for _ in 0..RATES_LEAST {
            assert_eq!(effort.level(), None);
            effort.handle_interval(&interval(10_000_000));
        }
        assert_eq!(effort.level(), Some(3), "level 1 rests, the next one may be tried");
    }
}
