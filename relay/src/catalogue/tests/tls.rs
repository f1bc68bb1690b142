//! A server that is reached over TLS alone, with a certificate of a private authority.

use super::*;
use crate::admin::{Exit, catalogue_advice, catalogue_exit};
use skyspray_tests::server::ca::TestCa;
use std::error::Error as _;
use std::path::Path;

/// A server with an authority of its own, and a database on it.
struct Protected {
    directory: TempDir,
    server: Postgres,
    place: Place,
}

impl Protected {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let ca = TestCa::new().unwrap();
        ca.write(directory.path()).unwrap();
        let server = Postgres::start_tls(&ca).unwrap_or_else(|error| panic!("{error}"));
        let place = Site::on_server(&server, &directory);
        Self { directory, server, place }
    }

    /// The database, with these parameters in its URL.
    fn with(&self, host: &str, parameters: &str) -> Place {
        let Place::Postgres { url, password_file } = &self.place else { panic!("on a server") };
        let url = url.to_string().replace("127.0.0.1", host);
        let Ok(CatalogueUrl::Postgres(url)) = format!("{url}?{parameters}").parse() else {
            panic!("a URL of PostgreSQL");
        };
        Place::Postgres { url, password_file: password_file.clone() }
    }

    fn trusting(&self, ca: &Path) -> Place {
        self.with("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={}", ca.display()))
    }
}

/// That it is refused for good, and why.
async fn refused(place: &Place) -> String {
    let error = Catalogue::create(place).await.unwrap_err();
    assert!(!error.is_passing(), "waiting does not mend it: {error:?}");
    assert_eq!(catalogue_exit(&error), Exit::Usage);
    assert!(catalogue_advice(&error).contains("sslrootcert"), "{}", catalogue_advice(&error));
    let source = error.source().expect("what is wrong with the certificate");
    format!("{error}: {source}")
}

#[tokio::test]
async fn a_server_is_trusted_for_a_private_authority_and_not_for_another() {
    let site = Protected::start();
    let own = site.directory.path().join("ca.pem");

    let catalogue = Catalogue::create(&site.trusting(&own)).await.unwrap();
    let row = query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(catalogue.store.readers())
        .await
        .unwrap();
    assert!(row.try_get::<bool>("ssl").unwrap());
    catalogue.close().await;

    let other = tempfile::tempdir().unwrap();
    let foreign = TestCa::new().unwrap().write(other.path()).unwrap();
    let told = refused(&site.trusting(&foreign)).await;
    let (begins, ends) = ("catalogue ", "does not prove who it is: invalid peer certificate: ");
    assert!(told.starts_with(begins) && told.contains(ends), "{told}");
    assert!(told.contains("UnknownIssuer") || told.contains("BadSignature"), "{told}");
    // Without a word on TLS, another host than this one must prove its name.
    let named =
        site.with("localhost", &format!("sslmode=verify-full&sslrootcert={}", own.display()));
    let told = refused(&named).await;
    assert!(told.contains("localhost") && told.contains(ends), "{told}");
    drop(site.server);
}

#[tokio::test]
async fn an_authority_that_is_not_there_is_named() {
    let site = Protected::start();
    let missing = site.directory.path().join("none.pem");

    let error = Catalogue::create(&site.trusting(&missing)).await.unwrap_err();

    let told = format!("cannot read {}, which the catalogue's URL names", missing.display());
    assert_eq!(error.to_string(), told);
    assert!(!error.is_passing() && catalogue_exit(&error) == Exit::Usage, "{error:?}");
}
