//! Planes of object stores for a relay under test.

use crate::pair::Pair;
use crate::server::azurite::{ACCOUNT, Blobs};
use crate::server::s3::{REGION, S3};
use std::fs;
use std::path::PathBuf;

/// The name of the plane of objects that [`add_s3`] adds.
pub const LAKE: &str = "lake";

/// Adds the plane `lake`, a bucket of `s3` below the prefix `planes/lake`, to the configuration of a
/// relay that is not running, with `more` keys. The bucket must exist.
///
/// # Panics
///
/// When a file cannot be written.
pub fn add_s3(pair: &Pair, s3: &S3, bucket: &str, more: &str) {
    add_s3_as(LAKE, pair, (s3, bucket), more);
}

/// As [`add_s3`], a plane called `name` below the prefix `planes/<name>`.
///
/// # Panics
///
/// When a file cannot be written.
pub fn add_s3_as(name: &str, pair: &Pair, (s3, bucket): (&S3, &str), more: &str) {
    let secrets =
        secret_files(pair, &[("aws-key-id", s3.access_key()), ("aws-access-key", s3.secret_key())]);
    let own = format!("region = \"{REGION}\"\npath_style = true\n{more}");
    let store = Store { scheme: "s3", endpoint: s3.endpoint(), ca_pem: s3.ca_pem(), secrets };
    store.add(pair, (name, bucket), &own);
}

/// Adds the plane `lake`, a container of `blobs` below the prefix `planes/lake`, to the configuration
/// of a relay that is not running, with `more` keys. The container must exist.
///
/// # Panics
///
/// When a file cannot be written.
pub fn add_azure(pair: &Pair, blobs: &Blobs, container: &str, more: &str) {
    add_azure_as(LAKE, pair, (blobs, container), more);
}

/// As [`add_azure`], a plane called `name` below the prefix `planes/<name>`.
///
/// # Panics
///
/// When a file cannot be written.
pub fn add_azure_as(name: &str, pair: &Pair, (blobs, container): (&Blobs, &str), more: &str) {
    let secrets = secret_files(pair, &[("key", &blobs.access_key())]);
    let (endpoint, ca_pem) = (blobs.endpoint(), blobs.ca_pem());
    let store = Store { scheme: "azure", endpoint, ca_pem, secrets };
    store.add(pair, (name, container), &format!("account = \"{ACCOUNT}\"\n{more}"));
}

/// How a relay reaches a store.
struct Store<'a> {
    scheme: &'static str,
    endpoint: String,
    ca_pem: Option<&'a str>,
    /// The directory of its credential.
    secrets: PathBuf,
}

impl Store<'_> {
    /// Adds the plane `name` in `bucket`, with `more` keys.
    fn add(self, pair: &Pair, (name, bucket): (&str, &str), more: &str) {
        let Self { scheme, endpoint, ca_pem, secrets } = self;
        let trust = match ca_pem {
            Some(pem) => {
                let file = secrets.with_extension("ca.pem");
                fs::write(&file, pem).expect("the authority can be written");
                format!("ca_file = \"{}\"\n", file.display())
            }
            None => "allow_http = true\n".to_owned(),
        };
        pair.relay.configure(&format!(
            "[plane.{name}]\nurl = \"{scheme}://{bucket}/planes/{name}\"\n\
             endpoint = \"{endpoint}\"\ncredentials_dir = \"{}\"\n{trust}{more}",
            secrets.display()
        ));
    }
}

/// A directory of secrets, as a cluster mounts it.
///
/// # Panics
///
/// When it cannot be written.
pub fn secret_files(pair: &Pair, files: &[(&str, &str)]) -> PathBuf {
    let directory = pair.root.path().join("secrets");
    fs::create_dir_all(&directory).expect("the directory of secrets can be made");
    for (name, content) in files {
        fs::write(directory.join(name), content).expect("a secret can be written");
    }
    directory
}
