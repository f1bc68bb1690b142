//! `spray`: files of a plane to a logical file on another, without an edge.

use super::context::Context;
use super::file::{FileTarget, copier};
use super::{AdminError, Output};
use crate::config::{Size, UnitError};
use crate::copy::SprayRequest;
use crate::serve::stop_requested;
use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use serde::Serialize;
use skyspray_dfu::blob::{BlobError, PrefixSpec};
use skyspray_dfu::encoding::{DeclaredEncoding, OnInvalid};
use skyspray_dfu::format::{FormatName, FormatOptions, OptionError, RecordFormat};
use skyspray_dfu::split::{Join, Layout, Target};
use skyspray_dfu::splitting::{Prefix, Wanted};
use skyspray_link::seam::files::RelPath;
use skyspray_wire::name::{LabelError, PathError, PlaneName, PlanePath};
use std::str::FromStr;
use thiserror::Error;

/// `spray`. Lists are alternatives separated by `,` with `\n \r \t \xHH \,`.
#[derive(Args, Clone, Debug)]
pub struct SprayArgs {
    /// The files, of one plane: PLANE:path, or several as PLANE:path,path.
    #[arg(value_name = "PLANE:PATH", required = true)]
    pub sources: Vec<SourceList>,
    /// The logical file: PLANE:scope::name.
    #[arg(value_name = "PLANE:NAME")]
    pub target: FileTarget,
    /// Number of parts; 0 asks for the plane's default.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub parts: u32,
    /// Replace the logical file if it exists.
    #[arg(long)]
    pub overwrite: bool,
    /// Keep every source whole: each goes into one part.
    #[arg(long, conflicts_with = "whole")]
    pub nosplit: bool,
    /// Store one part, as the source is; where it would be split into --parts is kept with it.
    #[arg(long)]
    pub whole: bool,
    /// Write before each source, kept whole, its name and length: FILENAME{:n},FILESIZE{:[B|L][1-8]}.
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["whole", "to"])]
    pub prefix: Option<String>,
    /// What happens between sources without a final terminator: mend or verbatim.
    #[arg(long, value_name = "HOW", default_value = "mend", value_parser = one_of(&JOINS))]
    pub join: Join,
    /// Store text as UTF-8, or fixed records with their length: utf8, utf8-bom or variable.
    #[arg(long, value_name = "WHAT", value_parser = one_of(&TARGETS))]
    pub to: Option<Target>,
    /// What happens to text that is illegal in its encoding when it is converted: fail or replace.
    #[arg(long, value_name = "HOW", default_value = "fail", value_parser = one_of(&ON_INVALID))]
    pub on_invalid: OnInvalid,
    /// Format of the records [default: by the name of the first source].
    #[arg(long, value_name = "FORMAT", value_parser = format_name())]
    pub format: Option<FormatName>,
    /// Length of a record of a fixed format, in bytes.
    #[arg(long, value_name = "SIZE", value_parser = byte_count)]
    pub record_size: Option<u64>,
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
    /// Keys to the array of rows of JSON, as in /a/b.
    #[arg(long, value_name = "PATH")]
    pub row_path: Option<String>,
    /// Longest record that is accepted.
    #[arg(long, value_name = "SIZE", value_parser = byte_count)]
    pub max_record: Option<u64>,
    /// Encoding of text [default: what a byte order mark says, or else the format's].
    #[arg(long, value_name = "ENCODING", value_parser = one_of(&ENCODINGS))]
    pub encoding: Option<DeclaredEncoding>,
}

const JOINS: [(&str, Join); 2] = [("mend", Join::Mend), ("verbatim", Join::Verbatim)];

const TARGETS: [(&str, Target); 3] =
    [("utf8", Target::Utf8), ("utf8-bom", Target::Utf8WithMark), ("variable", Target::Variable)];

const ON_INVALID: [(&str, OnInvalid); 2] =
    [("fail", OnInvalid::Fail), ("replace", OnInvalid::Replace)];

const ENCODINGS: [(&str, DeclaredEncoding); 9] = [
    ("ascii", DeclaredEncoding::Ascii),
    ("utf8", DeclaredEncoding::Utf8),
    ("utf8n", DeclaredEncoding::Utf8n),
    ("utf16", DeclaredEncoding::Utf16),
    ("utf16le", DeclaredEncoding::Utf16Le),
    ("utf16be", DeclaredEncoding::Utf16Be),
    ("utf32", DeclaredEncoding::Utf32),
    ("utf32le", DeclaredEncoding::Utf32Le),
    ("utf32be", DeclaredEncoding::Utf32Be),
];

/// Takes one of these words for what it stands for.
fn one_of<T: Copy + Send + Sync + 'static>(
    words: &'static [(&'static str, T)],
) -> impl clap::builder::TypedValueParser<Value = T> {
    let parser = PossibleValuesParser::new(words.iter().map(|(word, _)| *word));
    parser.map(|word| {
        let found = words.iter().find(|(known, _)| *known == word);
        found.expect("only these words are let through").1
    })
}

/// A number of bytes, with a unit or without.
fn byte_count(text: &str) -> Result<u64, UnitError> {
    text.parse().or_else(|_| text.parse::<Size>().map(|size| size.0))
}

fn format_name() -> impl clap::builder::TypedValueParser<Value = FormatName> {
    let parser = PossibleValuesParser::new(FormatName::ALL.map(FormatName::as_str));
    parser.map(|word| FormatName::parse(&word).expect("only known names are let through"))
}

/// Files of one plane, as a person names them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceList {
    /// The plane.
    pub plane: PlaneName,
    /// From its root.
    pub paths: Vec<PlanePath>,
}

