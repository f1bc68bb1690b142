//! An element that is carried as it is, and what may stand in any element.

/// An element nobody here looks into.
///
/// Its text stands before its children; blanks that only lay out the document are not part of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Element {
    /// Its name, with a prefix where it has one.
    pub name: String,
    /// Its attributes in their order.
    pub attributes: Vec<(String, String)>,
    /// Its text.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Element>,
}

/// Whether the element stays behind wherever it stands.
pub(super) fn stays_behind(name: &str) -> bool {
    matches!(name, "Protect" | "_remoteStoragePlane")
}

/// Whether `name` can be the name of an element or attribute.
pub(super) fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(starts_name)
        && characters.all(|c| {
            starts_name(c)
                || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}')
                || matches!(c, '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
        })
}

/// `NameStartChar` of XML 1.0, fifth edition.
fn starts_name(c: char) -> bool {
    matches!(c, ':' | '_' | 'A'..='Z' | 'a'..='z')
        || matches!(c, '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}')
        || matches!(c, '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}')
        || matches!(c, '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}')
        || matches!(c, '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}')
        || matches!(c, '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}')
        || matches!(c, '\u{10000}'..='\u{effff}')
}

/// The first character XML cannot hold, not even as a reference.
pub(super) fn illegal_character(text: &str) -> Option<char> {
    text.chars().find(|c| !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..))
}
