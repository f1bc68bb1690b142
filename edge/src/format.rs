//! From options of the command line to a record format.

use crate::cli::{FormatArgs, LayoutArgs, To};
use crate::exit::{Details, Exit, Explain};
use crate::splitting::{Prefix, Wanted};
use skyspray_dfu::blob::{BlobError, PrefixSpec};
use skyspray_dfu::encoding::DeclaredEncoding;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::format::{FormatName, FormatOptions, OptionError, RecordFormat};
use skyspray_dfu::meta::FileMeta;
use skyspray_dfu::split::Layout;
use skyspray_link::seam::files::Escaped;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use thiserror::Error;

/// How `format` and `layout` ask for sources to be split, the first of which has this name. The
/// metadata, if any, stand in for options that are not given.
///
/// # Errors
///
/// The options do not fit each other, or say too little; the user's to correct.
pub fn wanted(
    format: &FormatArgs,
    layout: &LayoutArgs,
    meta: Option<&FileMeta>,
    first_source: &OsStr,
) -> Result<Wanted, FormatError> {
    let prefix = layout.prefix.as_ref().map(|text| {
        let spec = PrefixSpec::parse(text)?;
        Ok::<Prefix, FormatError>(Prefix { text: text.clone(), spec })
    });
    let prefix = prefix.transpose()?;
    if prefix.is_some() && layout.to.is_some() {
        return Err(FormatError::PrefixConverted);
    }
    let format_of_records = match meta {
        _ if prefix.is_some() => RecordFormat::Blob,
        Some(meta) if format.format.is_none() => meta.format()?,
        _ => resolve(format, first_source)?,
    };
    let layout_said = match (layout.nosplit, layout.whole) {
        (_, true) => Some(Layout::SplitPoints),
        (true, _) => Some(Layout::WholeSources),
        _ => None,
    };
    Ok(Wanted {
        declared: format.encoding.map(DeclaredEncoding::from),
        format: format_of_records,
        target: To::target(layout.to),
        on_invalid: layout.on_invalid.into(),
        layout: layout_said,
        join: layout.join.into(),
        prefix,
    })
}

/// The format that `args` ask for, or else the one the name of the first source stands for.
///
/// # Errors
///
/// The options do not fit each other, or say too little; the user's to correct.
fn resolve(args: &FormatArgs, first_source: &OsStr) -> Result<RecordFormat, FormatError> {
    let options = FormatOptions {
        format: args.format.map(FormatName::from),
        record_size: args.record_size.map(|size| size.0),
        separator: args.separator.clone(),
        quote: args.quote.clone(),
        terminator: args.terminator.clone(),
        escape: args.escape.clone(),
        row_tag: args.row_tag.clone(),
        row_path: args.row_path.clone(),
        max_record: args.max_record.map(|size| size.0),
        encoding: args.encoding.map(DeclaredEncoding::from),
    };
    options.resolve(first_source.to_str().unwrap_or_default()).map_err(|error| match error {
        OptionError::Unsaid => FormatError::Unsaid { source_name: first_source.to_owned() },
        error => error.into(),
    })
}

