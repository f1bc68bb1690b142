//! A page of a push whose files are uploads.

use super::*;
use crate::catalogue::{Catalogue, NewJob, Opening, PartLayout, Place, Progress};
use crate::config::RelaySettings;
use crate::plane::{ObjectMemory, PieceId, Plane, UploadId};
use crate::sink::Places;
use skyspray_link::seam::SystemClock;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch, JobId};
use skyspray_wire::name::AgentName;
use std::path::Path;

const T: i64 = 1;

fn plane_name() -> PlaneName {
    PlaneName::parse("lake").unwrap()
}

/// A bucket that nobody asks anything of.
fn plane(secrets: &Path) -> Plane {
    let _ = rustls::crypto::ring::default_provider().install_default();
    std::fs::write(secrets.join("aws-key-id"), "id").unwrap();
    std::fs::write(secrets.join("aws-access-key"), "secret").unwrap();
    let text = format!(
        "public_name = \"relay.example\"\ntrust_domain = \"example.internal\"\n\
         listen = \"0.0.0.0:1\"\nenroll_listen = \"0.0.0.0:2\"\n[plane.lake]\n\
         url = \"s3://lake\"\ncredentials_dir = \"{}\"\nendpoint = \"http://127.0.0.1:9\"\n\
         allow_http = true\n",
        secrets.display()
    );
    let settings = RelaySettings::parse(&text, Path::new("relay.toml"), &Default::default());
    let settings = settings.unwrap().plane(&plane_name()).unwrap().clone();
    Plane::configured(&settings, ObjectMemory::default()).unwrap()
}

/// A push of three files of a page, with its lease.
async fn push(catalogue: &Catalogue) -> (JobId, Epoch) {
    let directory = PlanePath::parse("in").unwrap();
    let new = NewJob {
        job: JobId([1; 16]),
        agent: AgentName::parse("edge-1").unwrap(),
        target: WriteTarget::Files { plane: plane_name(), directory },
        overwrite: false,
        bytes: 0,
        plan: Digest([7; 32]),
        attributes: Vec::new(),
        parts: 0,
        chunk_size: ChunkSize::try_new(8 << 20).unwrap(),
        layout: PartLayout::FILES,
    };
    let Opening::Granted(opened) = catalogue.open_write(&new, T).await.unwrap() else {
        panic!("the job is new");
    };
    let key = (new.job, opened.epoch);
    let file = |name: &str| NewFile {
        path: PlanePath::parse(name).unwrap(),
        length: 20 << 20,
        modified_ns: 0,
    };
    let files = ["in/a", "in/b", "in/c"].map(file);
    catalogue.add_files(key, PartIndex(0), &files, T).await.unwrap();
    key
}

/// Begins the upload of a file and records these of its pieces.
async fn upload(catalogue: &Catalogue, key: (JobId, Epoch), part: u32, pieces: &[u32]) {
    let (job, epoch) = key;
    let (part, path) = (PartIndex(part), format!("in/{part}"));
    let id = UploadId(format!("upload {part}"));
    catalogue.want_upload(key, part, &path, T).await.unwrap();
    catalogue.record_upload(key, part, (&path, &id), T).await.unwrap();
    let pieces = pieces.iter().map(|&n| (n, PieceId(format!("tag {n}")))).collect();
    let progress = Progress { job, epoch, part, tree: Vec::new(), job_bytes: 0, pieces };
    catalogue.record_progress(&[progress], T).await.unwrap();
}

fn seal(part: u32) -> PartSeal {
    let digest = Digest([0; 32]);
    let part = PartIndex(part);
    PartSeal { part, length: 20 << 20, digest, crc32: 0, records: None, header: 0, footer: 0 }
}

/// The second piece of the file in the middle was recorded before its first one.
#[tokio::test]
async fn a_page_is_not_held_up_by_a_file_between_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let catalogue =
        Catalogue::create(&Place::File(directory.path().join("catalogue.db"))).await.unwrap();
    let key = push(&catalogue).await;
    upload(&catalogue, key, 0, &[0, 1, 2]).await;
    upload(&catalogue, key, 1, &[1]).await;
    upload(&catalogue, key, 2, &[0, 1, 2]).await;
    let staging = Staging {
        plane_name: plane_name(),
        plane: Arc::new(plane(directory.path())),
        catalogue,
        clock: Arc::new(SystemClock),
        job: key.0,
        epoch: key.1,
    };
    let size = ChunkSize::try_new(8 << 20).unwrap();
    let sink = PlaneSink::new(staging, size, Places::Files(BTreeMap::new()));

    let uploads = uploads_of(&sink, &[seal(2), seal(0)]).await.unwrap();

    let found: Vec<_> =
        uploads.iter().map(|(part, upload)| (part.0, upload.pieces.len())).collect();
    assert_eq!(found, [(0, 3), (2, 3)]);
}
