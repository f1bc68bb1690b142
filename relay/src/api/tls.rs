//! Certificate and key of the HTTP interface, and taking up renewed ones.

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Why certificate and key cannot be used. What is in the files is never told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsFilesError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not fit each other, or are of an unknown kind.
    #[error("{} and {} make no identity", cert.display(), key.display())]
    Unfit {
        /// File of the certificate.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// TLS with what was in the files when they were last read.
#[derive(Clone)]
pub(super) struct Tls {
    files: TlsFiles,
    certificates: Vec<CertificateDer<'static>>,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files. Blocks.
    pub(super) fn load(files: TlsFiles) -> Result<Self, TlsFilesError> {
        let certificates = CertificateDer::pem_file_iter(&files.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(error, &files.cert, "certificate"))?;
        if certificates.is_empty() {
            return Err(TlsFilesError::Empty { path: files.cert, what: "certificate" });
        }
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| unreadable(error, &files.key, "private key"))?;
        let unfit = |source| TlsFilesError::Unfit {
            cert: files.cert.clone(),
            key: files.key.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(certificates.clone(), key)
            .map_err(unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { files, certificates, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads the files again; says whether the certificate is another one. Blocks.
    pub(super) fn reload(self) -> Result<(Self, bool), TlsFilesError> {
        let loaded = Self::load(self.files.clone())?;
        let changed = loaded.certificates != self.certificates;
        Ok((if changed { loaded } else { self }, changed))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

fn unreadable(error: pem::Error, path: &std::path::Path, what: &'static str) -> TlsFilesError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsFilesError::Read { path, source },
        // The others may quote the file.
        _ => TlsFilesError::Empty { path, what },
    }
}
