//! What became of one contender of a race, and how it compares with another.

use super::contender::{Absence, Contender};
use super::summary::Spread;
use super::usage::Usage;
use serde_json::{Value, json};

/// Bytes of a MiB, for figures.
const MIB: f64 = 1_048_576.0;

/// One contender's turns, in the order of the rounds.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) name: &'static str,
    pub(super) turns: Vec<Usage>,
    pub(super) state: State,
    /// Whether it is the product: an edge and a relay.
    pub(super) is_own: bool,
    bytes: u64,
    files: u64,
}

/// Whether a contender was there to the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    Running,
    /// It never took part, with the reason.
    Absent(String),
    /// It failed in a round, with the reason.
    Failed(String),
}

impl Standing {
    pub(super) fn new(contender: &dyn Contender) -> Self {
        let (name, is_own) = (contender.name(), contender.is_own());
        let (bytes, files) = (contender.load().bytes, contender.load().files);
        Self { name, turns: Vec::new(), state: State::Running, is_own, bytes, files }
    }

    pub(super) fn absent(Absence { name, reason }: Absence) -> Self {
        let state = State::Absent(reason);
        Self { name, turns: Vec::new(), state, is_own: false, bytes: 0, files: 0 }
    }

    /// Why it has no figures; `None` when it has.
    pub(super) fn missing(&self) -> Option<String> {
        match &self.state {
            State::Running => None,
            State::Absent(reason) => Some(format!("absent: {reason}")),
            State::Failed(reason) => Some(format!("failed: {reason}")),
        }
    }

    /// One turn for people who watch.
    pub(super) fn told(&self, usage: &Usage) -> String {
        let (wall, cpu) = (usage.wall_seconds, usage.cpu_seconds());
        let speed = match self.files {
            1 => format!("{:>6.0} MB/s", self.bytes as f64 / wall / 1e6),
            files => format!("{:>6.0} files/s", files as f64 / wall),
        };
        format!("{:<42} {wall:>7.2} s  {speed}  {cpu:>6.2} CPU s", self.name)
    }

    fn spread(&self, figure: impl Fn(&Usage) -> f64) -> Spread {
        Spread::of(self.turns.iter().map(figure).collect())
    }

    pub(super) fn megabytes_per_second(&self) -> Spread {
        self.spread(|usage| self.bytes as f64 / 1e6 / usage.wall_seconds)
    }

    pub(super) fn files_per_second(&self) -> Spread {
        self.spread(|usage| self.files as f64 / usage.wall_seconds)
    }

    /// CPU time of both sides for a GiB.
    pub(super) fn cpu_per_gib(&self) -> Spread {
        self.spread(|usage| usage.cpu_seconds() / self.gib())
    }

    /// The same of the client and of the server alone.
    pub(super) fn cpu_of_sides_per_gib(&self) -> (Spread, Spread) {
        let client = self.spread(|usage| usage.client_cpu_seconds / self.gib());
        (client, self.spread(|usage| usage.server_cpu_seconds / self.gib()))
    }

    /// CPU time of both sides for a file, in milliseconds.
    pub(super) fn cpu_ms_per_file(&self) -> Spread {
        self.spread(|usage| usage.cpu_seconds() * 1e3 / self.files as f64)
    }

    fn gib(&self) -> f64 {
        self.bytes as f64 / (1024.0 * MIB)
    }

    /// The most the client and the server had resident in any round, in MiB.
    pub(super) fn peaks_mib(&self) -> (f64, f64) {
        let most = |figure: fn(&Usage) -> u64| {
            self.turns.iter().map(figure).max().unwrap_or(0) as f64 / MIB
        };
        (most(|usage| usage.client_memory_bytes), most(|usage| usage.server_memory_bytes))
    }

    /// How many times as fast as `other` this one carried its bytes, round by round.
    pub(super) fn speed_ratio(&self, other: &Self) -> Result<Spread, String> {
        let rate = |standing: &Self, usage: &Usage| standing.bytes as f64 / usage.wall_seconds;
        self.ratio(other, |own, others| rate(self, own) / rate(other, others))
    }

