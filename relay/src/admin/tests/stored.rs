//! Commands on files and jobs, over a catalogue and a plane that jobs have written to.

mod commit;
mod copy;
mod replicate;

use super::*;
use crate::catalogue::{
    Actor, Catalogue, Invitation, NewJob, Opening, PartLayout, Redemption, SealedPart,
};
use crate::discard::{Discarded, delete_discards};
use crate::placing::Placing;
use crate::plane::{Finish, Finished, Layout, PartTarget, Plane, part_path};
use skyspray_certs::{PrivateKey, RelayAddress, TrustDomain};
use skyspray_dfu::naming::lfn_hash;
use skyspray_link::seam::files::Replace;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch, JobId, PartIndex, SourceIndex};
use skyspray_wire::message::{OriginRange, Origins, PartSeal, SourceNote, WriteTarget};
use skyspray_wire::name::{AgentName, LogicalName, PlaneName};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::timeout;

const NOW_MS: i64 = 1_800_000_000_000;

/// An initialised relay with an enrolled agent, its catalogue and its plane.
struct Stored {
    site: Site,
    catalogue: Catalogue,
    plane: Arc<Plane>,
}

fn agent() -> AgentName {
    AgentName::parse("edge-1").unwrap()
}

fn plane_name() -> PlaneName {
    PlaneName::parse("data").unwrap()
}

fn logical(name: &str) -> LogicalName {
    LogicalName::parse(name).unwrap()
}

fn layout(parts: usize) -> (Layout, NonZeroU32) {
    let layout = Layout { devices: NonZeroU32::MIN, dir_per_part: true, keep_generations: None };
    (layout, NonZeroU32::new(parts as u32).unwrap())
}

fn seal(index: usize, bytes: &[u8]) -> PartSeal {
    PartSeal {
        part: PartIndex(index as u32),
        length: bytes.len() as u64,
        digest: Digest::of(bytes),
        crc32: crc32fast::hash(bytes),
        records: None,
        header: 0,
        footer: 0,
    }
}

impl Stored {
    async fn new() -> Self {
        let site = Site::initialised().await;
        let catalogue =
            Catalogue::open(&crate::catalogue::Place::File(site.dir().catalogue())).await.unwrap();
        let plane = Arc::new(Plane::open_directory(site.at("plane").as_ref()).unwrap());
        let stored = Self { site, catalogue, plane };
        stored.enroll().await;
        stored
    }

    async fn enroll(&self) {
        let random = ring::rand::SystemRandom::new();
        let key = PrivateKey::generate(&random).unwrap();
        let token = EnrollToken::create(
            RelayAddress::parse("relay.example:1").unwrap(),
            TrustDomain::parse("skyspray.internal").unwrap(),
            key.public_key().hash(),
            agent(),
            &random,
        );
        let token_hash = token.unwrap().hash();
        let invitation = Invitation { token_hash, expires_ms: NOW_MS + 1, rules: Vec::new() };
        self.catalogue.add_agent(&agent(), &invitation, NOW_MS).await.unwrap();
        let redemption = Redemption {
            agent: agent(),
            token_hash,
            bound_key: *key.public_key(),
            session_key_hash: key.public_key().hash(),
        };
        self.catalogue.redeem_token(&redemption, NOW_MS).await.unwrap();
    }

    async fn open(&self, job: JobId, name: &str, parts: usize) -> Epoch {
        let (layout, count) = layout(parts);
        let new = NewJob {
            job,
            agent: agent(),
            target: WriteTarget::LogicalFile {
                plane: plane_name(),
                name: logical(name),
                parts: count.get(),
            },
            overwrite: true,
            bytes: 0,
            plan: Digest::of(b"plan"),
            attributes: vec![("kind".into(), "csv".into())],
            parts: count.get(),
            chunk_size: ChunkSize::FILE_PLANE,
            layout: PartLayout {
                dir_per_part: layout.dir_per_part,
                devices: layout.devices.get(),
                lfn_hash: lfn_hash(&logical(name)),
                kept: None,
            },
        };
        match self.catalogue.open_write(&new, NOW_MS).await.unwrap() {
            Opening::Granted(opened) => opened.epoch,
            other => panic!("{other:?}"),
        }
    }

