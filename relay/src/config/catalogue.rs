//! Where the catalogue is said to be: in `relay.toml`, on the command line, in the environment.

use super::{ConfigError, RelayDir, RelaySettings};
use crate::catalogue::{CatalogueUrl, Place};
use serde::Deserialize;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// What `relay.toml`, `--catalogue` or `SKYSPRAY_CATALOGUE` says. It is read only when it is used, and never shown:
/// it may hold a password, which is refused then.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct CatalogueArg(String);

impl CatalogueArg {
    /// What it means.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Catalogue`].
    pub fn url(&self) -> Result<CatalogueUrl, ConfigError> {
        self.0.parse().map_err(|source| ConfigError::Catalogue { source })
    }
}

impl FromStr for CatalogueArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for CatalogueArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CatalogueArg(..)")
    }
}

impl RelaySettings {
    /// Lets what was said for this run take the place of what the file says.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Catalogue`].
    pub fn override_catalogue(&mut self, said: Option<&CatalogueArg>) -> Result<(), ConfigError> {
        if let Some(said) = said {
            self.catalogue = said.url()?;
        }
        Ok(())
    }

    /// The catalogue of the relay in `dir`. A password file is looked for there, unless its path
    /// begins at the root.
    pub fn catalogue_place(&self, dir: &RelayDir) -> Place {
        match &self.catalogue {
            CatalogueUrl::Sqlite => Place::File(dir.catalogue()),
            CatalogueUrl::Postgres(url) => {
                let file = self.catalogue_password_file.as_ref();
                let password_file = file.map(|file| dir.path().join(file));
                Place::Postgres { url: url.clone(), password_file }
            }
        }
    }
}
