//! Where the catalogue is: a file of the relay's own, or a schema on a PostgreSQL server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// What `catalogue` in `relay.toml`, `SKYSPRAY_CATALOGUE` and `serve --catalogue` say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum CatalogueUrl {
    /// `sqlite`: a file in the relay's directory.
    #[default]
    Sqlite,
    /// `postgres://…`: a database that replicas share.
    Postgres(PostgresUrl),
}

/// A URL of a PostgreSQL database, without a password.
#[derive(Clone, Eq, PartialEq)]
pub struct PostgresUrl(String);

/// What [`super::Catalogue::open`] opens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// An SQLite database.
    File(PathBuf),
    /// A schema on a PostgreSQL server: the first of the role's search path.
    Postgres {
        /// The database.
        url: PostgresUrl,
        /// The file that holds the password and nothing else; without it `PGPASSWORD` and the
        /// password file of PostgreSQL's own programs count.
        password_file: Option<PathBuf>,
    },
}

/// Why a text does not say where the catalogue is. What was written is not repeated: it may hold a
/// password.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CatalogueUrlError {
    /// Neither of the two kinds.
    #[error("a catalogue is \"sqlite\" or a URL that begins with postgres://")]
    Kind,
    /// A secret where others may read it.
    #[error("the catalogue's URL holds a password")]
    Password,
    /// A parameter that means nothing here.
    #[error("the catalogue's URL has the parameter {name:?}, which is not one of {}", PARAMETERS.join(", "))]
    Parameter {
        /// Its name, cut to 40 characters.
        name: String,
    },
}

impl CatalogueUrlError {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Password => {
                "leave the password out of it and name its file as catalogue_password_file in \
                 relay.toml, or use PGPASSWORD, ~/.pgpass or PGPASSFILE"
            }
            Self::Kind | Self::Parameter { .. } => {
                "write sqlite, or postgres://USER@HOST/DATABASE?sslmode=verify-full"
            }
        }
    }
}

/// The parameters a URL may have.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
    "options",
];

impl FromStr for CatalogueUrl {
    type Err = CatalogueUrlError;

    fn from_str(text: &str) -> Result<Self, CatalogueUrlError> {
        if text == "sqlite" {
            return Ok(Self::Sqlite);
        }
        let rest = ["postgres://", "postgresql://"].iter().find_map(|kind| text.strip_prefix(kind));
        let rest = rest.ok_or(CatalogueUrlError::Kind)?;
        // A password may hold any of `/?#`, which end what comes before a host: then an `@` follows.
        let (before, _) = rest.rsplit_once('@').unwrap_or(("", rest));
        if before.contains(':') {
            return Err(CatalogueUrlError::Password);
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let parameters = rest.split_once('?').map_or("", |(_, parameters)| parameters);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
            if name.eq_ignore_ascii_case("password") {
                return Err(CatalogueUrlError::Password);
            }
            if !PARAMETERS.contains(&name) && !name.starts_with("options[") {
                let name = name.chars().take(40).collect();
                return Err(CatalogueUrlError::Parameter { name });
            }
        }
        Ok(Self::Postgres(PostgresUrl(text.to_owned())))
    }
}

impl PostgresUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The files it names, as far as their names are written plainly.
    pub(super) fn files(&self) -> impl Iterator<Item = &std::path::Path> {
        let parameters = self.0.split_once('?').map_or("", |(_, parameters)| parameters);
        let values = parameters.split('&').filter_map(|parameter| parameter.split_once('='));
        let named = values.filter(|(name, _)| ["sslrootcert", "sslcert", "sslkey"].contains(name));
        named.filter(|(_, value)| !value.contains('%')).map(|(_, value)| value.as_ref())
    }

    /// Whether it says how the connection is protected.
    pub(super) fn names_ssl_mode(&self) -> bool {
        let parameters = self.0.split_once('?').map_or("", |(_, parameters)| parameters);
        parameters.split('&').any(|parameter| parameter.starts_with("sslmode="))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CatalogueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => f.write_str("sqlite"),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> CatalogueUrlError {
        text.parse::<CatalogueUrl>().unwrap_err()
    }

    #[test]
    fn a_catalogue_is_a_file_or_a_database() {
        assert_eq!("sqlite".parse(), Ok(CatalogueUrl::Sqlite));
        for text in [
            "postgres://relay@db/skyspray?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgresql://db:5433/skyspray",
            "postgres:///skyspray?host=/var/run/postgresql&user=relay",
            "postgres://relay@[::1]:5432/skyspray?options[search_path]=two",
        ] {
            let url: CatalogueUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        for text in ["", "SQLite", "mysql://db/x", "/var/lib/catalogue.db", "postgres:db"] {
            assert_eq!(error(text), CatalogueUrlError::Kind, "{text}");
        }
    }

    #[test]
    fn a_password_is_refused_wherever_it_stands_and_never_repeated() {
        for text in [
            "postgres://relay:s3cret@db/skyspray",
            "postgres://relay:s3c/r?e#t@db/skyspray",
            "postgres://relay:s3c#ret@db/skyspray",
            "postgres://relay:s3c?ret@db/skyspray",
            "postgres://relay:@db/skyspray",
            "postgres://relay@db/skyspray?password=s3cret",
            "postgres://relay@db/skyspray?sslmode=require&PassWord=s3cret",
        ] {
            let error = error(text);
            assert_eq!(error, CatalogueUrlError::Password, "{text}");
            assert!(!format!("{error} {error:?}").contains("s3c"));
            assert!(error.advice().contains("catalogue_password_file"));
        }
    }

    #[test]
    fn a_parameter_nobody_reads_is_refused() {
        let found = error("postgres://relay@db/x?sslmod=verify-full");
        assert_eq!(found, CatalogueUrlError::Parameter { name: "sslmod".to_owned() });
        let found = error("postgres://relay@db/x?p%61ssword=s3cret");
        assert_eq!(found, CatalogueUrlError::Parameter { name: "p%61ssword".to_owned() });
    }
}