    fn stage(&self, job: JobId, name: &str, parts: &[&[u8]]) -> Vec<(PartTarget, SealedPart)> {
        let (layout, count) = layout(parts.len());
        let paths = layout.paths(&logical(name), count, job);
        let stage = |(index, bytes): (usize, &&[u8])| {
            let part = PartIndex(index as u32);
            let path = part_path(&paths, &logical(name), part).unwrap();
            let sealed = SealedPart { seal: seal(index, bytes), path: path.to_string() };
            let target = PartTarget::try_new(job, part, path).unwrap();
            let staged = self.plane.begin(&target, None).unwrap();
            staged.write_at(bytes, 0).unwrap();
            staged.sync().unwrap();
            (target, sealed)
        };
        parts.iter().enumerate().map(stage).collect()
    }

    /// Stages a logical file and seals its job.
    async fn sealed(&self, job: JobId, name: &str, parts: &[&[u8]]) -> Epoch {
        let epoch = self.open(job, name, parts.len()).await;
        let sealed: Vec<SealedPart> =
            self.stage(job, name, parts).into_iter().map(|(_, sealed)| sealed).collect();
        self.catalogue.seal_parts(job, epoch, &sealed, NOW_MS).await.unwrap();
        self.catalogue.mark_sealed((job, epoch), &[], &|_, _| Ok(()), NOW_MS).await.unwrap();
        epoch
    }

    /// Stores a logical file as a spray does.
    async fn spray(&self, job: JobId, name: &str, parts: &[&[u8]]) {
        let epoch = self.open(job, name, parts.len()).await;
        let staged = self.stage(job, name, parts);
        let sealed: Vec<SealedPart> = staged.iter().map(|(_, sealed)| sealed.clone()).collect();
        self.catalogue.seal_parts(job, epoch, &sealed, NOW_MS).await.unwrap();
        self.catalogue.mark_sealed((job, epoch), &[], &|_, _| Ok(()), NOW_MS).await.unwrap();
        for (target, sealed) in staged {
            let length = sealed.seal.length;
            let finish = Finish {
                target,
                length,
                replace: Replace::Existing,
                staged: None,
                settled: false,
                upload: None,
            };
            assert_eq!(self.plane.finish(&[finish]), [Ok(Finished::Renamed)]);
        }
        self.catalogue.commit_spray(job, epoch, &|_| b"receipt".to_vec(), NOW_MS).await.unwrap();
    }

    async fn run(&self, args: &[&str]) -> Ended {
        self.site.run(args).await
    }

    fn stored_path(&self, path: &str) -> std::path::PathBuf {
        Path::new(&self.site.at("plane")).join(path)
    }
}

fn job(number: u8) -> JobId {
    JobId([number; 16])
}

#[tokio::test]
async fn a_stored_file_is_listed_shown_and_verified() {
    let stored = Stored::new().await;
    stored.spray(job(1), "acme::orders", &[b"first part", b"second"]).await;
    stored.spray(job(2), "other::file", &[b"x"]).await;

    let listed = stored.run(&["file", "list", "data:acme"]).await;
    assert_eq!(
        listed.out,
        "BYTES  PARTS  COMMITTED  NAME\n16     2      0s ago     data:acme::orders\n"
    );
    let all = stored.run(&["file", "list", "data", "--json"]).await.objects();
    assert_eq!(
        all.iter().map(|file| &file["name"]).collect::<Vec<_>>(),
        ["acme::orders", "other::file"]
    );

    let shown = stored.run(&["file", "show", "data:~Acme::Orders", "--json"]).await.objects();
    assert_eq!(shown.len(), 3);
    assert_eq!((&shown[0]["event"], &shown[0]["generation"]), (&"generation".into(), &1.into()));
    assert_eq!(shown[2]["path"], "acme/2/orders._2_of_2");
    assert_eq!(shown[2]["blake3"], Digest::of(b"second").to_string());
    assert_eq!((&shown[1]["header"], &shown[2]["footer"]), (&0.into(), &0.into()));

    let verified = stored.run(&["file", "verify", "data:acme::orders"]).await;
    assert_eq!(verified.exit, Exit::Done);
    assert_eq!(
        verified.out,
        "data:acme::orders generation 1: 2 parts of 16 bytes read back, 0 faults\n"
    );
}

