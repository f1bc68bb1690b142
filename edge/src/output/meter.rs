//! How fast a job goes and how long it will take.

use crate::size::{About, AboutTime};
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// Over how long the rate is taken.
const WINDOW: Duration = Duration::from_secs(10);

/// Least time between two samples, so that their number is bounded.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// Measures a job by the bytes that are durable. Plain data: the time is a parameter.
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<(Instant, u64)>,
    latest: Option<(u64, Option<u64>)>,
}

impl Meter {
    /// Notes how many bytes are durable and how many there will be.
    pub fn observe(&mut self, durable: u64, total: Option<u64>, now: Instant) {
        self.latest = Some((durable, total));
        let due =
            self.samples.back().is_none_or(|(last, _)| now.duration_since(*last) >= SAMPLE_EVERY);
        if due {
            self.samples.push_back((now, durable));
        }
        while self.samples.len() > 2 && now.duration_since(self.samples[1].0) >= WINDOW {
            self.samples.pop_front();
        }
    }

    /// How the job stands; `None` before the first observation.
    pub fn read(&self, now: Instant) -> Option<Reading> {
        let (durable, total) = self.latest?;
        let rate = self.samples.front().and_then(|(since, before)| {
            let seconds = now.duration_since(*since).as_secs_f64();
            let moved = durable.saturating_sub(*before);
            (seconds > 0.0).then(|| (moved as f64 / seconds) as u64)
        });
        let left = total.map(|total| total.saturating_sub(durable));
        let eta = left
            .zip(rate.filter(|rate| *rate > 0))
            .map(|(left, rate)| Duration::from_secs_f64(left as f64 / rate as f64));
        Some(Reading { bytes_durable: durable, bytes_total: total, bytes_per_second: rate, eta })
    }
}

/// How a job stands at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Reading {
    /// Bytes that would survive a crash of the other side.
    pub bytes_durable: u64,
    /// Bytes there will be, where known.
    pub bytes_total: Option<u64>,
    /// Rate over the last ten seconds.
    pub bytes_per_second: Option<u64>,
    /// Time left at this rate.
    #[serde(rename = "eta_seconds", serialize_with = "whole_seconds")]
    pub eta: Option<Duration>,
}

fn whole_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64().round() as u64).serialize(to)
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", About(self.bytes_durable))?;
        if let Some(total) = self.bytes_total {
            write!(f, " of {}", About(total))?;
        }
        f.write_str(" durable")?;
        if let Some(rate) = self.bytes_per_second {
            write!(f, ", {}/s", About(rate))?;
        }
        match self.eta {
            Some(eta) => write!(f, ", {} left", AboutTime(eta)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_this_run_and_of_the_last_seconds() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut meter = Meter::default();
        assert_eq!(meter.read(start), None);
        meter.observe(1000, Some(5000), start);
        let first = meter.read(start).unwrap();
        assert_eq!((first.bytes_durable, first.bytes_per_second, first.eta), (1000, None, None));

        meter.observe(2000, Some(5000), at(2));
        let reading = meter.read(at(2)).unwrap();
        assert_eq!(reading.bytes_per_second, Some(500), "bytes before this run do not count");
        assert_eq!(reading.eta, Some(Duration::from_secs(6)));

        for second in 3..=60 {
            meter.observe(2000 + second * 10, Some(5000), at(second));
        }
        assert_eq!(meter.read(at(60)).unwrap().bytes_per_second, Some(10));
        assert_eq!(meter.read(at(120)).unwrap().bytes_per_second, Some(1), "it stalls");
        assert!(meter.samples.len() <= 12, "{}", meter.samples.len());
    }

    #[test]
    fn a_reading_is_one_line_and_leaves_out_what_is_not_known() {
        let reading = Reading {
            bytes_durable: 3 << 20,
            bytes_total: Some(12 << 20),
            bytes_per_second: Some(1 << 20),
            eta: Some(Duration::from_secs(9)),
        };
        assert_eq!(reading.to_string(), "3.0 MiB of 12.0 MiB durable, 1.0 MiB/s, 9 s left");
        let unknown = Reading { bytes_total: None, bytes_per_second: None, eta: None, ..reading };
        assert_eq!(unknown.to_string(), "3.0 MiB durable");
    }
}
