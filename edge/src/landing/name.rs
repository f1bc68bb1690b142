//! Names of landing zones.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Name of a landing zone: lower-case letters, digits, `-` and `_`, at most 63 bytes, beginning
/// with a letter or digit.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(String);

/// A text that is not the name of a landing zone.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("landing zone name {text:?} is not 1 to 63 of the characters a-z 0-9 - _")]
pub struct ZoneNameError {
    text: String,
}

impl ZoneName {
    /// Accepts the text as it is; nothing is changed.
    ///
    /// # Errors
    ///
    /// A character outside the set, a first character that is not a letter or digit, or a length
    /// outside 1 to 63.
    pub fn parse(text: &str) -> Result<Self, ZoneNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let usable = (1..=63).contains(&text.len())
            && text.bytes().all(|byte| plain(byte) || b"-_".contains(&byte))
            && text.bytes().next().is_some_and(plain);
        if usable {
            Ok(Self(text.to_owned()))
        } else {
            Err(ZoneNameError { text: text.chars().take(80).collect() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ZoneName {
    type Err = ZoneNameError;

    fn from_str(text: &str) -> Result<Self, ZoneNameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ZoneName {
    type Error = ZoneNameError;

    fn try_from(text: String) -> Result<Self, ZoneNameError> {
        Self::parse(&text)
    }
}

impl From<ZoneName> for String {
    fn from(name: ZoneName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_name_keeps_its_text_or_says_what_is_allowed() {
        assert_eq!(ZoneName::parse("in_2-eu").unwrap().as_str(), "in_2-eu");
        for wrong in ["", "-a", "_a", "A", "a b", "a/b", "a.b", &"x".repeat(64)] {
            let text = wrong.to_owned();
            assert_eq!(ZoneName::parse(wrong), Err(ZoneNameError { text }));
        }
    }
}
