//! The client the relay writes to object stores with, alone: a process of its own, so that its start
//! and its cost count as those of a spray do.

use crate::bench::BenchError;
use crate::bench::load::Load;
use crate::bench::server::store::BUCKET;
use crate::bench::server::write_private;
use crate::error::HarnessError;
use crate::server::s3::{REGION, S3};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::MultipartStore as _;
use object_store::path::Path as Key;
use object_store::{Certificate, ClientOptions};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The argument that makes a process of the bench this client.
pub(in crate::bench) const COMMAND: &str = "--store-client";

/// Objects, as the parts of the spray.
pub(in crate::bench) const PARTS: u64 = 4;

/// What the relay uploads at once: its inbound memory in chunks of 8 MiB.
const PIECES_AT_ONCE: usize = 6;

const PIECE_BYTES: u64 = 8 << 20;

/// What the process does, in a file that only its user can read.
#[derive(Deserialize, Serialize)]
pub(super) struct Order {
    endpoint: String,
    access_key: String,
    secret_key: String,
    ca_file: PathBuf,
    source: PathBuf,
    bytes: u64,
}

impl Order {
    /// The upload of a file to a store.
    pub(super) fn new(s3: &S3, ca_file: &Path, load: &Load) -> Self {
        Self {
            endpoint: s3.endpoint(),
            access_key: s3.access_key().to_owned(),
            secret_key: s3.secret_key().to_owned(),
            ca_file: ca_file.to_owned(),
            source: load.source.clone(),
            bytes: load.bytes,
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), HarnessError> {
        let text = serde_json::to_string(self).expect("text and numbers are JSON");
        write_private(path, &text)
    }

    fn read(path: &Path) -> Result<Self, HarnessError> {
        let text = fs::read_to_string(path).map_err(HarnessError::file(path))?;
        let order = serde_json::from_str(&text).map_err(std::io::Error::from);
        order.map_err(HarnessError::file(path))
    }

    fn client(&self) -> Result<AmazonS3, BenchError> {
        let pem = fs::read(&self.ca_file).map_err(HarnessError::file(&self.ca_file))?;
        let options = ClientOptions::new()
            .with_root_certificate(Certificate::from_pem(&pem)?)
            .with_no_system_certificates(true)
            .with_timeout(Duration::from_secs(300));
        let builder = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_region(REGION)
            .with_bucket_name(BUCKET)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_checksum_algorithm(Checksum::CRC64NVME)
            .with_unsigned_payload(true)
            .with_client_options(options);
        Ok(builder.build()?)
    }
}

/// The name of the object that holds a part, counted from 0.
pub(in crate::bench) fn key(part: u64) -> String {
    format!("alone/{part}")
}

/// Does what the order in a file says.
pub(in crate::bench) fn run(path: &Path) -> Result<(), BenchError> {
    let order = Order::read(path)?;
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.expect("the first of this process");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(HarnessError::file("the runtime of the client"))?;
    runtime.block_on(upload(&order))
}

/// Four objects of a quarter each, in pieces, as the relay stores the parts of a spray.
async fn upload(order: &Order) -> Result<(), BenchError> {
    let store = order.client()?;
    let file = File::open(&order.source).map_err(HarnessError::file(&order.source))?;
    let file = Arc::new(file);
    let part = order.bytes / PARTS;
    for number in 0..PARTS {
        let (store, key) = (&store, &Key::from(key(number)));
        let id = &store.create_multipart(key).await?;
        let pieces = (0..part.div_ceil(PIECE_BYTES)).map(|piece| {
            let file = Arc::clone(&file);
            async move {
                let offset = piece * PIECE_BYTES;
                let mut bytes = vec![0; PIECE_BYTES.min(part - offset) as usize];
                let read = file.read_exact_at(&mut bytes, number * part + offset);
                read.map_err(HarnessError::file(&order.source))?;
                let index = usize::try_from(piece).expect("few pieces");
                let put = store.put_part(key, id, index, Bytes::from(bytes).into()).await;
                put.map_err(BenchError::from)
            }
        });
        let pieces = stream::iter(pieces).buffered(PIECES_AT_ONCE).try_collect::<Vec<_>>().await?;
        store.complete_multipart(key, id, pieces).await?;
    }
    Ok(())
}