#[tokio::test]
async fn a_shown_file_tells_headers_footers_and_what_its_parts_came_from() {
    let stored = Stored::new().await;
    let epoch = stored.open(job(1), "acme::orders", 1).await;
    let mut staged = stored.stage(job(1), "acme::orders", &[b"<r>one</r>"]);
    let (target, sealed) = &mut staged[0];
    (sealed.seal.header, sealed.seal.footer) = (3, 4);
    let (key, catalogue) = ((job(1), epoch), &stored.catalogue);
    let range = OriginRange {
        part: PartIndex(0),
        part_offset: 3,
        source: SourceIndex(0),
        source_offset: 700,
        length: 3,
    };
    let sources = vec![SourceNote::new(SourceIndex(0), "in/\u{1b}a.xml", 9000)];
    let page = Origins { sources, ranges: vec![range] };
    catalogue.record_origins(key, &page, NOW_MS).await.unwrap();
    catalogue.seal_parts(key.0, epoch, std::slice::from_ref(sealed), NOW_MS).await.unwrap();
    catalogue.mark_sealed(key, &[], &|_, _| Ok(()), NOW_MS).await.unwrap();
    let target = target.clone();
    let finish = Finish {
        target,
        length: 10,
        replace: Replace::Existing,
        staged: None,
        settled: false,
        upload: None,
    };
    assert_eq!(stored.plane.finish(&[finish]), [Ok(Finished::Renamed)]);
    catalogue.commit_spray(key.0, epoch, &|_| b"receipt".to_vec(), NOW_MS).await.unwrap();

    let shown = stored.run(&["file", "show", "data:acme::orders", "--origins"]).await;
    let table = shown.out.split_once("\nPART ").unwrap().1;
    let digest = Digest::of(b"<r>one</r>").to_string();
    let crc = format!("{:08x}", crc32fast::hash(b"<r>one</r>"));
    let expected = format!(
        " BYTES  RECORDS  HEADER  FOOTER  CRC32     {:<64}  PATH\n\
         1     10     -        3       4       {crc}  {digest}  acme/orders._1_of_1\n\
         PART  AT  BYTES  SOURCE  SOURCE AT  SOURCE NAME\n\
         1     3   3      1       700        in/\\u{{1b}}a.xml\n",
        "BLAKE3"
    );
    assert_eq!(table, expected);
    let plain = stored.run(&["file", "show", "data:acme::orders"]).await;
    assert!(!plain.out.contains("SOURCE NAME"));
    let json = ["file", "show", "data:acme::orders", "--origins", "--json"];
    let objects = stored.run(&json).await.objects();
    assert_eq!((&objects[1]["header"], &objects[1]["footer"]), (&3.into(), &4.into()));
    assert_eq!(
        objects[2],
        serde_json::json!({
            "schema": 1, "event": "origin", "part": 1, "part_offset": 3, "bytes": 3, "source": 1,
            "source_offset": 700, "source_name": "in/\u{1b}a.xml",
        })
    );
}

