//! From options of the command line to a record format.

use crate::cli::{FormatArgs, FormatName};
use crate::exit::{Exit, Explain};
use crate::size::ByteSize;
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{CsvError, CsvFormat, CsvOptions, RecordFormat};
use skyspray_link::seam::files::Escaped;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use thiserror::Error;

/// The format that `args` ask for, or else the one the name of the first source stands for.
///
/// # Errors
///
/// The options do not fit each other, or say too little; the user's to correct.
pub fn resolve(args: &FormatArgs, first_source: &OsStr) -> Result<RecordFormat, FormatError> {
    let by_name = first_source.to_str().and_then(RecordFormat::from_file_name);
    match (args.format, by_name) {
        (Some(FormatName::Fixed), _) => fixed(args),
        (Some(FormatName::Csv), Some(RecordFormat::Csv(named))) => csv(args, named),
        (Some(FormatName::Csv), _) => csv(args, CsvFormat::default()),
        (None, Some(RecordFormat::Csv(named))) => csv(args, named),
        (None, Some(RecordFormat::Fixed { .. })) => fixed(args),
        (None, None) => Err(FormatError::Unsaid { source_name: first_source.to_owned() }),
    }
}

fn fixed(args: &FormatArgs) -> Result<RecordFormat, FormatError> {
    let delimiters = [
        ("--separator", args.separator.is_some()),
        ("--quote", args.quote.is_some()),
        ("--terminator", args.terminator.is_some()),
        ("--escape", args.escape.is_some()),
        ("--max-record", args.max_record.is_some()),
        ("--encoding", args.encoding.is_some()),
    ];
    if let Some((option, _)) = delimiters.into_iter().find(|(_, said)| *said) {
        return Err(FormatError::Unfit { option, format: "fixed" });
    }
    let size = args.record_size.ok_or(FormatError::NoRecordSize)?;
    Ok(RecordFormat::Fixed { record_bytes: bytes("--record-size", size)? })
}

fn csv(args: &FormatArgs, named: CsvFormat) -> Result<RecordFormat, FormatError> {
    if args.record_size.is_some() {
        return Err(FormatError::Unfit { option: "--record-size", format: "csv" });
    }
    let mut options = CsvOptions::from(named);
    for (role, list) in [
        (Role::Separator, &args.separator),
        (Role::Quote, &args.quote),
        (Role::Terminator, &args.terminator),
        (Role::Escape, &args.escape),
    ] {
        if let Some(list) = list {
            options.set(role, list)?;
        }
    }
    if let Some(size) = args.max_record {
        options.max_record = bytes("--max-record", size)?;
    }
    Ok(RecordFormat::Csv(CsvFormat::try_new(options)?))
}

fn bytes(option: &'static str, size: ByteSize) -> Result<NonZeroU32, FormatError> {
    u32::try_from(size.0)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or(FormatError::Size { option, found: size.0 })
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
    /// A fixed format without the length of its records.
    #[error("a fixed format needs --record-size")]
    NoRecordSize,
    /// An option of another format.
    #[error("{option} does not belong to format {format}")]
    Unfit {
        /// The option.
        option: &'static str,
        /// The format.
        format: &'static str,
    },
    /// A length no record can have.
    #[error("{option} is {found} bytes, expected 1 to {}", u32::MAX)]
    Size {
        /// The option.
        option: &'static str,
        /// Bytes found.
        found: u64,
    },
    /// Delimiters that cannot be told apart.
    #[error("delimiters make no format")]
    Csv(#[from] CsvError),
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

    fn advice(&self) -> Option<String> {
        match self {
            Self::Unsaid { .. } => {
                Some("say --format csv, or --format fixed with --record-size".into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Chain;

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
        assert_eq!(resolve(&fixed, OsStr::new("a.csv")), Ok(RecordFormat::Fixed { record_bytes }));
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
        let Ok(RecordFormat::Csv(format)) = resolve(&said, OsStr::new("a")) else {
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
