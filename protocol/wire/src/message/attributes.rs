//! What describes a logical file: pairs of texts, bounded together so that they fit a frame.

use crate::limits::{ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX};
use crate::refusal::{Refusal, RefusalCode};
use thiserror::Error;

/// Key and value that describe a logical file, with HPCC's names (`kind`, `format`, …).
pub type Attributes = Vec<(String, String)>;

/// More attributes than a logical file may have.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "{count} attributes of {bytes} bytes, at most {ATTRIBUTES_MAX} of {ATTRIBUTES_BYTES_MAX} bytes \
     together are allowed; leave out or shorten the longest, which often is a record layout"
)]
pub struct AttributesError {
    /// How many there are.
    pub count: usize,
    /// Bytes of all names and values together.
    pub bytes: usize,
}

impl AttributesError {
    /// What the sender is told.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(RefusalCode::LimitExceeded, self.to_string())
    }
}

/// That a logical file may have these attributes.
///
/// # Errors
///
/// Too many, or too long together: whoever chose them is at fault.
pub fn check_attributes(attributes: &[(String, String)]) -> Result<(), AttributesError> {
    let (count, bytes) =
        (attributes.len(), attributes.iter().map(|(name, value)| name.len() + value.len()).sum());
    if count > ATTRIBUTES_MAX || bytes > ATTRIBUTES_BYTES_MAX {
        return Err(AttributesError { count, bytes });
    }
    Ok(())
}

/// `attributes` with `late` added; of the same name, the late one takes the other's place.
///
/// # Errors
///
/// As for [`check_attributes`], of all together.
pub fn merge_attributes(
    mut attributes: Attributes,
    late: &[(String, String)],
) -> Result<Attributes, AttributesError> {
    for (name, value) in late {
        match attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => attributes.push((name.clone(), value.clone())),
        }
    }
    check_attributes(&attributes)?;
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn late_attributes_take_the_place_of_their_names_and_follow_the_others() {
        let merged = merge_attributes(
            vec![pair("kind", "flat"), pair("format", "csv")],
            &[pair("recordCount", "3"), pair("kind", "csv"), pair("recordCount", "4")],
        );

        let expected = vec![pair("kind", "csv"), pair("format", "csv"), pair("recordCount", "4")];
        assert_eq!(merged, Ok(expected));
    }

    #[test]
    fn the_limit_is_of_all_together_and_a_replaced_value_counts_no_more() {
        let full = vec![pair("ECL", &"x".repeat(ATTRIBUTES_BYTES_MAX - 3))];
        assert_eq!(check_attributes(&full), Ok(()));

        let over = merge_attributes(full.clone(), &[pair("k", "")]).unwrap_err();
        assert_eq!(over, AttributesError { count: 2, bytes: ATTRIBUTES_BYTES_MAX + 1 });
        assert_eq!(
            over.refusal(),
            Refusal::new(
                RefusalCode::LimitExceeded,
                "2 attributes of 32769 bytes, at most 64 of 32768 bytes together are allowed; \
                 leave out or shorten the longest, which often is a record layout"
            )
        );
        assert_eq!(merge_attributes(full, &[pair("ECL", "")]), Ok(vec![pair("ECL", "")]));
        let many: Attributes = (0..65).map(|number| pair(&number.to_string(), "")).collect();
        assert_eq!(check_attributes(&many[..64]), Ok(()));
        assert_eq!(check_attributes(&many), Err(AttributesError { count: 65, bytes: 120 }));
    }
}
