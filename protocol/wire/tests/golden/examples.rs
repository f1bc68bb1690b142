//! One value for every variant that travels. `docs/protocol.md` holds the bytes of each.

use skyspray_wire::chunk::{ChunkHeader, Encoding};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, Generation, JobId, PartIndex, SourceIndex};
use skyspray_wire::message::*;
use skyspray_wire::name::{AgentName, LogicalName, PlaneName, PlanePath, Scope};
use skyspray_wire::receipt::{Receipt, SignedReceipt};
use skyspray_wire::refusal::{Refusal, RefusalCode};

/// Makes a function that lists an example of every variant in order. The match over the variants
/// has no other arm, so a new variant does not compile without an example.
macro_rules! examples {
    ($function:ident: $type:ident { $($variant:ident => $example:expr),* $(,)? }) => {
        /// Name and value of one example of every variant, in order.
        pub(crate) fn $function() -> Vec<(&'static str, $type)> {
            fn name_of(example: &$type) -> &'static str {
                match example {
                    $($type::$variant { .. } => concat!(stringify!($type), "::", stringify!($variant)),)*
                }
            }
            let listed = [$(concat!(stringify!($type), "::", stringify!($variant))),*];
            let examples: Vec<_> = [$($example),*].into_iter().map(|e| (name_of(&e), e)).collect();
            assert!(examples.iter().map(|(name, _)| *name).eq(listed), "an example of another variant");
            examples
        }
    };
}

examples!(requests: Request {
    Hello => Request::Hello(Hello {
        oldest: 1,
        newest: 1,
        features: 0,
        software: "skyspray-edge 0.1.0".into(),
    }),
    OpenWrite => Request::OpenWrite(OpenWrite {
        job: job(),
        target: write_target_of_spray(),
        overwrite: true,
        bytes: 300,
        plan: digest(0xaa),
        attributes: attributes(),
    }),
    OpenFiles => Request::OpenFiles(OpenFiles {
        job: job(),
        epoch: Epoch(2),
        first: PartIndex(512),
        files: vec![FileSpec {
            path: path("2024/a b.csv"),
            length: 300,
            modified_ns: 1_700_000_000_000_000_000,
        }],
    }),
    SealParts => Request::SealParts(SealParts {
        job: job(),
        epoch: Epoch(2),
        parts: vec![
            PartSeal {
                part: PartIndex(0),
                length: 300,
                digest: digest(0xbb),
                crc32: 0xcbf4_3926,
                records: Some(3),
                header: 12,
                footer: 8,
            },
            PartSeal {
                part: PartIndex(1),
                length: 0,
                digest: Digest::of(b""),
                crc32: 0,
                records: None,
                header: 0,
                footer: 0,
            },
        ],
    }),
    Commit => Request::Commit(Commit {
        job: job(),
        epoch: Epoch(2),
        parts: 2,
        attributes: vec![("recordSize".into(), "9".into())],
        seals: vec![PartSeal {
            part: PartIndex(1),
            length: 0,
            digest: Digest::of(b""),
            crc32: 0,
            records: None,
            header: 0,
            footer: 0,
        }],
    }),
    OpenRead => Request::OpenRead(OpenRead {
        job: job(),
        target: read_target_of_despray(),
        generation: Some(Generation(7)),
        held: vec![runs()],
        in_flight_chunks: 8,
    }),
    List => Request::List(List {
        plane: plane(),
        what: listed_scope(),
        after: "sales::orders".into(),
        limit: 1000,
    }),
    Describe => Request::Describe(Describe { plane: plane(), name: name(), origins: true }),
    JobStatus => Request::JobStatus(job()),
    Abort => Request::Abort(job()),
    Renew => Request::Renew(vec![1, 2, 3]),
    RecordOrigins => Request::RecordOrigins(RecordOrigins {
        job: job(),
        epoch: Epoch(2),
        origins: origins(),
    }),
});