/// Why a text names no files.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SourceListError {
    /// There is no plane in front.
    #[error("{text:?} is not of the form PLANE:path")]
    Form {
        /// The text, cut to 120 characters.
        text: String,
    },
    /// What is in front is no plane.
    #[error(transparent)]
    Plane(#[from] LabelError),
    /// What follows is no path.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl FromStr for SourceList {
    type Err = SourceListError;

    fn from_str(text: &str) -> Result<Self, SourceListError> {
        let form = || SourceListError::Form { text: text.chars().take(120).collect() };
        let (plane, paths) = text.split_once(':').ok_or_else(form)?;
        let paths = paths.split(',').map(PlanePath::parse).collect::<Result<Vec<_>, _>>()?;
        if paths.iter().any(PlanePath::is_root) {
            return Err(form());
        }
        Ok(Self { plane: PlaneName::parse(plane)?, paths })
    }
}

/// Why the options of a spray cannot be used. The operator's to correct.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SprayError {
    /// The options of the format do not fit each other, or say too little.
    #[error(transparent)]
    Format(#[from] OptionError),
    /// The prefix of blobs is none.
    #[error("--prefix cannot be used")]
    Prefix(#[from] BlobError),
    /// Split points without a word about how many.
    #[error("--whole needs --parts, the number of ranges to keep with the one part")]
    NoSplitPoints,
    /// The files are of several planes.
    #[error("files of planes {first} and {other} are not sprayed together")]
    Planes {
        /// That of the first file.
        first: PlaneName,
        /// Another.
        other: PlaneName,
    },
}

impl SprayArgs {
    /// How the sources are to be split, the first of which has this name.
    fn wanted(&self, file_name: &str) -> Result<Wanted, SprayError> {
        if self.whole && self.parts == 0 {
            return Err(SprayError::NoSplitPoints);
        }
        let prefix = self.prefix.as_ref().map(|text| {
            let spec = PrefixSpec::parse(text)?;
            Ok::<_, BlobError>(Prefix { text: text.clone(), spec })
        });
        let prefix = prefix.transpose()?;
        let format = match prefix {
            Some(_) => RecordFormat::Blob,
            None => self.format_options().resolve(file_name)?,
        };
        let layout = match (self.nosplit, self.whole) {
            (_, true) => Some(Layout::SplitPoints),
            (true, _) => Some(Layout::WholeSources),
            _ => None,
        };
        Ok(Wanted {
            format,
            declared: self.encoding,
            target: self.to.unwrap_or_default(),
            on_invalid: self.on_invalid,
            layout,
            join: self.join,
            prefix,
        })
    }

    fn format_options(&self) -> FormatOptions {
        FormatOptions {
            format: self.format,
            record_size: self.record_size,
            separator: self.separator.clone(),
            quote: self.quote.clone(),
            terminator: self.terminator.clone(),
            escape: self.escape.clone(),
            row_tag: self.row_tag.clone(),
            row_path: self.row_path.clone(),
            max_record: self.max_record,
            encoding: self.encoding,
        }
    }

    /// The plane of all sources, and their paths.
    fn sources(&self) -> Result<(&PlaneName, Vec<&PlanePath>), SprayError> {
        let first = &self.sources.first().expect("the command line has a source").plane;
        if let Some(other) = self.sources.iter().find(|list| list.plane != *first) {
            let (first, other) = (first.clone(), other.plane.clone());
            return Err(SprayError::Planes { first, other });
        }
        Ok((first, self.sources.iter().flat_map(|list| &list.paths).collect()))
    }
}

#[derive(Serialize)]
struct SprayedLine {
    plane: String,
    name: String,
    generation: u64,
    wuid: String,
    parts: u32,
    bytes: u64,
    records: Option<u64>,
    sources: usize,
}

pub(super) async fn run(
    args: &SprayArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let (plane, paths) = args.sources()?;
    let name = paths[0].segments().last().map(|name| name.as_str()).unwrap_or_default();
    let wanted = args.wanted(name)?;
    let sources = paths
        .iter()
        .map(|path| RelPath::from_segments(path.segments().iter().map(|name| name.as_str())))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| AdminError::Plane { plane: plane.clone(), source: error.into() })?;
    let to = &args.target;
    let request = SprayRequest {
        jobs: [context.host.job_id(), context.host.job_id()],
        sources,
        to: to.name.clone(),
        wanted,
        parts: args.parts,
        overwrite: args.overwrite,
    };
    let copier = copier((plane, &to.plane), context).await?;
    let made = copier.spray(&request, stop_requested()).await?;
    let line = SprayedLine {
        plane: to.plane.to_string(),
        name: to.name.to_string(),
        generation: made.generation.0,
        wuid: made.wuid.clone(),
        parts: made.parts,
        bytes: made.bytes,
        records: made.records,
        sources: request.sources.len(),
    };
    let text = format!(
        "sprayed {} files to {to} generation {}: {} parts of {} bytes, job {}",
        line.sources, made.generation, made.parts, made.bytes, made.wuid
    );
    output.result("sprayed", &line, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_plane_and_paths() {
        let list: SourceList = "lz:in/a b.csv,c:d.csv".parse().unwrap();

        let paths: Vec<String> = list.paths.iter().map(PlanePath::to_string).collect();
        assert_eq!(
            (list.plane.as_str(), paths),
            ("lz", vec!["in/a b.csv".into(), "c:d.csv".into()])
        );
        let error = |text: &str| text.parse::<SourceList>().unwrap_err();
        for text in ["in/a.csv", "lz:"] {
            assert_eq!(error(text), SourceListError::Form { text: text.into() });
        }
        assert!(matches!(error("LZ:a"), SourceListError::Plane(_)));
        assert!(matches!(error("lz:../a"), SourceListError::Path(_)));
    }
}
