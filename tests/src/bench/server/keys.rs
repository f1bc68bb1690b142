//! The certificates of the TLS peers.

use super::{write, write_private};
use crate::bench::BenchError;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::Path;

/// Makes a CA and a certificate for each side: `ca.pem`, and `.pem` and `.key` of `server` and
/// `client`. The server's is for the address `host`.
pub(super) fn make(dir: &Path, host: &str) -> Result<(), BenchError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "bench CA");
    write(&dir.join("ca.pem"), &ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);
    for (file, name) in [("server", host), ("client", "client.bench.invalid")] {
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        write(&dir.join(format!("{file}.pem")), &leaf.pem())?;
        write_private(&dir.join(format!("{file}.key")), &key.serialize_pem())?;
    }
    Ok(())
}
