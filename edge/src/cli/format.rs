//! Options that say how records are delimited, stored and joined.

use super::JoinArg;
use crate::size::ByteSize;
use clap::{Args, ValueEnum};
use skyspray_dfu::encoding::{DeclaredEncoding, OnInvalid};
use skyspray_dfu::split::Target;
use std::path::PathBuf;

/// How the sources are read. Lists are alternatives separated by `,` with `\n \r \t \xHH \,`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Format")]
pub struct FormatArgs {
    /// Format of the records [default: by the name of the first source, .csv .tsv .xml .json
    /// .jsonl or .ndjson].
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FormatName>,
    /// Length of a record of a fixed format, in bytes.
    #[arg(long, value_name = "SIZE")]
    pub record_size: Option<ByteSize>,
    /// Separators between fields [default: `\,`].
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub separator: Option<String>,
    /// Quotes around fields; '' for none [default: `"`].
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub quote: Option<String>,
    /// Terminators of records [default: `\n,\r\n`].
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub terminator: Option<String>,
    /// Escapes before delimiters in fields [default: none].
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub escape: Option<String>,
    /// Name of the elements that are rows of XML.
    #[arg(long, value_name = "TAG")]
    pub row_tag: Option<String>,
    /// Keys to the array of rows of JSON, as in /a/b [default: /, the outermost array or
    /// documents one after the other].
    #[arg(long, value_name = "PATH")]
    pub row_path: Option<String>,
    /// Longest record that is accepted [default: 256KiB, 1MiB for xml, json and jsonl, 64MiB for
    /// variable].
    #[arg(long, value_name = "SIZE")]
    pub max_record: Option<ByteSize>,
    /// Encoding of text [default: what a byte order mark says, or else bytes as they are for csv
    /// and UTF-8 for xml and json].
    #[arg(long, value_enum, value_name = "ENCODING")]
    pub encoding: Option<Encoding>,
    /// Format and delimiters, and what else is kept with the file, from HPCC's XML of a logical
    /// file; options given here count more.
    #[arg(long, value_name = "FILE")]
    pub meta: Option<PathBuf>,
}

/// How records are stored and sources are joined.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Layout")]
pub struct LayoutArgs {
    /// Keep every source whole: each goes into one part.
    #[arg(long, conflicts_with = "whole")]
    pub nosplit: bool,
    /// Store one part, as the source is; where it would be split into --parts is kept with it.
    #[arg(long)]
    pub whole: bool,
    /// Write before each source, kept whole, its name and length: FILENAME{:n},FILESIZE{:[B|L][1-8]}.
    #[arg(long, value_name = "SPEC", conflicts_with = "whole")]
    pub prefix: Option<String>,
    /// What happens between sources without a final terminator.
    #[arg(long, value_enum, default_value_t)]
    pub join: JoinArg,
    /// Store text as UTF-8, or fixed records with their length.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub to: Option<To>,
    /// What happens to text that is illegal in its encoding when it is converted.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub on_invalid: OnInvalidArg,
}

/// What `--format` takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum FormatName {
    /// Records of one length.
    Fixed,
    /// Records after a length of 4 bytes, lowest byte first.
    Variable,
    /// The same, highest byte first.
    #[value(alias = "variablebigendian")]
    VariableBe,
    /// Blocks of 32768 bytes of length-prefixed records.
    Blocked,
    /// IBM RECFM=V.
    Recfmv,
    /// IBM RECFM=VB, standard or extended.
    Recfmvb,
    /// Delimited records.
    #[value(alias = "delimited")]
    Csv,
    /// Elements of an XML document.
    Xml,
    /// Items of an array in a JSON document, or documents one after the other.
    Json,
    /// Lines with a JSON document each.
    #[value(alias = "ndjson")]
    Jsonl,
}

impl From<FormatName> for skyspray_dfu::format::FormatName {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Fixed => Self::Fixed,
            FormatName::Variable => Self::Variable,
            FormatName::VariableBe => Self::VariableBe,
            FormatName::Blocked => Self::Blocked,
            FormatName::Recfmv => Self::Recfmv,
            FormatName::Recfmvb => Self::Recfmvb,
            FormatName::Csv => Self::Csv,
            FormatName::Xml => Self::Xml,
            FormatName::Json => Self::Json,
            FormatName::Jsonl => Self::Jsonl,
        }
    }
}

/// What `--encoding` takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Encoding {
    /// Bytes as they are, a byte order mark included.
    Ascii,
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-8 without a byte order mark.
    Utf8n,
    /// UTF-16 as its byte order mark says, big-endian without one.
    Utf16,
    /// UTF-16, lowest byte first.
    Utf16le,
    /// UTF-16, highest byte first.
    Utf16be,
    /// UTF-32 as its byte order mark says, big-endian without one.
    Utf32,
    /// UTF-32, lowest byte first.
    Utf32le,
    /// UTF-32, highest byte first.
    Utf32be,
}

impl From<Encoding> for DeclaredEncoding {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Ascii => Self::Ascii,
            Encoding::Utf8 => Self::Utf8,
            Encoding::Utf8n => Self::Utf8n,
            Encoding::Utf16 => Self::Utf16,
            Encoding::Utf16le => Self::Utf16Le,
            Encoding::Utf16be => Self::Utf16Be,
            Encoding::Utf32 => Self::Utf32,
            Encoding::Utf32le => Self::Utf32Le,
            Encoding::Utf32be => Self::Utf32Be,
        }
    }
}

/// What `--to` takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum To {
    /// Text as UTF-8 without a byte order mark.
    Utf8,
    /// Text as UTF-8, every part with a byte order mark.
    Utf8Bom,
    /// Fixed records after a length of 4 bytes, lowest byte first.
    Variable,
}

impl To {
    /// As the splitter takes it; nothing said keeps records as they are.
    pub fn target(to: Option<Self>) -> Target {
        match to {
            None => Target::Native,
            Some(Self::Utf8) => Target::Utf8,
            Some(Self::Utf8Bom) => Target::Utf8WithMark,
            Some(Self::Variable) => Target::Variable,
        }
    }
}

/// What `--on-invalid` takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OnInvalidArg {
    /// The job ends, and says where.
    #[default]
    Fail,
    /// U+FFFD takes its place, and is counted.
    Replace,
}

impl From<OnInvalidArg> for OnInvalid {
    fn from(arg: OnInvalidArg) -> Self {
        match arg {
            OnInvalidArg::Fail => Self::Fail,
            OnInvalidArg::Replace => Self::Replace,
        }
    }
}
