//! Options that say how records are delimited.

use crate::size::ByteSize;
use clap::{Args, ValueEnum};

/// How the sources are read. Lists are alternatives separated by `,` with `\n \r \t \xHH \,`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Format")]
pub struct FormatArgs {
    /// Format of the records [default: by the name of the first source, .csv or .tsv].
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
    /// Longest record that is accepted [default: 256KiB].
    #[arg(long, value_name = "SIZE")]
    pub max_record: Option<ByteSize>,
    /// Encoding of a csv source [default: utf8].
    #[arg(long, value_enum, value_name = "ENCODING")]
    pub encoding: Option<Encoding>,
}

/// What `--format` takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum FormatName {
    /// Records of one length.
    Fixed,
    /// Delimited records.
    Csv,
}

/// What `--encoding` takes. Both are kept byte for byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Encoding {
    /// One byte a character.
    Ascii,
    /// UTF-8.
    Utf8,
}