    /// How many times the CPU time of `other` this one took for its bytes, round by round.
    pub(super) fn cpu_ratio(&self, other: &Self) -> Result<Spread, String> {
        let cost = |standing: &Self, usage: &Usage| usage.cpu_seconds() / standing.bytes as f64;
        self.ratio(other, |own, others| cost(self, own) / cost(other, others))
    }

    fn ratio(&self, other: &Self, of: impl Fn(&Usage, &Usage) -> f64) -> Result<Spread, String> {
        for standing in [self, other] {
            if let Some(reason) = standing.missing() {
                return Err(format!("{}: {reason}", standing.name));
            }
        }
        Ok(Spread::of(self.turns.iter().zip(&other.turns).map(|(a, b)| of(a, b)).collect()))
    }

    /// All of it, compared with `own`, the product.
    pub(super) fn json(&self, own: &Self) -> Value {
        let turns: Vec<_> = self.turns.iter().map(Usage::json).collect();
        let head = json!({ "name": self.name, "turns": turns });
        let figures = match self.missing() {
            Some(reason) => json!({ "missing": reason }),
            None => json!({
                "bytes": self.bytes,
                "files": self.files,
                "megabytes_per_second": self.megabytes_per_second().json(),
                "files_per_second": self.files_per_second().json(),
                "cpu_seconds_per_gib": self.cpu_per_gib().json(),
                "client_memory_mib": self.peaks_mib().0,
                "server_memory_mib": self.peaks_mib().1,
                "own_speed_ratio": own.speed_ratio(self).ok().map(|ratio| ratio.json()),
                "own_cpu_ratio": own.cpu_ratio(self).ok().map(|ratio| ratio.json()),
            }),
        };
        merged(head, figures)
    }
}

/// One object with the fields of both.
fn merged(mut head: Value, tail: Value) -> Value {
    if let (Value::Object(head), Value::Object(tail)) = (&mut head, tail) {
        head.extend(tail);
    }
    head
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A contender with these wall times for a GiB of one file, and twice as much CPU time.
    pub(in super::super) fn standing(name: &'static str, walls: &[f64]) -> Standing {
        let turns = walls.iter().map(|&wall_seconds| Usage {
            wall_seconds,
            client_cpu_seconds: wall_seconds,
            server_cpu_seconds: wall_seconds,
            client_memory_bytes: 3 << 20,
            server_memory_bytes: 5 << 20,
        });
        let (turns, is_own) = (turns.collect(), name.starts_with("skyspray"));
        Standing { name, turns, state: State::Running, is_own, bytes: 1 << 30, files: 1 }
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let (slow, quick) = (standing("a", &[2.0, 8.0, 3.0]), standing("b", &[1.0, 2.0, 3.0]));

        let (speed, cpu) = (quick.speed_ratio(&slow).unwrap(), quick.cpu_ratio(&slow).unwrap());

        assert_eq!(speed, Spread { median: 2.0, least: 1.0, most: 4.0 });
        assert_eq!(cpu, Spread { median: 0.5, least: 0.25, most: 1.0 });
    }

    #[test]
    fn ratios_count_the_bytes_of_each() {
        let (one, mut two) = (standing("a", &[2.0]), standing("b", &[2.0]));
        two.bytes *= 2;

        assert_eq!(two.speed_ratio(&one).unwrap(), Spread::single(2.0));
        assert_eq!(two.cpu_ratio(&one).unwrap(), Spread::single(0.5));
        assert_eq!(two.cpu_per_gib(), Spread::single(2.0));
        assert_eq!(two.peaks_mib(), (3.0, 5.0));
    }

    #[test]
    fn who_is_absent_or_failed_has_no_ratio_but_a_reason_in_the_figures() {
        let own = standing("spray", &[1.0, 1.0]);
        let absence = Absence { name: "qcp", reason: "qcp is not installed".into() };
        let absent = Standing::absent(absence);
        let mut failed = standing("scp", &[1.0]);
        failed.state = State::Failed("scp ended with 1".into());

        assert_eq!(own.speed_ratio(&absent).unwrap_err(), "qcp: absent: qcp is not installed");
        assert_eq!(own.cpu_ratio(&failed).unwrap_err(), "scp: failed: scp ended with 1");
        assert_eq!(absent.json(&own)["missing"], "absent: qcp is not installed");
        assert_eq!(failed.json(&own)["turns"].as_array().map(Vec::len), Some(1));
    }
}
