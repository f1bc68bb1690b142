//! Lists of names: `{a,b}` and `scope::{a,~b}`.

use super::HpccName;
use super::error::{NameError, shown};
use super::parse::{Wildcards, parse_one};

/// Names in one list.
const LIST_NAMES_MAX: usize = 10_000;

/// The text of a list, taken apart.
pub(super) struct ListText<'a> {
    /// All of it.
    text: &'a str,
    /// What stands before the first `{` and goes before each name that has no `~`.
    prefix: &'a str,
    /// What stands between the braces.
    names: &'a str,
}

impl<'a> ListText<'a> {
    /// Finds the braces; as for HPCC, a name is a list when it ends in `}` and has a `{`.
    pub(super) fn find(text: &'a str) -> Option<Self> {
        let inner = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let (prefix, names) = inner.strip_suffix('}')?.split_once('{')?;
        Some(Self { text, prefix, names })
    }

    /// The names in their order.
    pub(super) fn parse(&self) -> Result<Vec<HpccName>, NameError> {
        if self.names.trim_matches(' ').is_empty() {
            return Err(NameError::EmptyList { list: shown(self.text) });
        }
        if self.names.contains(['{', '}']) || self.prefix.contains('}') {
            return Err(NameError::NestedList { list: shown(self.text) });
        }
        if self.prefix.contains(',') {
            return Err(NameError::CommaBeforeList { list: shown(self.text) });
        }
        let names = self.names.split(',').count();
        if names > LIST_NAMES_MAX {
            return Err(NameError::ListTooLong { names, names_max: LIST_NAMES_MAX });
        }
        self.names.split(',').map(|name| self.parse_name(name.trim_matches(' '))).collect()
    }

    fn parse_name(&self, name: &str) -> Result<HpccName, NameError> {
        if name.starts_with('~') {
            parse_one(name, Wildcards::Allowed)
        } else {
            parse_one(&format!("{}{name}", self.prefix), Wildcards::Allowed)
        }
    }
}
