//! Tests of the catalogue, each on every engine and on a database of its own.

mod agents;
mod audit;
mod commit;
mod copies;
mod discards;
mod files;
mod jobs;
mod kept;
mod ledger;
mod origins;
mod push;
mod server;
mod store;
mod tls;
mod uploads;

use super::dialect::query;
use super::*;
use crate::access::Rule;
use skyspray_certs::{IdentityGeneration, PrivateKey, PublicKey, TokenHash};
use skyspray_tests::server::postgres::{self, Postgres};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch, Generation, JobId, PartIndex};
use skyspray_wire::message::{Committed, JobState, PartSeal, WriteTarget};
use skyspray_wire::name::{AgentName, LogicalName, PlaneName, PlanePath};
use skyspray_wire::receipt::Receipt;
use std::sync::Arc;
use tempfile::TempDir;

/// A moment in 2024; tests count from here.
const T: i64 = 1_709_210_096_789;

/// Lets everything pass; the receipt is kept unsigned, so that a test can read it.
const OPEN_GATE: Gate<'static> = Gate { allowed: &|_, _| Ok(()), sign: &encoded };

fn encoded(receipt: &Receipt) -> Vec<u8> {
    postcard::to_allocvec(receipt).unwrap()
}

fn receipt(committed: &Committed) -> Receipt {
    postcard::from_bytes(&committed.receipt).unwrap()
}

/// What holds the catalogue of a test.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Makes each `async fn NAME(engine: Engine)` a test on every engine.
macro_rules! each_engine {
    ($($name:ident;)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::catalogue::tests::Engine::Sqlite).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::catalogue::tests::Engine::Postgres).await;
            })*
        }
    };
}
use each_engine;

/// Where the catalogue of a test is, until the test ends.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) place: Place,
    _server: Option<Arc<Postgres>>,
}

impl Site {
    /// With nothing in it.
    pub(crate) fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if engine == Engine::Sqlite {
            let place = Place::File(directory.path().join("catalogue.db"));
            return Self { directory, place, _server: None };
        }
        let server = postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let place = Self::on_server(&server, &directory);
        Self { directory, place, _server: Some(server) }
    }

    /// A database of its own on `server`.
    pub(crate) fn on_server(server: &Postgres, directory: &TempDir) -> Place {
        let database = server.new_database().unwrap();
        let (user, rest) =
            database.url().strip_prefix("postgres://").unwrap().split_once(':').unwrap();
        let (password, at) = rest.split_once('@').unwrap();
        let password_file = directory.path().join("password");
        std::fs::write(&password_file, format!("{password}\n")).unwrap();
        let CatalogueUrl::Postgres(url) = format!("postgres://{user}@{at}").parse().unwrap() else {
            panic!("a URL of PostgreSQL");
        };
        Place::Postgres { url, password_file: Some(password_file) }
    }
}

/// A catalogue that goes when the test ends.
struct Bench {
    engine: Engine,
    site: Site,
    catalogue: Catalogue,
}

impl Bench {
    /// With the agents `edge-1` and `edge-2` enrolled.
    async fn new(engine: Engine) -> Self {
        let bench = Self::empty(engine).await;
        for name in ["edge-1", "edge-2"] {
            bench.catalogue.add_agent(&agent(name), &invitation(1), T).await.unwrap();
            bench.catalogue.redeem_token(&redemption(name, 1), T).await.unwrap();
        }
        bench
    }

    async fn empty(engine: Engine) -> Self {
        let site = Site::new(engine);
        let catalogue = Catalogue::create(&site.place).await.unwrap();
        Self { engine, site, catalogue }
    }

    /// Another process that uses it.
    async fn other_process(&self) -> Catalogue {
        Catalogue::open(&self.site.place).await.unwrap()
    }

    /// Leaves the old connections where they are, as a crash does, and opens the catalogue anew.
    async fn crash(&mut self) {
        self.catalogue = self.other_process().await;
    }

    async fn open(&self, new: &NewJob, now_ms: i64) -> Result<Opened, JobError> {
        match self.catalogue.open_write(new, now_ms).await? {
            Opening::Granted(opened) => Ok(opened),
            Opening::Committed(done) => panic!("committed already: {done:?}"),
        }
    }

