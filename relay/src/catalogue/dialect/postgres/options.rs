//! How a relay connects to PostgreSQL: what the URL says, where the password comes from, and the
//! limits that every session has.

use super::super::super::error::CatalogueError;
use super::super::super::url::PostgresUrl;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::path::Path;

/// What a session is limited to, as the server takes it, in milliseconds.
///
/// A transaction whose replica has fallen silent ends after 5 s and gives its locks up, which is
/// within the 10 s that others wait for them.
const LIMITS: [(&str, &str); 3] = [
    ("idle_in_transaction_session_timeout", "5000"),
    ("lock_timeout", "10000"),
    ("statement_timeout", "30000"),
];

/// How to connect to what `url` names.
pub(in crate::catalogue::dialect) fn options(
    url: &PostgresUrl,
    password_file: Option<&Path>,
) -> Result<PgConnectOptions, CatalogueError> {
    let parsed: Result<PgConnectOptions, _> = url.as_str().parse();
    let mut options =
        parsed.map_err(|source| CatalogueError::Connect { at: url.to_string(), source })?;
    // What is missing here comes later as if the server were away.
    for path in url.files() {
        let opened = std::fs::File::open(path);
        opened.map_err(|source| CatalogueError::UrlFile { path: path.to_owned(), source })?;
    }
    if let Some(path) = password_file {
        let read = std::fs::read_to_string(path);
        let password =
            read.map_err(|source| CatalogueError::PasswordFile { path: path.to_owned(), source })?;
        options = options.password(password.trim_end_matches(['\r', '\n']));
    }
    if !url.names_ssl_mode() && std::env::var_os("PGSSLMODE").is_none() {
        let local = is_local(&options);
        options = options.ssl_mode(if local { PgSslMode::Prefer } else { PgSslMode::VerifyFull });
    }
    if options.get_application_name().is_none() {
        options = options.application_name("skyspray-relay");
    }
    Ok(options.options(LIMITS))
}

/// The server and database for people: nothing secret.
pub(super) fn shown(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!("{}@{host}:{}/{database}", options.get_username(), options.get_port())
}

/// Whether what is sent to the server does not leave this host.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
