//! How sources were split, as attributes of the logical file, and back: what a later verification
//! needs to make the same parts.

use super::{
    JOIN_ATTRIBUTE, NOSPLIT_ATTRIBUTE, POINTS_ATTRIBUTE, PREFIX_ATTRIBUTE, Prefix,
    SOURCE_ATTRIBUTE, TARGET_ATTRIBUTE, Wanted,
};
use crate::blob::PrefixSpec;
use crate::encoding::{DeclaredEncoding, Encoding, OnInvalid};
use crate::format::RecordFormat;
use crate::format::attributes::AttributeError;
use crate::split::{Join, Layout, SplitOptions, Target};

type Attributes = Vec<(String, String)>;

/// What parts hold, and how they came to be, where that is more than the format says.
pub(super) fn of(wanted: &Wanted, format: &RecordFormat, options: &SplitOptions) -> Attributes {
    let stored = options.stored_format(format);
    let mut attributes = stored.to_attributes();
    if wanted.target == Target::Utf8WithMark
        && let Some((_, format)) = attributes.iter_mut().find(|(name, _)| name == "format")
    {
        // HPCC's name for UTF-8 with a byte order mark in every part.
        "utf8".clone_into(format);
    }
    let mut add = |name: &str, value: String| attributes.push((name.to_owned(), value));
    if stored != *format {
        let source = serde_json::to_string(&format.to_attributes());
        add(SOURCE_ATTRIBUTE, source.expect("texts are plain data"));
    }
    if let Some(target) = target_name(wanted.target) {
        add(TARGET_ATTRIBUTE, target.to_owned());
    }
    if let Some(prefix) = &wanted.prefix {
        add(PREFIX_ATTRIBUTE, prefix.text.clone());
    }
    if wanted.layout == Some(Layout::WholeSources) {
        add(NOSPLIT_ATTRIBUTE, "1".to_owned());
    }
    if wanted.join == Join::Verbatim {
        add(JOIN_ATTRIBUTE, "verbatim".to_owned());
    }
    attributes
}

/// How a logical file with these attributes was split.
pub(super) fn wanted(attributes: &[(String, String)]) -> Result<Wanted, AttributeError> {
    let value = |name: &str| {
        attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    };
    let unusable = |name: &str| AttributeError::Unknown { format: name.to_owned() };
    let pairs = |list: &Attributes| {
        RecordFormat::from_attributes(list.iter().map(|(name, value)| (&**name, &**value)))
    };
    let format = match value(SOURCE_ATTRIBUTE) {
        None => pairs(&attributes.to_vec())?,
        Some(json) => {
            let source = serde_json::from_str::<Attributes>(json);
            pairs(&source.map_err(|_| unusable(SOURCE_ATTRIBUTE))?)?
        }
    };
    let prefix = match value(PREFIX_ATTRIBUTE) {
        None => None,
        Some(text) => Some(Prefix {
            text: text.to_owned(),
            spec: PrefixSpec::parse(text).map_err(|_| unusable(PREFIX_ATTRIBUTE))?,
        }),
    };
    let layout = match (value(NOSPLIT_ATTRIBUTE), value(POINTS_ATTRIBUTE)) {
        (Some(_), _) => Some(Layout::WholeSources),
        (_, Some(_)) => Some(Layout::SplitPoints),
        _ => None,
    };
    Ok(Wanted {
        declared: Some(declared(format.encoding())),
        target: value(TARGET_ATTRIBUTE).map_or(Target::Native, target_named),
        // Only what was stored is compared; what could not be converted was not stored.
        on_invalid: OnInvalid::Replace,
        layout,
        join: match value(JOIN_ATTRIBUTE) {
            Some("verbatim") => Join::Verbatim,
            _ => Join::Mend,
        },
        prefix,
        format,
    })
}

fn declared(encoding: Encoding) -> DeclaredEncoding {
    match encoding {
        Encoding::Ascii => DeclaredEncoding::Ascii,
        Encoding::Utf8 => DeclaredEncoding::Utf8,
        Encoding::Utf16Le => DeclaredEncoding::Utf16Le,
        Encoding::Utf16Be => DeclaredEncoding::Utf16Be,
        Encoding::Utf32Le => DeclaredEncoding::Utf32Le,
        Encoding::Utf32Be => DeclaredEncoding::Utf32Be,
    }
}

fn target_name(target: Target) -> Option<&'static str> {
    match target {
        Target::Native => None,
        Target::Utf8 => Some("utf8n"),
        Target::Utf8WithMark => Some("utf8"),
        Target::Variable => Some("variable"),
    }
}

fn target_named(name: &str) -> Target {
    match name {
        "utf8n" => Target::Utf8,
        "utf8" => Target::Utf8WithMark,
        "variable" => Target::Variable,
        _ => Target::Native,
    }
}
