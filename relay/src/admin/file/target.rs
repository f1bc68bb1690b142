//! How a person names a logical file or a scope on the command line.

use skyspray_wire::name::{LabelError, LogicalName, LogicalNameError, PlaneName, Scope};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A logical file as a person names it: `PLANE:scope::name`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileTarget {
    /// The plane.
    pub plane: PlaneName,
    /// The name on it.
    pub name: LogicalName,
}

/// A scope as a person names it: `PLANE` or `PLANE:scope`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScopeTarget {
    /// The plane.
    pub plane: PlaneName,
    /// The scope on it.
    pub scope: Scope,
}

/// Why a text names no file or scope.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FileTargetError {
    /// There is no plane in front.
    #[error("{text:?} is not of the form PLANE:scope::name")]
    Form {
        /// The text, cut to 120 characters.
        text: String,
    },
    /// What is in front is no plane.
    #[error(transparent)]
    Plane(#[from] LabelError),
    /// What follows is no logical name or scope.
    #[error(transparent)]
    Name(#[from] LogicalNameError),
}

impl FromStr for FileTarget {
    type Err = FileTargetError;

    fn from_str(text: &str) -> Result<Self, FileTargetError> {
        let form = || FileTargetError::Form { text: text.chars().take(120).collect() };
        let (plane, name) = text.split_once(':').ok_or_else(form)?;
        if name.starts_with(':') {
            return Err(form());
        }
        Ok(Self { plane: PlaneName::parse(plane)?, name: LogicalName::parse(name)? })
    }
}

impl fmt::Display for FileTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.plane, self.name)
    }
}

impl FromStr for ScopeTarget {
    type Err = FileTargetError;

    fn from_str(text: &str) -> Result<Self, FileTargetError> {
        let (plane, scope) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self { plane: PlaneName::parse(plane)?, scope: Scope::parse(scope)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_plane_and_a_logical_name() {
        let target: FileTarget = "data:~Acme::Orders 1".parse().unwrap();

        assert_eq!(target.to_string(), "data:acme::orders 1");
        let error = |text: &str| text.parse::<FileTarget>().unwrap_err();
        for text in ["data", "data::orders"] {
            assert_eq!(error(text), FileTargetError::Form { text: text.into() });
        }
        assert_eq!(
            error("Data:x").to_string(),
            "plane name \"Data\" is not 1 to 63 of the characters a-z 0-9 - _"
        );
        let name = "a::..".to_owned();
        assert_eq!(error("data:a::.."), FileTargetError::Name(LogicalNameError::Relative { name }));
    }

    #[test]
    fn a_scope_may_be_left_out() {
        let scope = |text: &str| text.parse::<ScopeTarget>().unwrap().scope;

        assert_eq!(scope("data"), Scope::default());
        assert_eq!(scope("data:"), Scope::default());
        assert_eq!(scope("data:Acme::In"), Scope::parse("acme::in").unwrap());
    }
}
