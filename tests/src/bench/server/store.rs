//! A SeaweedFS that speaks S3 over TLS, with one bucket that is made anew for every round.

use super::made;
use crate::bench::BenchError;
use crate::error::HarnessError;
use crate::server::ca::TestCa;
use crate::server::s3::S3;
use crate::server::seaweed::Seaweed;
use std::path::{Path, PathBuf};

/// The bucket all objects of a bench are in.
pub(in crate::bench) const BUCKET: &str = "bench";

/// A running server.
pub(in crate::bench) struct Store {
    server: Seaweed,
    ca_file: PathBuf,
}

impl Store {
    /// Starts one; its authority is in `root/store/ca.pem`.
    pub(in crate::bench) fn start(root: &Path) -> Result<Self, BenchError> {
        let dir = made(root.join("store"))?;
        let ca = TestCa::new()?;
        let ca_file = ca.write(&dir)?;
        let server = Seaweed::start(Some(&ca))?;
        server.s3().create_bucket(BUCKET)?;
        Ok(Self { server, ca_file })
    }

    /// Its process id.
    pub(in crate::bench) fn id(&self) -> Option<u32> {
        self.server.id()
    }

    /// Access to it.
    pub(in crate::bench) fn s3(&self) -> &S3 {
        self.server.s3()
    }

    /// What clients trust, PEM.
    pub(in crate::bench) fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Removes all objects with the bucket and makes it anew: what they take on disk goes with the
    /// bucket alone.
    pub(in crate::bench) fn empty(&self) -> Result<(), HarnessError> {
        for key in self.s3().list(BUCKET, "")? {
            self.s3().delete(BUCKET, &key)?;
        }
        let path = format!("/{BUCKET}");
        let gone = self.s3().request("DELETE", &path, &[], b"")?;
        if !(200..300).contains(&gone.status) {
            let (request, body) = (format!("DELETE {path}"), gone.text());
            return Err(HarnessError::Answered { request, status: gone.status, body });
        }
        self.s3().create_bucket(BUCKET)
    }
}