examples!(replies: Reply {
    Welcome => Reply::Welcome(Welcome {
        version: 1,
        features: 0,
        software: "skyspray-relay 0.1.0".into(),
        agent: AgentName::parse("edge-1").unwrap(),
        time_ms: 1_700_000_000_000,
        data_streams: 4,
    }),
    Refused => Reply::Refused(leased()),
    Granted => Reply::Granted(Granted {
        epoch: Epoch(2),
        chunk_size: ChunkSize::FILE_PLANE,
        parts: 2,
        in_flight_chunks: 8,
        wuid: wuid(),
    }),
    Held => Reply::Held(Held { parts: vec![runs()] }),
    FilesOpened => Reply::FilesOpened(FilesOpened {
        committed: vec![PartIndex(512)],
        refused: vec![(PartIndex(513), blocked())],
        held: vec![runs()],
    }),
    FilesRefused => Reply::FilesRefused(vec![(PartIndex(513), blocked())]),
    Done => Reply::Done,
    Committed => Reply::Committed(Committed {
        generation: Some(Generation(7)),
        wuid: wuid(),
        receipt: vec![1, 2, 3],
    }),
    Readable => Reply::Readable(Readable {
        epoch: Epoch(2),
        generation: Some(Generation(7)),
        chunk_size: ChunkSize::FILE_PLANE,
        parts: 2,
        bytes: 300,
        attributes: attributes(),
    }),
    Parts => Reply::Parts(vec![
        PartInfo {
            length: 300,
            digest: Some(digest(0xbb)),
            crc32: Some(0xcbf4_3926),
            records: Some(3),
            modified_ns: None,
            header: 12,
            footer: 8,
        },
        PartInfo {
            length: 5,
            digest: None,
            crc32: None,
            records: None,
            modified_ns: Some(1_700_000_000_000_000_000),
            header: 0,
            footer: 0,
        },
    ]),
    Entries => Reply::Entries(vec![Entry {
        kind: EntryKind::LogicalFile,
        name: "sales::orders".into(),
        bytes: 300,
        parts: 2,
        committed_ms: 1_700_000_000_000,
    }]),
    Description => Reply::Description(Description {
        generation: Generation(7),
        parts: 2,
        bytes: 300,
        records: Some(3),
        committed_ms: 1_700_000_000_000,
        wuid: wuid(),
        agent: "edge-1".into(),
        attributes: attributes(),
    }),
    Job => Reply::Job(JobStatus {
        job: job(),
        wuid: wuid(),
        state: JobState::Sealed,
        bytes_durable: 300,
        bytes_total: 300,
    }),
    Renewed => Reply::Renewed(vec![1, 2, 3]),
    Origins => Reply::Origins(origins()),
});

examples!(chunk_replies: ChunkReply {
    Durable => ChunkReply::Durable(
        job(),
        vec![
            Ack { part: PartIndex(0), chunk: ChunkIndex(0) },
            Ack { part: PartIndex(1), chunk: ChunkIndex(300) },
        ],
    ),
    Refused => ChunkReply::Refused(
        job(),
        Refusal::new(RefusalCode::EpochStale, "epoch 1, the lease is at 2"),
    ),
});

examples!(write_targets: WriteTarget {
    LogicalFile => write_target_of_spray(),
    Files => WriteTarget::Files { plane: plane(), directory: path("in/acme") },
});

examples!(read_targets: ReadTarget {
    LogicalFile => read_target_of_despray(),
    Files => ReadTarget::Files { plane: plane(), paths: vec![path("in/a.csv"), path("in/b.csv")] },
});

examples!(listed: ListWhat {
    Logical => listed_scope(),
    Files => ListWhat::Files(path("in")),
});

examples!(entry_kinds: EntryKind {
    LogicalFile => EntryKind::LogicalFile,
    File => EntryKind::File,
});

examples!(job_states: JobState {
    Open => JobState::Open,
    Sealed => JobState::Sealed,
    Committed => JobState::Committed,
    Aborted => JobState::Aborted,
});