/// Why options make no format.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// Neither an option nor the name says what the records are.
    #[error("name {} announces no format", Escaped(source_name))]
    Unsaid {
        /// File name of the first source.
        source_name: OsString,
    },
    /// The options of the format do not fit each other, or say too little.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// Split points without a word about how many.
    #[error("--whole needs --parts, the number of ranges to keep with the one part")]
    NoSplitPoints,
    /// The prefix of blobs is none.
    #[error("--prefix cannot be used")]
    Prefix(#[from] BlobError),
    /// Blobs are stored as they are.
    #[error("--to cannot be used with --prefix, blobs are stored as they are")]
    PrefixConverted,
    /// The metadata describe no format.
    #[error("the metadata describe no format known here")]
    Meta(#[from] AttributeError),
}

impl Explain for FormatError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Unsaid { .. } => "format-unsaid",
            _ => "format-invalid",
        })
    }

    fn details(&self) -> Details {
        let hpcc = match self {
            Self::Prefix(error) => error.hpcc_number(),
            Self::PrefixConverted => Some(8083),
            Self::Meta(error) => error.hpcc_number(),
            _ => None,
        };
        Details { hpcc, ..Details::default() }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Prefix(error) => Some(error.advice().to_owned()),
            Self::Unsaid { .. } => Some(
                "say --format csv, or --format fixed with --record-size; --help has all".into(),
            ),
            Self::Options(OptionError::NoRowTag) => {
                Some("name the elements that are rows, as in --row-tag Row".into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FormatName;
    use crate::exit::Chain;
    use crate::size::ByteSize;
    use skyspray_dfu::format::CsvFormat;
    use std::num::NonZeroU32;

    fn refused(args: FormatArgs, name: &str) -> String {
        Chain(&resolve(&args, OsStr::new(name)).unwrap_err()).to_string()
    }

    fn args(format: Option<FormatName>) -> FormatArgs {
        FormatArgs { format, ..FormatArgs::default() }
    }

    #[test]
    fn a_name_announces_the_format_unless_an_option_says_it() {
        let found = |format, name: &str| resolve(&args(format), OsStr::new(name)).unwrap();
        let csv = RecordFormat::Csv(CsvFormat::default());
        let tabs = RecordFormat::Csv(CsvFormat::tab_separated());

        assert_eq!(found(None, "a.csv"), csv);
        assert_eq!(found(None, "a.TSV"), tabs);
        assert_eq!(found(Some(FormatName::Csv), "a.tsv"), tabs);
        assert_eq!(found(Some(FormatName::Csv), "a.bin"), csv);
        let fixed = FormatArgs { record_size: Some(ByteSize(9)), ..args(Some(FormatName::Fixed)) };
        let record_bytes = NonZeroU32::new(9).unwrap();
        let resolved = resolve(&fixed, OsStr::new("a.csv")).unwrap();
        assert_eq!(resolved, RecordFormat::Fixed { record_bytes });
        assert_eq!(
            resolve(&args(None), OsStr::new("a\n.bin")).unwrap_err().to_string(),
            r"name a\n.bin announces no format"
        );
    }

    #[test]
    fn every_delimiter_can_be_said() {
        let said = FormatArgs {
            separator: Some(";,|".into()),
            quote: Some(String::new()),
            terminator: Some("<EOL>".into()),
            escape: Some("\\".into()),
            max_record: Some(ByteSize(100)),
            ..args(Some(FormatName::Csv))
        };
        let RecordFormat::Csv(format) = resolve(&said, OsStr::new("a")).unwrap() else {
            panic!("csv was asked for")
        };
        let options = format.options();

        assert_eq!(options.separators, [b";", b"|"]);
        assert_eq!(options.quotes, Vec::<Vec<u8>>::new());
        assert_eq!(options.terminators, [b"<EOL>"]);
        assert_eq!(options.escapes, [b"\\"]);
        assert_eq!(options.max_record.get(), 100);
    }

    #[test]
    fn options_that_do_not_fit_are_refused_by_name() {
        let fixed = || args(Some(FormatName::Fixed));
        let csv = || args(Some(FormatName::Csv));
        let text = || Some("x".to_owned());

        assert_eq!(refused(fixed(), "a"), "a fixed format needs --record-size");
        for (changed, option) in [
            (FormatArgs { separator: text(), ..fixed() }, "--separator"),
            (FormatArgs { quote: text(), ..fixed() }, "--quote"),
            (FormatArgs { terminator: text(), ..fixed() }, "--terminator"),
            (FormatArgs { escape: text(), ..fixed() }, "--escape"),
            (FormatArgs { max_record: Some(ByteSize(1)), ..fixed() }, "--max-record"),
            (FormatArgs { encoding: Some(crate::cli::Encoding::Utf8), ..fixed() }, "--encoding"),
        ] {
            let expected = format!("{option} does not belong to format fixed");
            assert_eq!(refused(changed, "a"), expected);
        }
        let sized = FormatArgs { record_size: Some(ByteSize(1)), ..csv() };
        assert_eq!(refused(sized, "a"), "--record-size does not belong to format csv");
        let zero = FormatArgs { record_size: Some(ByteSize(0)), ..fixed() };
        assert_eq!(refused(zero, "a"), "--record-size is 0 bytes, expected 1 to 4294967295");
        let comma = FormatArgs { separator: Some(",".into()), ..csv() };
        assert_eq!(
            refused(comma, "a"),
            "delimiters make no format: separator list cannot be read: alternative 1 of the list \
             is empty, a literal comma is written `\\,`"
        );
    }
}
