//! An authority for the TLS certificates of test servers.

use super::program::write;
use crate::error::HarnessError;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A CA made for one test.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// The files of a certificate for a server.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM, readable by its owner alone.
    pub key: PathBuf,
}

impl TestCa {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// No key can be made.
    pub fn new() -> Result<Self, HarnessError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "CA of a test");
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its certificate, PEM: what clients trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes its certificate to `dir/ca.pem`.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<PathBuf, HarnessError> {
        let path = dir.join("ca.pem");
        write(&path, &self.pem)?;
        Ok(path)
    }

    /// Makes a certificate for a server with these DNS names or addresses, and writes it and its
    /// key to `dir/server.pem` and `dir/server.key`.
    ///
    /// # Errors
    ///
    /// A name is none, or a file cannot be written.
    pub fn issue(&self, dir: &Path, names: &[&str]) -> Result<ServerFiles, HarnessError> {
        let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let files =
            ServerFiles { certificate: dir.join("server.pem"), key: dir.join("server.key") };
        write(&files.certificate, &certificate)?;
        write(&files.key, "")?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&files.key, private).map_err(HarnessError::file(&files.key))?;
        write(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

impl fmt::Debug for TestCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCa").finish_non_exhaustive()
    }
}
