//! Options that say which files a command takes as its sources.

use clap::Args;
use std::path::PathBuf;

/// Which sources there are besides those that are named.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceOptions {
    /// File that lists further sources, one path a line, each taken as it is; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// The paths of --files-from end with NUL bytes, not with lines.
    #[arg(long, requires = "files_from")]
    pub from0: bool,
    /// Fail when no pattern matches a file [default: warn, and go on with an empty logical file].
    #[arg(long)]
    pub fail_if_no_source: bool,
}