/// A receipt of a spray.
pub(crate) fn receipts() -> Vec<(&'static str, Receipt)> {
    let receipt = Receipt {
        version: 1,
        job: job(),
        wuid: wuid(),
        agent: AgentName::parse("edge-1").unwrap(),
        plane: plane(),
        target: "sales::orders".into(),
        generation: Some(Generation(7)),
        parts: 2,
        bytes: 300,
        content: digest(0xcc),
        committed_ms: 1_700_000_000_000,
    };
    vec![("Receipt", receipt)]
}

/// A receipt and its signature; neither is real.
pub(crate) fn signed_receipts() -> Vec<(&'static str, SignedReceipt)> {
    let signed = SignedReceipt {
        receipt: vec![1, 2, 3],
        key_id: [0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7],
        signature: vec![0xee; 64],
    };
    vec![("SignedReceipt", signed)]
}

/// A header of each encoding.
pub(crate) fn chunk_headers() -> Vec<(&'static str, ChunkHeader)> {
    let name = |encoding| match encoding {
        Encoding::Raw => "ChunkHeader/raw",
        Encoding::Zstd => "ChunkHeader/zstd",
    };
    let header = |encoding, wire_length| ChunkHeader {
        job: job(),
        epoch: Epoch(2),
        part: PartIndex(1),
        offset: 3 * 1024 * 1024,
        raw_length: 1000,
        wire_length,
        encoding,
        subtree: [0xab; 32],
    };
    [(Encoding::Raw, 1000), (Encoding::Zstd, 300)]
        .into_iter()
        .map(|(encoding, wire_length)| (name(encoding), header(encoding, wire_length)))
        .collect()
}

/// Names of all examples here.
pub(crate) fn names() -> Vec<&'static str> {
    fn of<T>(examples: Vec<(&'static str, T)>) -> Vec<&'static str> {
        examples.into_iter().map(|(name, _)| name).collect()
    }
    [
        of(requests()),
        of(replies()),
        of(chunk_replies()),
        of(write_targets()),
        of(read_targets()),
        of(listed()),
        of(entry_kinds()),
        of(job_states()),
        of(receipts()),
        of(signed_receipts()),
        of(chunk_headers()),
    ]
    .concat()
}

fn job() -> JobId {
    JobId(std::array::from_fn(|index| 0x10 + index as u8))
}

fn wuid() -> String {
    "D20231114-221320-1".into()
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn plane() -> PlaneName {
    PlaneName::parse("lake").unwrap()
}

fn name() -> LogicalName {
    LogicalName::parse("sales::orders").unwrap()
}

fn path(text: &str) -> PlanePath {
    PlanePath::parse(text).unwrap()
}

fn attributes() -> Attributes {
    vec![("format".into(), "csv".into()), ("csvSeparate".into(), "\\,".into())]
}

fn origins() -> Origins {
    Origins {
        sources: vec![SourceNote::new(SourceIndex(0), "orders.xml", 500)],
        ranges: vec![OriginRange {
            part: PartIndex(1),
            part_offset: 12,
            source: SourceIndex(0),
            source_offset: 212,
            length: 280,
        }],
    }
}

fn runs() -> PartRuns {
    PartRuns { part: PartIndex(1), runs: vec![(0, 3), (5, 300)] }
}

fn write_target_of_spray() -> WriteTarget {
    WriteTarget::LogicalFile { plane: plane(), name: name(), parts: 2 }
}

fn read_target_of_despray() -> ReadTarget {
    ReadTarget::LogicalFile { plane: plane(), name: name() }
}

fn listed_scope() -> ListWhat {
    ListWhat::Logical(Scope::parse("sales").unwrap())
}

fn leased() -> Refusal {
    Refusal::new(RefusalCode::TargetLeased, "sales::orders")
}

fn blocked() -> Refusal {
    Refusal::new(RefusalCode::PathBlocked, "a directory stands there")
}