#[tokio::test]
async fn verify_names_the_part_that_is_not_what_was_committed() {
    let stored = Stored::new().await;
    stored.spray(job(1), "acme::orders", &[b"one", b"two", b"three"]).await;
    std::fs::write(stored.stored_path("acme/2/orders._2_of_3"), b"TWO").unwrap();

    let verified = stored.run(&["file", "verify", "data:acme::orders"]).await;

    assert_eq!(verified.exit, Exit::Mismatch);
    assert_eq!(
        verified.out,
        "PART  FAULT                      PATH\n\
         2     its BLAKE3 digest differs  acme/2/orders._2_of_3\n\
         data:acme::orders generation 1: 3 parts of 11 bytes read back, 1 faults\n"
    );
    assert!(
        verified.err.starts_with(
            "error: 1 of 3 parts of data:acme::orders are not what was committed, first part 2\n"
        ),
        "{}",
        verified.err
    );

    std::fs::write(stored.stored_path("acme/2/orders._2_of_3"), b"longer").unwrap();
    std::fs::remove_file(stored.stored_path("acme/3/orders._3_of_3")).unwrap();
    let sampled =
        stored.run(&["file", "verify", "data:acme::orders", "--mode", "sampled", "--json"]).await;
    let faults: Vec<_> = sampled.objects().iter().map(|row| row["fault"].clone()).collect();
    assert_eq!(faults[..2], ["it has 6 bytes, expected 3", "it is not there"]);
    assert_eq!(sampled.exit, Exit::Mismatch);
}

#[tokio::test]
async fn a_removed_file_is_gone_from_catalogue_and_plane() {
    let stored = Stored::new().await;
    stored.spray(job(1), "acme::orders", &[b"one", b"two"]).await;

    let removed = stored.run(&["file", "remove", "data:acme::orders"]).await;
    assert_eq!(removed.exit, Exit::Done, "{}", removed.err);
    assert_eq!(
        removed.out,
        "removed data:acme::orders generation 1: 2 stored files of 6 bytes deleted\n"
    );
    assert_eq!(std::fs::read_dir(stored.site.at("plane")).unwrap().count(), 0);

    let again = stored.run(&["file", "remove", "data:acme::orders"]).await;
    assert_eq!(again.exit, Exit::Source);
    assert!(again.err.starts_with("error: file data:acme::orders does not exist\n"));
    assert_eq!(stored.run(&["file", "show", "data:acme::orders"]).await.exit, Exit::Source);
}

#[tokio::test]
async fn a_cancelled_job_leaves_nothing_after_collect() {
    let stored = Stored::new().await;
    stored.open(job(1), "acme::orders", 2).await;
    stored.stage(job(1), "acme::orders", &[b"one", b"two"]);
    stored.open(job(2), "acme::other", 1).await;
    stored.stage(job(2), "acme::other", &[b"live"]);

    let untouched = stored.run(&["collect", "--json"]).await.objects();
    assert_eq!((&untouched[0]["jobs_cleared"], &untouched[0]["orphans"]), (&0.into(), &0.into()));
    let shown = stored.run(&["job", "show", &job(1).to_string(), "--json"]).await.objects();
    assert_eq!(shown[0]["state"], "open");
    let wuid = shown[0]["wuid"].as_str().unwrap().to_owned();
    let cancelled = stored.run(&["job", "cancel", &wuid, "--json"]).await;
    assert_eq!(cancelled.objects()[0]["state"], "aborted");

    let dry = stored.run(&["collect", "--dry-run", "--json"]).await.objects();
    assert_eq!((&dry[0]["orphans"], &dry[0]["orphan_bytes"]), (&2.into(), &6.into()));
    assert!(stored.stored_path("acme/1").exists());
    let collected = stored.run(&["collect", "--json"]).await;
    assert_eq!((collected.exit, &collected.objects()[0]["jobs_cleared"]), (Exit::Done, &1.into()));
    assert!(!stored.stored_path("acme/1").exists());
    let listed = stored.run(&["job", "list", "--state", "open", "--json"]).await.objects();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["target"], "acme::other");
}

#[tokio::test]
async fn a_job_that_is_done_or_unknown_is_not_cancelled() {
    let stored = Stored::new().await;
    stored.spray(job(1), "acme::orders", &[b"one"]).await;

    let done = stored.run(&["job", "cancel", &job(1).to_string()]).await;
    assert_eq!(done.exit, Exit::Usage);
    let told = format!("error: job {} is committed and cannot be cancelled\n", job(1));
    assert!(done.err.starts_with(&told), "{}", done.err);
    let unknown = stored.run(&["job", "cancel", "D20260101-000000-99"]).await;
    assert_eq!(unknown.exit, Exit::Source);
    assert!(unknown.err.starts_with("error: job D20260101-000000-99 does not exist\n"));
}

