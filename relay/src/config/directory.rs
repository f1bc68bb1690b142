//! The relay's directory: its configuration and state, and which file is where in it.

use std::path::{Path, PathBuf};

/// `DIR` of the commands: everything of one relay but the planes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RelayDir(PathBuf);

impl RelayDir {
    /// The directory used when none is named.
    pub const DEFAULT: &'static str = "/etc/skyspray";

    /// The directory at `path`; nothing is looked at.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `relay.toml`, written by a person.
    pub fn config_file(&self) -> PathBuf {
        self.0.join("relay.toml")
    }

    /// The private directory of keys and certificates.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// The directory of the catalogue.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// The catalogue's database.
    pub fn catalogue(&self) -> PathBuf {
        self.state().join("catalogue.db")
    }

    /// Who may use the HTTP interface; written by `api-token`, and taken up by a running relay.
    pub fn api_tokens_file(&self) -> PathBuf {
        self.0.join("api-tokens.toml")
    }

    /// Where a running relay says on which ports it listens; written by `serve`, removed when it
    /// ends: `{"data":"ip:port","enroll":"ip:port"}`, with `"api":"ip:port"` where it has one.
    pub fn addresses_file(&self) -> PathBuf {
        self.0.join("run").join("addresses.json")
    }
}
