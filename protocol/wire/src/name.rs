//! Names as parsed types: once a value of these types exists, no later layer checks it again.
//!
//! The types are `Segment`, `PlanePath`, `Scope`, `LogicalName`, `PlaneName` and `AgentName`.

mod logical;
mod path;

pub use logical::{LogicalName, LogicalNameError, Scope};
pub use path::{PathError, PlanePath, RESERVED_PREFIX, Segment, SegmentError};

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// A text that is not a plane or agent name.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{kind} name {name:?} is not 1 to {max} of the characters {allowed}")]
pub struct LabelError {
    kind: &'static str,
    name: String,
    max: usize,
    allowed: &'static str,
}

macro_rules! label {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:literal, $allowed:literal, $also:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Accepts the text as it is; nothing is changed.
            ///
            /// # Errors
            ///
            /// Any character outside the set, an edge character that is not a letter or digit, or a
            /// length outside 1 to the maximum.
            pub fn parse(text: &str) -> Result<Self, LabelError> {
                let inner = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || $also.contains(&byte)
                };
                let edge = |byte: Option<&u8>| {
                    byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                };
                let bytes = text.as_bytes();
                if bytes.len() <= $max
                    && bytes.iter().copied().all(inner)
                    && edge(bytes.first())
                    && edge(bytes.last())
                {
                    Ok(Self(text.to_owned()))
                } else {
                    let name = text.chars().take(80).collect();
                    Err(LabelError { kind: $kind, name, max: $max, allowed: $allowed })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = LabelError;

            fn try_from(text: String) -> Result<Self, LabelError> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = LabelError;

            fn from_str(text: &str) -> Result<Self, LabelError> {
                Self::parse(text)
            }
        }
    };
}

label! {
    /// Name of a plane: lower-case letters, digits, `-` and `_`, at most 63 bytes.
    PlaneName, "plane", 63, "a-z 0-9 - _", b"-_"
}

label! {
    /// Name of an enrolled edge, chosen by the operator; becomes a DNS label of its certificate.
    AgentName, "agent", 40, "a-z 0-9 -", b"-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_its_text_or_says_what_is_allowed() {
        assert_eq!(PlaneName::parse("lake_2-eu").unwrap().as_str(), "lake_2-eu");
        let error = AgentName::parse("Edge.1").unwrap_err();

        assert_eq!(
            error.to_string(),
            "agent name \"Edge.1\" is not 1 to 40 of the characters a-z 0-9 -"
        );
        for wrong in ["", "-a", "a-", "a b", &"x".repeat(41)] {
            assert_eq!(AgentName::parse(wrong).unwrap_err().kind, "agent", "{wrong:?}");
        }
    }
}
