//! The fullest page of every paged message fits a frame.

use skyspray_wire::digest::Digest;
use skyspray_wire::frame;
use skyspray_wire::ids::{ChunkIndex, Epoch, JobId, PartIndex, SourceIndex};
use skyspray_wire::limits::{
    ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, COMMIT_SEALS_MAX, DETAIL_BYTES_MAX, NAME_BYTES_MAX,
    PAGE_MAX, PAGE_NAME_BYTES_MAX, SOURCE_NAME_BYTES_MAX, SOURCES_MAX,
};
use skyspray_wire::message::{
    Ack, ChunkReply, Commit, Entry, EntryKind, FileSpec, Held, OpenFiles, OriginRange, Origins,
    PartInfo, PartRuns, PartSeal, RecordOrigins, Reply, Request, SealParts, SourceNote,
    check_attributes,
};
use skyspray_wire::name::PlanePath;
use skyspray_wire::refusal::{Refusal, RefusalCode};

const JOB: JobId = JobId([0xff; 16]);
const PART: PartIndex = PartIndex(u32::MAX);
const DIGEST: Digest = Digest([0xff; 32]);

fn fits(message: &impl serde::Serialize) {
    if let Err(error) = frame::encode(message) {
        panic!("{error}");
    }
}

/// Items of a page whose texts are all `bytes` long.
fn items(bytes: usize) -> usize {
    PAGE_MAX.min(PAGE_NAME_BYTES_MAX / bytes)
}

fn path(bytes: usize) -> PlanePath {
    let text = ["x".repeat(255), "y".repeat(255), "z".repeat(255), "w".repeat(255)].join("/");
    PlanePath::parse(&text[..bytes]).unwrap_or_else(|error| panic!("{error}"))
}

fn longest_seal() -> PartSeal {
    PartSeal {
        part: PART,
        length: u64::MAX,
        digest: DIGEST,
        crc32: u32::MAX,
        records: Some(u64::MAX),
        header: u32::MAX,
        footer: u32::MAX,
    }
}

#[test]
fn pages_of_numbers_fit_a_frame() {
    let parts = vec![longest_seal(); PAGE_MAX];
    fits(&Request::SealParts(SealParts { job: JOB, epoch: Epoch(u64::MAX), parts }));
    let info = PartInfo {
        length: u64::MAX,
        digest: Some(DIGEST),
        crc32: Some(u32::MAX),
        records: Some(u64::MAX),
        modified_ns: Some(i64::MIN),
        header: u32::MAX,
        footer: u32::MAX,
    };
    fits(&Reply::Parts(vec![info; PAGE_MAX]));
    let runs = PartRuns { part: PART, runs: vec![(u64::MAX - 1, u64::MAX)] };
    fits(&Reply::Held(Held { parts: vec![runs; PAGE_MAX] }));
    let ack = Ack { part: PART, chunk: ChunkIndex(u64::MAX) };
    fits(&ChunkReply::Durable(JOB, vec![ack; PAGE_MAX]));
}

#[test]
fn pages_of_texts_fit_a_frame_whether_they_are_short_or_long() {
    for bytes in [PAGE_NAME_BYTES_MAX / PAGE_MAX, 128, NAME_BYTES_MAX] {
        let file = FileSpec { path: path(bytes), length: u64::MAX, modified_ns: i64::MIN };
        let files = vec![file; items(bytes)];
        let epoch = Epoch(u64::MAX);
        fits(&Request::OpenFiles(OpenFiles { job: JOB, epoch, first: PART, files }));
        let entry = Entry {
            kind: EntryKind::File,
            name: "x".repeat(bytes),
            bytes: u64::MAX,
            parts: u32::MAX,
            committed_ms: i64::MIN,
        };
        fits(&Reply::Entries(vec![entry; items(bytes)]));
    }
    for bytes in [PAGE_NAME_BYTES_MAX / PAGE_MAX, DETAIL_BYTES_MAX] {
        let refusal = Refusal::new(RefusalCode::Unknown(u16::MAX), "x".repeat(bytes));
        fits(&Reply::FilesRefused(vec![(PART, refusal); items(bytes)]));
    }
}

fn range() -> OriginRange {
    OriginRange {
        part: PART,
        part_offset: u64::MAX,
        source: SourceIndex(u32::MAX),
        source_offset: u64::MAX,
        length: u64::MAX,
    }
}

#[test]
fn every_page_of_origins_fits_a_frame_and_nothing_is_lost_between_pages() {
    for bytes in [0, 80, 81, SOURCE_NAME_BYTES_MAX] {
        let source = |index: u32| SourceNote {
            index: SourceIndex(SOURCES_MAX - 1 - index),
            name: "x".repeat(bytes),
            bytes: u64::MAX,
        };
        let sources: Vec<_> = (0..600).map(source).collect();
        let ranges = vec![range(); 600];

        let pages: Vec<Origins> = Origins::pages(&sources, &ranges).collect();

        for page in &pages {
            let items = page.sources.len() + page.ranges.len();
            let names = page.sources.len() * bytes;
            assert!(items <= PAGE_MAX && names <= PAGE_NAME_BYTES_MAX, "{items} {names}");
            let origins = page.clone();
            fits(&Request::RecordOrigins(RecordOrigins {
                job: JOB,
                epoch: Epoch(u64::MAX),
                origins,
            }));
            fits(&Reply::Origins(page.clone()));
        }
        assert!(pages.iter().flat_map(|page| &page.sources).eq(&sources));
        assert!(pages.iter().flat_map(|page| &page.ranges).eq(&ranges));
        let first_range = pages.iter().position(|page| !page.ranges.is_empty()).unwrap();
        assert!(pages[first_range + 1..].iter().all(|page| page.sources.is_empty()));
    }
    assert_eq!(Origins::pages(&[], &[]).count(), 0);
}

#[test]
fn the_most_attributes_and_seals_a_commit_may_bring_fit_a_frame() {
    let value = "x".repeat(ATTRIBUTES_BYTES_MAX / ATTRIBUTES_MAX);
    let attributes = vec![(String::new(), value); ATTRIBUTES_MAX];
    assert_eq!(check_attributes(&attributes), Ok(()));

    fits(&Request::Commit(Commit {
        job: JOB,
        epoch: Epoch(u64::MAX),
        parts: u32::MAX,
        attributes,
        seals: vec![longest_seal(); COMMIT_SEALS_MAX],
    }));
}
