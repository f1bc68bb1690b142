//! What a failure of PostgreSQL, or of the way to it, means.

use super::super::super::error::CatalogueError;
use std::io;

/// What a failure of a statement, or of getting a connection for it, means.
pub(super) fn classify(source: sqlx::Error) -> CatalogueError {
    match &source {
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // lock_not_available: longer than lock_timeout.
            Some("55P03") => CatalogueError::Busy,
            // disk_full.
            Some("53100") => CatalogueError::Full,
            Some(code) if is_passing(code) => unavailable(source),
            _ => CatalogueError::Database { source },
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed
        | sqlx::Error::WorkerCrashed => unavailable(source),
        _ => CatalogueError::Database { source },
    }
}

/// What a failure to connect means, to the server and database shown as `at`.
pub(super) fn connect(source: sqlx::Error, at: String) -> CatalogueError {
    if let Some(source) = tls_fault(&source) {
        return CatalogueError::Untrusted { at, source };
    }
    match classify(source) {
        CatalogueError::Database { source } => CatalogueError::Connect { at, source },
        error => error,
    }
}

/// What is wrong with the certificate of the server. Waiting does not mend that, although it comes as
/// a failure of the way to it.
fn tls_fault(source: &sqlx::Error) -> Option<rustls::Error> {
    let fault = match source {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>(),
        sqlx::Error::Tls(error) => error.downcast_ref::<rustls::Error>(),
        _ => None,
    };
    fault.filter(|fault| matches!(fault, rustls::Error::InvalidCertificate(_))).cloned()
}

/// The server has not answered in time.
pub(super) fn unreachable() -> CatalogueError {
    unavailable(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))
}

fn unavailable(source: sqlx::Error) -> CatalogueError {
    CatalogueError::Unavailable { source }
}

/// Whether the same transaction may succeed later: the connection or the server was lost, another
/// transaction was in the way, or a resource is short.
fn is_passing(code: &str) -> bool {
    // connection_exception; transaction_rollback (serialization, deadlock); insufficient_resources;
    // operator_intervention (57014 is also what statement_timeout says).
    let classes = ["08", "40", "53", "57"];
    // idle_in_transaction_session_timeout; in_failed_sql_transaction and no_active_sql_transaction
    // follow a failure before; read_only_sql_transaction is what a standby says after a fail-over.
    let codes = ["25P03", "25P02", "25P01", "25006"];
    classes.iter().any(|class| code.starts_with(class)) || codes.contains(&code)
}