    async fn job(&self, new: &NewJob) -> JobRecord {
        self.catalogue.job(&JobKey::Id(new.job)).await.unwrap().unwrap()
    }

    /// Opens a spray and seals its parts.
    async fn parts_sealed(&self, new: &NewJob, now_ms: i64) -> Epoch {
        let epoch = self.open(new, now_ms).await.unwrap().epoch;
        let parts = parts_of(new);
        self.catalogue.seal_parts(new.job, epoch, &parts, now_ms).await.unwrap();
        epoch
    }

    /// Opens a spray and seals it.
    async fn sealed(&self, new: &NewJob, now_ms: i64) -> Epoch {
        let epoch = self.parts_sealed(new, now_ms).await;
        self.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, now_ms).await.unwrap();
        epoch
    }

    /// Opens a spray, seals and commits it.
    async fn committed(&self, new: &NewJob, now_ms: i64) -> Committed {
        let epoch = self.sealed(new, now_ms).await;
        self.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, now_ms).await.unwrap()
    }

    async fn discard_paths(&self) -> Vec<String> {
        let discards = self.catalogue.discards(&plane(), 100).await.unwrap();
        discards.into_iter().map(|discard| discard.path).collect()
    }

    /// Event and result of the last lines.
    async fn audit_events(&self, lines: u32) -> Vec<(String, String)> {
        let tail = self.catalogue.audit_tail(lines).await.unwrap();
        tail.into_iter().map(|line| (line.event, line.result)).collect()
    }
}

fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

fn plane() -> PlaneName {
    PlaneName::parse("data").unwrap()
}

fn logical(name: &str) -> LogicalName {
    LogicalName::parse(name).unwrap()
}

fn path(text: &str) -> PlanePath {
    PlanePath::parse(text).unwrap()
}

fn rules() -> Vec<Rule> {
    vec!["push:data:a".parse().unwrap(), "pull,list:*".parse().unwrap()]
}

fn invitation(token: u8) -> Invitation {
    let token_hash = TokenHash::from_bytes([token; 32]);
    Invitation { token_hash, expires_ms: T + 600_000, rules: rules() }
}

fn key() -> PublicKey {
    *PrivateKey::generate(&ring::rand::SystemRandom::new()).unwrap().public_key()
}

fn redemption(name: &str, token: u8) -> Redemption {
    Redemption {
        agent: agent(name),
        token_hash: TokenHash::from_bytes([token; 32]),
        bound_key: key(),
        session_key_hash: key().hash(),
    }
}

fn job_id(id: u8) -> JobId {
    JobId([id; 16])
}

/// A spray of two parts to `name` by `edge-1`.
fn spray(id: u8, name: &str) -> NewJob {
    NewJob {
        job: job_id(id),
        agent: agent("edge-1"),
        target: WriteTarget::LogicalFile { plane: plane(), name: logical(name), parts: 0 },
        overwrite: false,
        bytes: 300,
        plan: Digest([7; 32]),
        attributes: vec![("kind".to_owned(), "flat".to_owned())],
        parts: 2,
        chunk_size: ChunkSize::FILE_PLANE,
        layout: PartLayout { dir_per_part: true, devices: 1, lfn_hash: 5, kept: None },
    }
}

/// A push below `in` by `edge-1`.
fn push_job(id: u8) -> NewJob {
    NewJob {
        target: WriteTarget::Files { plane: plane(), directory: path("in") },
        parts: 0,
        attributes: Vec::new(),
        layout: PartLayout::FILES,
        ..spray(id, "unused")
    }
}

fn seal(part: u32, content: &[u8]) -> PartSeal {
    PartSeal {
        part: PartIndex(part),
        length: content.len() as u64,
        digest: Digest::of(content),
        crc32: crc32fast::hash(content),
        records: Some(1),
        header: 0,
        footer: 0,
    }
}

/// Every part of a spray, each with content and place of its own.
fn parts_of(new: &NewJob) -> Vec<SealedPart> {
    let WriteTarget::LogicalFile { name, .. } = &new.target else { panic!("a spray") };
    let directory = name.as_str().replace("::", "/");
    (0..new.parts)
        .map(|part| SealedPart {
            seal: seal(part, format!("{}-{part}", new.job).as_bytes()),
            path: format!("{directory}._{}_of_{}", part + 1, new.parts),
        })
        .collect()
}
