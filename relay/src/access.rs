//! Who may do what where: rules of agent × plane × operation × scope, deny by default.
//!
//! Pure. The catalogue stores the rules; callers ask at open, and again inside the commit.

use skyspray_wire::name::{
    LabelError, LogicalName, LogicalNameError, PlaneName, PlanePath, Scope, Segment,
};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What an agent asks to do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// Write to a plane: spray and push.
    Push,
    /// Read from a plane: despray, pull, describe.
    Pull,
    /// See names.
    List,
    /// Remove what exists.
    Remove,
    /// Replace what exists; asked for beside [`Operation::Push`].
    Overwrite,
}

impl Operation {
    /// Every operation, in the order they are shown.
    pub const ALL: [Self; 5] = [Self::Push, Self::Pull, Self::List, Self::Remove, Self::Overwrite];

    /// The name in a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::List => "list",
            Self::Remove => "remove",
            Self::Overwrite => "overwrite",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of operations, written `push,pull`; never empty when parsed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Operations(u8);

impl Operations {
    /// The set of these operations.
    pub fn of(operations: impl IntoIterator<Item = Operation>) -> Self {
        operations.into_iter().fold(Self::default(), |set, operation| Self(set.0 | bit(operation)))
    }

    /// Whether `operation` is in the set.
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & bit(operation) != 0
    }

    /// The operations, in the order of [`Operation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |&operation| self.contains(operation))
    }
}

fn bit(operation: Operation) -> u8 {
    1 << (operation as u8)
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, operation) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{operation}")?;
        }
        Ok(())
    }
}

impl FromStr for Operations {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut set = Self::default();
        for name in text.split(',').map(str::trim) {
            let operation = Operation::ALL.into_iter().find(|operation| operation.as_str() == name);
            let Some(operation) = operation else {
                return Err(RuleError::UnknownOperation { name: name.chars().take(40).collect() });
            };
            set.0 |= bit(operation);
        }
        Ok(set)
    }
}

/// Which planes a rule is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Planes {
    /// Every plane there is or will be; written `*`.
    Any,
    /// This one.
    One(PlaneName),
}

impl Planes {
    /// Whether `plane` is among them.
    pub fn hold(&self, plane: &PlaneName) -> bool {
        match self {
            Self::Any => true,
            Self::One(mine) => mine == plane,
        }
    }
}

impl fmt::Display for Planes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::One(plane) => plane.fmt(f),
        }
    }
}

impl FromStr for Planes {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text == "*" { Ok(Self::Any) } else { PlaneName::parse(text).map(Self::One) }
    }
}

/// One thing an agent may do, written `OPS:PLANE[:SCOPE]` (`push,pull:data:ingest::acme`).
///
/// Rules only ever allow; what no rule allows is denied.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Rule {
    /// What may be done.
    pub operations: Operations,
    /// On which planes.
    pub planes: Planes,
    /// Under which logical names, and under which directories of the plane.
    pub scope: Scope,
}

/// Why a text is no rule.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RuleError {
    /// Fewer than two fields.
    #[error("rule {rule:?} is not of the form OPS:PLANE[:SCOPE]")]
    Form {
        /// The rule, cut to 120 characters.
        rule: String,
    },
    /// An operation that does not exist.
    #[error("operation {name:?} is none of {}", Operations::of(Operation::ALL))]
    UnknownOperation {
        /// The operation, cut to 40 characters.
        name: String,
    },
    /// The second field is no plane.
    #[error("rule {rule:?} names no plane")]
    Plane {
        /// The rule, cut to 120 characters.
        rule: String,
        /// What is wrong with it.
        source: LabelError,
    },
    /// The third field is there but empty; a rule for everything has no third field.
    #[error("rule {rule:?} ends with an empty scope; leave out its last `:` to mean every scope")]
    EmptyScope {
        /// The rule, cut to 120 characters.
        rule: String,
    },
    /// The third field is no scope.
    #[error("rule {rule:?} names no scope")]
    Scope {
        /// The rule, cut to 120 characters.
        rule: String,
        /// What is wrong with it.
        source: LogicalNameError,
    },
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let shown = || text.chars().take(120).collect::<String>();
        let (operations, rest) =
            text.split_once(':').ok_or_else(|| RuleError::Form { rule: shown() })?;
        let (planes, scope) = match rest.split_once(':') {
            Some((_, scope)) if scope.trim().is_empty() => {
                return Err(RuleError::EmptyScope { rule: shown() });
            }
            Some((planes, scope)) => (planes, scope),
            None => (rest, ""),
        };
        Ok(Self {
            operations: operations.parse()?,
            planes: planes.parse().map_err(|source| RuleError::Plane { rule: shown(), source })?,
            scope: Scope::parse(scope)
                .map_err(|source| RuleError::Scope { rule: shown(), source })?,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.operations, self.planes)?;
        if self.scope.segments().is_empty() { Ok(()) } else { write!(f, ":{}", self.scope) }
    }
}

/// Whether some rule allows `operation` at these segments of `plane`.
///
/// The segments are those of a normalised logical name or scope; for paths see [`allows_path`].
pub fn allows<'a, S>(rules: &[Rule], operation: Operation, plane: &PlaneName, segments: S) -> bool
where
    S: IntoIterator<Item = &'a str> + Clone,
{
    rules.iter().any(|rule| {
        rule.operations.contains(operation)
            && rule.planes.hold(plane)
            && rule.scope.holds(segments.clone())
    })
}

/// Whether some rule allows `operation` on the logical file `name`.
pub fn allows_name(
    rules: &[Rule],
    operation: Operation,
    plane: &PlaneName,
    name: &LogicalName,
) -> bool {
    let segments: Vec<&str> = name.segments().collect();
    allows(rules, operation, plane, segments)
}

/// Whether some rule allows `operation` on everything in `scope`.
pub fn allows_scope(
    rules: &[Rule],
    operation: Operation,
    plane: &PlaneName,
    scope: &Scope,
) -> bool {
    allows(rules, operation, plane, scope.segments().iter().map(String::as_str))
}

/// Whether some rule allows `operation` at `path` of `plane`: the scope `a::b` stands for the
/// directory `a/b` in any case.
///
/// Only ASCII letters are folded: scopes hold no others, and a letter of another script that folds
/// to an ASCII one names a different directory.
pub fn allows_path(
    rules: &[Rule],
    operation: Operation,
    plane: &PlaneName,
    path: &PlanePath,
) -> bool {
    let lower: Vec<String> =
        path.segments().iter().map(Segment::as_str).map(str::to_ascii_lowercase).collect();
    allows(rules, operation, plane, lower.iter().map(String::as_str))
}

#[cfg(test)]
mod tests;
