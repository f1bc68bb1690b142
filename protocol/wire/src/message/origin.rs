//! What the parts of a spray came from: its sources, and which range of a part is which range of a
//! source. Kept to be shown; no byte is found or checked by it.

use crate::ids::{Epoch, JobId, PartIndex, SourceIndex};
use crate::limits::{PAGE_MAX, PAGE_NAME_BYTES_MAX, SOURCE_NAME_BYTES_MAX, SOURCES_MAX};
use crate::refusal::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// States what parts of an open spray came from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RecordOrigins {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub epoch: Epoch,
    /// One page. A source stands in it or in an earlier one before a range names it.
    pub origins: Origins,
}

/// A page of sources and ranges: at most [`PAGE_MAX`] of both together, with at most
/// [`PAGE_NAME_BYTES_MAX`] bytes of names.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Origins {
    /// Sources.
    pub sources: Vec<SourceNote>,
    /// Ranges.
    pub ranges: Vec<OriginRange>,
}

/// A source of a spray, for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SourceNote {
    /// Its place among the sources of the job.
    pub index: SourceIndex,
    /// What people call it, at most [`SOURCE_NAME_BYTES_MAX`] bytes. Only ever shown: nothing opens
    /// it.
    pub name: String,
    /// Bytes in it.
    pub bytes: u64,
}

/// Bytes of a part that came from one place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct OriginRange {
    /// The part.
    pub part: PartIndex,
    /// Where in the part the range begins; no other range of the part begins there.
    pub part_offset: u64,
    /// The source.
    pub source: SourceIndex,
    /// Where in the source the range begins.
    pub source_offset: u64,
    /// Bytes of the source, at least 1; as many of the part, unless they were rewritten.
    pub length: u64,
}

impl SourceNote {
    /// A source whose name is shortened to the limit; its end stays, because it tells more.
    pub fn new(index: SourceIndex, name: &str, bytes: u64) -> Self {
        const CUT: &str = "…";
        if name.len() <= SOURCE_NAME_BYTES_MAX {
            return Self { index, name: name.to_owned(), bytes };
        }
        let mut start = name.len() - (SOURCE_NAME_BYTES_MAX - CUT.len());
        while !name.is_char_boundary(start) {
            start += 1;
        }
        Self { index, name: format!("{CUT}{}", &name[start..]), bytes }
    }

    fn check(&self) -> Result<(), OriginError> {
        if self.index.0 >= SOURCES_MAX {
            return Err(OriginError::Source { source_index: self.index });
        }
        let bytes = self.name.len();
        if bytes > SOURCE_NAME_BYTES_MAX {
            return Err(OriginError::Name { source_index: self.index, bytes });
        }
        Ok(())
    }
}

impl Origins {
    /// All of them in pages: the sources first, so that each stands before the ranges that name it.
    /// A name longer than the limit makes a page that [`Origins::check`] refuses.
    pub fn pages<'a>(
        mut sources: &'a [SourceNote],
        mut ranges: &'a [OriginRange],
    ) -> impl Iterator<Item = Self> + 'a {
        std::iter::from_fn(move || {
            let fitting = fitting(sources);
            let (page, rest) = sources.split_at(fitting);
            sources = rest;
            let room = if rest.is_empty() { PAGE_MAX - fitting } else { 0 };
            let (of_ranges, later) = ranges.split_at(room.min(ranges.len()));
            ranges = later;
            let page = Self { sources: page.to_vec(), ranges: of_ranges.to_vec() };
            (!page.is_empty()).then_some(page)
        })
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.ranges.is_empty()
    }

    /// That the page keeps the rules for pages and everything in it those of a spray of `parts`
    /// parts.
    ///
    /// # Errors
    ///
    /// The rule that is broken: the sender's fault.
    pub fn check(&self, parts: u32) -> Result<(), OriginError> {
        let items = self.sources.len() + self.ranges.len();
        let bytes = self.sources.iter().map(|source| source.name.len()).sum();
        if items > PAGE_MAX || bytes > PAGE_NAME_BYTES_MAX {
            return Err(OriginError::Page { items, bytes });
        }
        self.sources.iter().try_for_each(SourceNote::check)?;
        self.ranges.iter().try_for_each(|range| range.check(parts))
    }
}

/// How many of the sources fit one page; at least one, where there is any.
fn fitting(sources: &[SourceNote]) -> usize {
    let mut bytes = 0;
    let fitting = sources.iter().take(PAGE_MAX).take_while(|source| {
        bytes += source.name.len();
        bytes <= PAGE_NAME_BYTES_MAX
    });
    fitting.count().max(1).min(sources.len())
}

impl OriginRange {
    fn check(&self, parts: u32) -> Result<(), OriginError> {
        let Self { part, part_offset: offset, length, .. } = *self;
        if part.0 >= parts {
            return Err(OriginError::Part { part, parts });
        }
        if length == 0 || self.source_offset.checked_add(length).is_none() {
            return Err(OriginError::Length { part, offset, length });
        }
        Ok(())
    }
}

