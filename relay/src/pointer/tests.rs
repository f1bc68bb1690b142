//! What readers of a plane find, whatever step a commit dies at.

use super::*;
use crate::catalogue::{
    Actor, AgentRecord, JobRecord, Kept, NewJob, Opening, PartLayout, Place, SealedPart, operator,
};
use crate::discard::delete_discards;
use crate::plane::{Finish, part_path};
use crate::service::part_paths;
use skyspray_link::seam::SystemClock;
use skyspray_link::seam::files::Replace;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Generation, JobId};
use skyspray_wire::message::{PartSeal, WriteTarget};
use std::fs;
use tempfile::TempDir;

const PARTS: u32 = 3;

struct Site {
    root: TempDir,
    catalogue: Catalogue,
    name: PlaneName,
    plane: Arc<Plane>,
    file: LogicalName,
}

impl Site {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("plane")).unwrap();
        let plane = Plane::open_directory(&root.path().join("plane")).unwrap();
        let catalogue =
            Catalogue::create(&Place::File(root.path().join("catalogue.db"))).await.unwrap();
        let name = PlaneName::parse("data").unwrap();
        let file = LogicalName::parse("a::orders").unwrap();
        Self { root, catalogue, name, plane: Arc::new(plane), file }
    }

    fn pointers(&self) -> Pointers<'_> {
        let Self { catalogue, name, plane, .. } = self;
        Pointers { catalogue, clock: &SystemClock, name, plane }
    }

    /// Everything of a commit up to its transaction: `text` in every part.
    async fn commit(&self, id: u8, devices: u32, text: &str) -> Generation {
        let job = JobId([id; 16]);
        let layout = PartLayout {
            dir_per_part: true,
            devices,
            lfn_hash: 0,
            kept: Some(Kept { job, generations: NonZeroU32::MIN }),
        };
        let target = WriteTarget::LogicalFile {
            plane: self.name.clone(),
            name: self.file.clone(),
            parts: PARTS,
        };
        let new = NewJob {
            job,
            agent: operator(),
            target,
            overwrite: true,
            bytes: 0,
            plan: Digest::of(b""),
            attributes: Vec::new(),
            parts: PARTS,
            chunk_size: ChunkSize::FILE_PLANE,
            layout,
        };
        let Opening::Granted(opened) = self.catalogue.open_copy(&new, 0).await.unwrap() else {
            panic!("committed already")
        };
        let parts = self.place(&layout, text);
        let key = (job, opened.epoch);
        self.catalogue.seal_parts(job, opened.epoch, &parts, 0).await.unwrap();
        let allowed = |_: &AgentRecord, _: &JobRecord| Ok(());
        self.catalogue.mark_sealed(key, &[], &allowed, 0).await.unwrap();
        let done = self.catalogue.commit_spray(job, opened.epoch, &|_| Vec::new(), 0).await;
        done.unwrap().generation.unwrap()
    }

    fn place(&self, layout: &PartLayout, text: &str) -> Vec<SealedPart> {
        let paths = part_paths(PARTS, layout).unwrap();
        let place = |part: u32| {
            let path = part_path(&paths, &self.file, PartIndex(part)).unwrap();
            let job = layout.kept.unwrap().job;
            let target = PartTarget::try_new(job, PartIndex(part), path.clone()).unwrap();
            let staged = self.plane.begin(&target, None).unwrap();
            staged.write_at(text.as_bytes(), 0).unwrap();
            let length = text.len() as u64;
            let replace = Replace::Existing;
            let finish =
                Finish { target, length, replace, staged: None, settled: false, upload: None };
            self.plane.finish(&[finish]).pop().unwrap().unwrap();
            let seal = PartSeal {
                part: PartIndex(part),
                length,
                digest: Digest::of(text.as_bytes()),
                crc32: crc32fast::hash(text.as_bytes()),
                records: Some(1),
                header: 0,
                footer: 0,
            };
            SealedPart { seal, path: path.to_string() }
        };
        (0..PARTS).map(place).collect()
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join("plane").join(path)
    }

    /// What a reader of the plane finds: the generation and the text of every part.
    fn read(&self, pointer: &str) -> (u64, Vec<String>) {
        let pointer = fs::read(self.at(pointer)).unwrap();
        let pointer: serde_json::Value = serde_json::from_slice(&pointer).unwrap();
        assert_eq!((&pointer["schema"], &pointer["name"]), (&SCHEMA.into(), &"a::orders".into()));
        let read = |part: &serde_json::Value| {
            let text = fs::read_to_string(self.at(part["path"].as_str().unwrap())).unwrap();
            assert_eq!(part["bytes"], text.len());
            assert_eq!(part["blake3"], Digest::of(text.as_bytes()).to_string());
            text
        };
        let parts = pointer["parts"].as_array().unwrap().iter().map(read).collect();
        (pointer["generation"].as_u64().unwrap(), parts)
    }

    /// Deletes what nothing needs, as the sweep does.
    async fn sweep(&self) -> u64 {
        let plane = (&self.name, &self.plane);
        delete_discards(&self.catalogue, plane, &SystemClock).await.unwrap().files
    }
}

