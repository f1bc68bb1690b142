//! Sizes and durations as people write them: `64MiB`, `30s`.

use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// A number of bytes, written with a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

/// Why a text is no size or duration.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UnitError {
    /// There is no whole number in front.
    #[error("{text:?} does not begin with a whole number")]
    Number {
        /// The text, cut to 40 characters.
        text: String,
    },
    /// The unit is missing or unknown.
    #[error("{text:?} has no known unit, expected one of {expected}")]
    Unit {
        /// The text, cut to 40 characters.
        text: String,
        /// The units there are.
        expected: &'static str,
    },
    /// More than can be counted.
    #[error("{text:?} is too much")]
    TooMuch {
        /// The text, cut to 40 characters.
        text: String,
    },
}

const SIZE_UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// In milliseconds.
const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn parse(text: &str, units: &[(&str, u64)], expected: &'static str) -> Result<u64, UnitError> {
    let shown = || text.chars().take(40).collect::<String>();
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Number { text: shown() });
    }
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start());
    let (_, factor) = factor.ok_or_else(|| UnitError::Unit { text: shown(), expected })?;
    let number = number.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| UnitError::TooMuch { text: shown() })
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &SIZE_UNITS, "B, KiB, MiB, GiB, TiB").map(Self)
    }
}

impl TryFrom<String> for Size {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl fmt::Display for Size {
    /// With the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: u64| self.0 > 0 && self.0.is_multiple_of(factor);
        let unit = SIZE_UNITS.iter().rev().find(|(_, factor)| fits(*factor));
        let (unit, factor) = unit.unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A duration, written with a unit: `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
///
/// Whoever wrote it is at fault; see [`UnitError`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATION_UNITS, "ms, s, m, h, d").map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_back_from_what_it_shows() {
        for (text, bytes) in [("128MiB", 128 << 20), ("1TiB", 1 << 40), ("1000B", 1000), ("0B", 0)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(" 64 KiB ".parse(), Ok(Size(64 << 10)));
    }

    #[test]
    fn a_size_without_a_unit_or_number_says_what_is_expected() {
        let parse = |text: &str| text.parse::<Size>().unwrap_err().to_string();

        assert_eq!(parse("64"), "\"64\" has no known unit, expected one of B, KiB, MiB, GiB, TiB");
        assert_eq!(
            parse("64MB"),
            "\"64MB\" has no known unit, expected one of B, KiB, MiB, GiB, TiB"
        );
        assert_eq!(parse("MiB"), "\"MiB\" does not begin with a whole number");
        assert_eq!(parse("-1B"), "\"-1B\" does not begin with a whole number");
        assert_eq!(parse("99999999TiB"), "\"99999999TiB\" is too much");
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(parse_duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_hours(7 * 24)));
        let expected = "ms, s, m, h, d";
        assert_eq!(parse_duration("10"), Err(UnitError::Unit { text: "10".into(), expected }));
    }
}
