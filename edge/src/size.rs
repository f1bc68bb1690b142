//! Numbers of bytes and of things as people write and read them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// A number of bytes, written `64MiB`, `10GB` or plain `4096`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

/// A text that is not a size.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("size {text:?} is not a whole number with a unit such as B, KB, KiB, MB, MiB, GB or GiB")]
pub struct SizeError {
    text: String,
}

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()));
        number
            .parse::<u64>()
            .ok()
            .zip(factor)
            .and_then(|(number, (_, factor))| number.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| SizeError { text: text.chars().take(40).collect() })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, factor): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS[..4].iter().find(exact).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = SizeError;

    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

/// A number of bytes rounded for reading: `512 B`, `1.5 MiB`.
#[derive(Clone, Copy, Debug)]
pub struct About(pub u64);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..4].iter().find(|(_, factor)| self.0 >= *factor) {
            Some((unit, factor)) => write!(f, "{:.1} {unit}", self.0 as f64 / *factor as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A number of bytes, rounded and exact: `1.5 MiB (1572864 bytes)`, or `512 bytes`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = Count(self.0, "byte");
        if self.0 < 1 << 10 { exact.fmt(f) } else { write!(f, "{} ({exact})", About(self.0)) }
    }
}

/// A number of things, named by the singular of a regular noun: `1 part`, `2 entries`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        f.pad(&match (count, noun.strip_suffix('y')) {
            (1, _) => format!("1 {noun}"),
            (_, Some(stem)) => format!("{count} {stem}ies"),
            (_, None) => format!("{count} {noun}s"),
        })
    }
}

/// A duration rounded to whole seconds: `7 s`, `3 min 5 s`, `2 h 10 min`.
#[derive(Clone, Copy, Debug)]
pub struct AboutTime(pub Duration);

impl fmt::Display for AboutTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64().round() as u64;
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(f, "{seconds} s"),
            (0, minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
            (hours, minutes, _) => write!(f, "{hours} h {minutes} min"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1B", 1),
            ("128MiB", 128 << 20),
            ("128 mib", 128 << 20),
            ("3GB", 3_000_000_000),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for wrong in ["", "MiB", "-1", "1.5MiB", "1 MiB x", "1XB", "16777216TiB", "+1"] {
            let error = wrong.parse::<ByteSize>().unwrap_err();
            assert_eq!(error, SizeError { text: wrong.into() });
        }
    }

    #[test]
    fn a_size_shows_as_what_reads_back() {
        for (bytes, text) in
            [(0, "0B"), (1000, "1000B"), (1 << 20, "1MiB"), (3 << 10, "3KiB"), (5 << 40, "5TiB")]
        {
            assert_eq!(ByteSize(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
    }

    #[test]
    fn amounts_are_rounded_for_reading() {
        assert_eq!(About(1023).to_string(), "1023 B");
        assert_eq!(About(1_572_864).to_string(), "1.5 MiB");
        assert_eq!(About(5 << 40).to_string(), "5.0 TiB");
        assert_eq!(Bytes(1023).to_string(), "1023 bytes");
        assert_eq!(Bytes(1).to_string(), "1 byte");
        assert_eq!(Bytes(1_572_864).to_string(), "1.5 MiB (1572864 bytes)");
        let shown = |seconds| AboutTime(Duration::from_secs(seconds)).to_string();
        assert_eq!(shown(59), "59 s");
        assert_eq!(shown(185), "3 min 5 s");
        assert_eq!(shown(7_830), "2 h 10 min");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!(Count(1, "part").to_string(), "1 part");
        assert_eq!(Count(0, "part").to_string(), "0 parts");
        assert_eq!(Count(1, "entry").to_string(), "1 entry");
        assert_eq!(Count(12, "entry").to_string(), "12 entries");
        assert_eq!(format!("{:>8}", Count(2, "part")), " 2 parts");
    }
}