const POINTER: &str = "a/orders.CURRENT";

fn of(text: &str) -> Vec<String> {
    vec![text.to_owned(); PARTS as usize]
}

#[tokio::test]
async fn readers_of_the_plane_find_one_whole_generation_at_every_step() {
    let site = Site::new().await;
    site.commit(1, 1, "old").await;
    assert!(!site.at(POINTER).exists(), "a pointer before its commit is settled");
    site.pointers().settle(&site.file).await.unwrap();
    assert_eq!(site.read(POINTER), (1, of("old")));

    // The relay dies between the transaction and the pointer; a sweep must spare the old parts.
    site.commit(2, 1, "new").await;
    assert_eq!((site.sweep().await, site.read(POINTER)), (0, (1, of("old"))));

    // It dies after the pointer is written and before the catalogue knows.
    let due = site.catalogue.due_pointer(&site.name, &site.file).await.unwrap().unwrap();
    site.pointers().write(&site.file, due).await.unwrap();
    assert_eq!((site.sweep().await, site.read(POINTER)), (0, (2, of("new"))));
    let old = format!("a/orders.G{}/1/orders._1_of_3", JobId([1; 16]));
    assert_eq!(fs::read_to_string(site.at(&old)).unwrap(), "old");

    // Whoever comes next finishes; only then the old parts go, with their directory.
    site.pointers().settle(&site.file).await.unwrap();
    site.pointers().settle(&site.file).await.unwrap();
    assert_eq!((site.sweep().await, site.read(POINTER)), (3, (2, of("new"))));
    assert!(!site.at(&format!("a/orders.G{}", JobId([1; 16]))).exists());
}

#[tokio::test]
async fn a_staging_file_of_a_pointer_that_a_crash_left_is_no_obstacle() {
    let site = Site::new().await;
    site.commit(1, 1, "old").await;
    fs::write(site.at(&format!("a/.skyspray-{}-1", JobId([1; 16]))), "half").unwrap();

    site.pointers().settle(&site.file).await.unwrap();

    assert_eq!(site.read(POINTER), (1, of("old")));
    let names = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut found: Vec<_> = fs::read_dir(site.at("a")).unwrap().map(names).collect();
    found.sort();
    let directory = format!("orders.G{}", JobId([1; 16]));
    assert_eq!(found, ["orders.CURRENT", &directory]);
}

#[tokio::test]
async fn a_pointer_that_cannot_be_written_stays_due_and_spares_the_old_parts() {
    let site = Site::new().await;
    site.commit(1, 1, "old").await;
    site.pointers().settle(&site.file).await.unwrap();
    fs::remove_file(site.at(POINTER)).unwrap();
    fs::create_dir_all(site.at(POINTER).join("in the way")).unwrap();
    site.commit(2, 1, "new").await;

    let error = site.pointers().settle(&site.file).await.unwrap_err();

    assert!(matches!(error, PointerError::Plane(_)), "{error:?}");
    assert_eq!(site.sweep().await, 0);
    fs::remove_dir_all(site.at(POINTER)).unwrap();
    site.pointers().settle(&site.file).await.unwrap();
    assert_eq!((site.sweep().await, site.read(POINTER)), (3, (2, of("new"))));
}

#[tokio::test]
async fn a_plane_that_gets_devices_has_one_pointer_at_a_time() {
    let site = Site::new().await;
    site.commit(1, 1, "old").await;
    site.pointers().settle(&site.file).await.unwrap();

    site.commit(2, 3, "new").await;
    site.pointers().settle(&site.file).await.unwrap();

    assert!(!site.at(POINTER).exists());
    assert_eq!(site.read("d1/a/orders.CURRENT"), (2, of("new")));
}

#[tokio::test]
async fn a_removed_name_has_no_pointer_and_then_no_parts() {
    let site = Site::new().await;
    site.commit(1, 1, "old").await;
    site.pointers().settle(&site.file).await.unwrap();

    site.catalogue.remove_logical(&site.name, &site.file, &Actor::Operator, 0).await.unwrap();
    assert_eq!((site.sweep().await, site.read(POINTER)), (0, (1, of("old"))));
    site.pointers().settle(&site.file).await.unwrap();

    assert_eq!(site.sweep().await, 3);
    assert_eq!(fs::read_dir(site.at("")).unwrap().count(), 0);
}