/// A commit has put a part of it in its place and goes on: cancelling waits for it.
#[tokio::test]
async fn cancelling_a_sealed_job_waits_for_whoever_places_its_parts() {
    let stored = Stored::new().await;
    let epoch = stored.sealed(job(1), "acme::orders", &[b"one"]).await;
    let placing = Placing::new(&stored.site.dir(), &stored.catalogue, &plane_name());
    let placed = placing.lock().await.unwrap();

    let id = job(1).to_string();
    let arguments = ["job", "cancel", &id, "--json"];
    let mut cancelling = Box::pin(stored.run(&arguments));
    let early = timeout(Duration::from_millis(300), &mut cancelling).await;
    assert!(early.is_err(), "cancelled under the hands of a commit");
    stored.catalogue.commit_spray(job(1), epoch, &|_| b"receipt".to_vec(), NOW_MS).await.unwrap();
    drop(placed);

    let cancelled = timeout(Duration::from_secs(30), cancelling).await.unwrap();
    let told = format!("job {} is committed and cannot be cancelled", job(1));
    assert!(cancelled.err.contains(&told), "{}", cancelled.err);
}

#[tokio::test]
async fn a_sealed_job_is_not_cancelled_while_its_plane_cannot_be_locked() {
    let stored = Stored::new().await;
    stored.sealed(job(1), "acme::orders", &[b"one"]).await;
    let lock = stored.site.dir().state().join("placing-data.lock");
    std::fs::create_dir(&lock).unwrap();

    let failed = stored.run(&["job", "cancel", &job(1).to_string()]).await;

    assert_eq!(failed.exit, Exit::Internal, "{}", failed.err);
    let told = format!("error: cannot open {}", lock.display());
    assert!(failed.err.starts_with(&told), "{}", failed.err);
    std::fs::remove_dir(&lock).unwrap();
    let cancelled = stored.run(&["job", "cancel", &job(1).to_string(), "--json"]).await;
    assert_eq!(cancelled.objects()[0]["state"], "aborted");
}

/// What a job put in place before it was given up is deleted; what somebody else has there is not.
#[tokio::test]
async fn a_discard_of_a_given_up_job_is_deleted_only_when_it_is_what_the_job_stored() {
    let stored = Stored::new().await;
    let parts: [&[u8]; 3] = [b"mine", b"gone", b"over"];
    let epoch = stored.open(job(1), "acme::orders", 3).await;
    let staged = stored.stage(job(1), "acme::orders", &parts);
    let sealed: Vec<SealedPart> = staged.iter().map(|(_, sealed)| sealed.clone()).collect();
    stored.catalogue.seal_parts(job(1), epoch, &sealed, NOW_MS).await.unwrap();
    stored.catalogue.mark_sealed((job(1), epoch), &[], &|_, _| Ok(()), NOW_MS).await.unwrap();
    for index in [0, 2] {
        let (target, sealed) = staged[index].clone();
        let length = sealed.seal.length;
        let finish = Finish {
            target,
            length,
            replace: Replace::Never,
            staged: None,
            settled: false,
            upload: None,
        };
        assert_eq!(stored.plane.finish(&[finish]), [Ok(Finished::Renamed)]);
    }
    std::fs::write(stored.stored_path("acme/3/orders._3_of_3"), b"OVER").unwrap();
    stored.catalogue.abort_sealed(job(1), None, &Actor::Operator, NOW_MS).await.unwrap();

    let plane = (&plane_name(), &stored.plane);
    let discarded = delete_discards(&stored.catalogue, plane, &*host().clock).await.unwrap();

    assert_eq!(discarded, Discarded { files: 1, bytes: 4, spared: 2, failed: 0 });
    assert!(!stored.stored_path("acme/1/orders._1_of_3").exists());
    assert!(stored.stored_path("acme/3/orders._3_of_3").exists());
    assert!(stored.catalogue.discards(&plane_name(), 10).await.unwrap().is_empty());
}