/// Which rule a page of origins breaks.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OriginError {
    /// More than a page.
    #[error(
        "{items} sources and ranges with {bytes} bytes of names, a page holds {PAGE_MAX} and \
         {PAGE_NAME_BYTES_MAX} bytes"
    )]
    Page {
        /// Sources and ranges together.
        items: usize,
        /// Bytes of their names.
        bytes: usize,
    },
    /// More sources than a spray may have.
    #[error("source {source_index}, a spray may record {SOURCES_MAX}")]
    Source {
        /// The source.
        source_index: SourceIndex,
    },
    /// A name that is too long.
    #[error(
        "source {source_index} has a name of {bytes} bytes, at most {SOURCE_NAME_BYTES_MAX} are \
         allowed"
    )]
    Name {
        /// The source.
        source_index: SourceIndex,
        /// Bytes of its name.
        bytes: usize,
    },
    /// A part the job does not have.
    #[error("a range of part {part} in a job of {parts} parts")]
    Part {
        /// The part.
        part: PartIndex,
        /// Parts there are.
        parts: u32,
    },
    /// An empty range, or one that ends where nothing can.
    #[error("a range of {length} bytes at {offset} in part {part}")]
    Length {
        /// The part.
        part: PartIndex,
        /// Where the range begins in it.
        offset: u64,
        /// Its length.
        length: u64,
    },
}

impl OriginError {
    /// What the sender is told.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Source { .. } => RefusalCode::LimitExceeded,
            _ => RefusalCode::Malformed,
        };
        Refusal::new(code, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(index: u32, name: &str) -> SourceNote {
        SourceNote::new(SourceIndex(index), name, 10)
    }

    fn range(part: u32, part_offset: u64, length: u64) -> OriginRange {
        let (part, source) = (PartIndex(part), SourceIndex(0));
        OriginRange { part, part_offset, source, source_offset: 7, length }
    }

    fn checked(ranges: Vec<OriginRange>) -> Result<(), OriginError> {
        Origins { sources: Vec::new(), ranges }.check(2)
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let long = format!("{}/orders.json", "ä".repeat(600));
        let name = source(0, &long).name;

        assert_eq!(name.len(), 1023, "cut between characters");
        assert!(name.starts_with("…ää") && name.ends_with("ä/orders.json"), "{name}");
        assert_eq!(source(0, "orders.csv").name, "orders.csv");
    }

    #[test]
    fn ranges_that_no_part_can_have_are_named() {
        assert_eq!(checked(vec![range(1, 5, 1), range(0, 0, u64::MAX - 7)]), Ok(()));
        let part = PartIndex(2);
        assert_eq!(checked(vec![range(2, 0, 1)]), Err(OriginError::Part { part, parts: 2 }));
        let part = PartIndex(1);
        let wrong = |offset, length| Err(OriginError::Length { part, offset, length });
        assert_eq!(checked(vec![range(1, 5, 0)]), wrong(5, 0));
        assert_eq!(checked(vec![range(1, 0, u64::MAX - 6)]), wrong(0, u64::MAX - 6));
    }

    #[test]
    fn a_page_has_its_bounds_in_items_and_in_names() {
        assert_eq!(checked(vec![range(0, 0, 1); PAGE_MAX]), Ok(()));
        let items = PAGE_MAX + 1;
        let page = Origins { sources: vec![source(0, "")], ranges: vec![range(0, 0, 1); PAGE_MAX] };
        assert_eq!(page.check(1), Err(OriginError::Page { items, bytes: 0 }));

        let sources = vec![source(0, &"x".repeat(1024)); 41];
        let page = Origins { sources, ranges: Vec::new() };
        assert_eq!(page.check(1), Err(OriginError::Page { items: 41, bytes: 41 * 1024 }));
        let source_index = SourceIndex(3);
        let sources = vec![SourceNote { index: source_index, name: "x".repeat(1025), bytes: 0 }];
        let page = Origins { sources, ranges: Vec::new() };
        assert_eq!(page.check(1), Err(OriginError::Name { source_index, bytes: 1025 }));
    }

    #[test]
    fn one_source_too_many_is_a_limit_and_the_rest_breaks_the_protocol() {
        let sources = vec![source(SOURCES_MAX, "")];
        let error = Origins { sources, ranges: Vec::new() }.check(1).unwrap_err();

        assert_eq!(
            error.refusal(),
            Refusal::new(RefusalCode::LimitExceeded, "source 100001, a spray may record 100000")
        );
        let error = checked(vec![range(9, 0, 1)]).unwrap_err();
        assert_eq!(
            error.refusal(),
            Refusal::new(RefusalCode::Malformed, "a range of part 10 in a job of 2 parts")
        );
    }
}
