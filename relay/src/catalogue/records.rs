//! Jobs, their parts and generations as rows hold them.

use super::audit::Actor;
use super::dialect::Row;
use super::error::CatalogueError;
use super::fields::Fields;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch, Generation, JobId, PartIndex};
use skyspray_wire::message::{Attributes, Committed, JobState, WriteTarget};
use skyspray_wire::name::{AgentName, LogicalName, PlaneName};
use std::num::NonZeroU32;

/// How people and programs name a job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JobKey {
    /// The id the edge chose.
    Id(JobId),
    /// The HPCC-style id.
    Wuid(String),
}

/// What the paths of a logical file's parts follow from, beside its name and number of parts.
///
/// Taken from the plane's configuration at open and kept, so that a change of the configuration
/// never moves parts that exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartLayout {
    /// Whether each part has a directory of its own.
    pub dir_per_part: bool,
    /// Devices the parts are spread over, at least 1.
    pub devices: u32,
    /// HPCC's hash of the logical name, which says where the spreading begins.
    pub lfn_hash: u32,
    /// With the `generation` layout; `None` where a replacement takes the same places.
    pub kept: Option<Kept>,
}

/// A generation with a directory of its own, which a replacement leaves alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kept {
    /// The job that writes it; names its directory.
    pub job: JobId,
    /// How many generations of the logical file stay stored, this one among them.
    pub generations: NonZeroU32,
}

impl PartLayout {
    /// How many generations are kept, as a column holds it: 0 with the `hpcc` layout.
    pub(super) fn keep_generations(&self) -> i64 {
        self.kept.map_or(0, |kept| i64::from(kept.generations.get()))
    }

    /// For pushes, whose files name their own paths.
    pub const FILES: Self = Self { dir_per_part: false, devices: 1, lfn_hash: 0, kept: None };

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, CatalogueError> {
        Ok(Self {
            dir_per_part: fields.flag("dir_per_part")?,
            devices: fields.number("devices")?,
            lfn_hash: fields.number("lfn_hash")?,
            kept: match NonZeroU32::new(fields.number("keep_generations")?) {
                Some(generations) => Some(Kept { job: JobId(fields.array("job")?), generations }),
                None => None,
            },
        })
    }
}

/// What a job does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobKind {
    /// A logical file is written from files: an edge's, or for the operator from those of a plane.
    Spray,
    /// An edge writes files 1:1.
    Push,
    /// The operator has a logical file written from another one.
    Copy,
}

impl JobKind {
    /// The kind in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spray => "spray",
            Self::Push => "push",
            Self::Copy => "copy",
        }
    }

    /// What an edge asks for when it names this target.
    pub(super) fn of_edge(target: &WriteTarget) -> Self {
        match target {
            WriteTarget::LogicalFile { .. } => Self::Spray,
            WriteTarget::Files { .. } => Self::Push,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Spray, Self::Push, Self::Copy].into_iter().find(|k| k.as_str() == text)
    }
}

/// What stands where jobs, generations and receipts name an agent and the operator acted. No agent
/// is added under this name.
pub fn operator() -> AgentName {
    AgentName::parse("operator").expect("letters make a label")
}

/// Who acts in a job in which `agent` is named.
pub(super) fn acting(agent: &AgentName) -> Actor {
    if *agent == operator() { Actor::Operator } else { Actor::Agent(agent.clone()) }
}

/// A job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobRecord {
    /// The id the edge chose.
    pub job: JobId,
    /// Position among all jobs of the catalogue, from 1 in the order of opening.
    pub number: u64,
    /// The HPCC-style id.
    pub wuid: String,
    /// What it does.
    pub kind: JobKind,
    /// Whose job it is; [`operator`] for a copy, and for a spray inside the cluster.
    pub agent: AgentName,
    /// What it writes, as asked for.
    pub target: WriteTarget,
    /// Parts of the spray; files of the push opened so far.
    pub parts: u32,
    /// Whether what exists may be replaced.
    pub overwrite: bool,
    /// Digest of the edge's plan.
    pub plan: Digest,
    /// What describes the logical file.
    pub attributes: Attributes,
    /// Bytes announced at open.
    pub bytes: u64,
    /// Chosen when the job was first opened.
    pub chunk_size: ChunkSize,
    /// Chosen when the job was first opened.
    pub layout: PartLayout,
    /// The state of the target.
    pub state: JobState,
    /// The newest epoch; older ones change nothing.
    pub epoch: Epoch,
    /// First opened, in milliseconds since 1970.
    pub opened_ms: i64,
    /// Last sign of life, in milliseconds since 1970.
    pub touched_ms: i64,
    /// Committed or aborted, in milliseconds since 1970.
    pub finished_ms: Option<i64>,
    /// Bytes recorded as durable.
    pub bytes_durable: u64,
    /// The generation it committed; `None` before and for pushes.
    pub generation: Option<Generation>,
    /// The signed receipt of the commit.
    pub receipt: Option<Vec<u8>>,
}

impl JobRecord {
    /// Reads a whole row of `jobs`.
    pub(super) fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("jobs", row);
        let plane = fields.name("plane")?;
        let parts = fields.number("parts")?;
        let kind = JobKind::parse(&fields.text("kind")?).ok_or_else(|| fields.corrupt("kind"))?;
        let target = match kind {
            JobKind::Spray | JobKind::Copy => WriteTarget::LogicalFile {
                plane,
                name: fields.name("target")?,
                parts: fields.number("parts_asked")?,
            },
            JobKind::Push => WriteTarget::Files { plane, directory: fields.name("target")? },
        };
        let chunk_size = ChunkSize::try_new(fields.number("chunk_size")?);
        Ok(Self {
            job: JobId(fields.array("job")?),
            number: fields.number("number")?,
            wuid: fields.text("wuid")?,
            kind,
            agent: fields.name("agent")?,
            target,
            parts,
            overwrite: fields.flag("overwrite")?,
            plan: Digest(fields.array("plan")?),
            attributes: attributes(&fields)?,
            bytes: fields.number("bytes")?,
            chunk_size: chunk_size.map_err(|_| fields.corrupt("chunk_size"))?,
            layout: PartLayout::read(&fields)?,
            state: JobState::parse(&fields.text("state")?)
                .ok_or_else(|| fields.corrupt("state"))?,
            epoch: Epoch(fields.number("epoch")?),
            opened_ms: fields.int("opened_ms")?,
            touched_ms: fields.int("touched_ms")?,
            finished_ms: fields.int_opt("finished_ms")?,
            bytes_durable: fields.number("bytes_durable")?,
            generation: fields.number_opt("generation")?.map(Generation),
            receipt: fields.bytes_opt("receipt")?,
        })
    }

    /// The result, when it is committed.
    pub fn committed(&self) -> Option<Committed> {
        let receipt = self.receipt.clone()?;
        let (generation, wuid) = (self.generation, self.wuid.clone());
        (self.state == JobState::Committed).then_some(Committed { generation, wuid, receipt })
    }

    /// Who acts in it.
    pub(super) fn actor(&self) -> Actor {
        acting(&self.agent)
    }

    /// The plane and logical name, unless it is a push.
    pub(super) fn logical(&self) -> Option<(&PlaneName, &LogicalName)> {
        match &self.target {
            WriteTarget::LogicalFile { plane, name, .. } => Some((plane, name)),
            WriteTarget::Files { .. } => None,
        }
    }
}

/// `target` of a row of `jobs`.
pub(super) fn target_text(target: &WriteTarget) -> String {
    match target {
        WriteTarget::LogicalFile { name, .. } => name.to_string(),
        WriteTarget::Files { directory, .. } => directory.to_string(),
    }
}

fn attributes(fields: &Fields<'_>) -> Result<Attributes, CatalogueError> {
    let text = fields.text("attributes")?;
    serde_json::from_str(&text).map_err(|_| fields.corrupt("attributes"))
}

/// Attributes as a column holds them.
pub(super) fn attributes_text(attributes: &Attributes) -> String {
    serde_json::to_string(attributes).expect("pairs of texts are JSON")
}

/// How far a part of a job is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PartState {
    /// Chunks are accepted.
    Open,
    /// The sender has stated its digests.
    Sealed,
    /// A file of a push that is visible.
    Committed,
}

impl PartState {
    /// The state in lower case, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Committed => "committed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Sealed, Self::Committed].into_iter().find(|s| s.as_str() == text)
    }
}

/// A part of a job. What is not known yet is `None`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartRecord {
    /// Which.
    pub part: PartIndex,
    /// How far it is.
    pub state: PartState,
    /// Where it is or will be stored, from the plane's root; known from the seal of a spray's part,
    /// from the open of a push's file.
    pub path: Option<String>,
    /// Bytes in it; known when the path is.
    pub length: Option<u64>,
    /// When the source of a pushed file was last modified, in nanoseconds since 1970.
    pub modified_ns: Option<i64>,
    /// What is durable, as recorded with the last progress.
    pub tree: Option<Vec<u8>>,
    /// BLAKE3 root, from the seal on.
    pub digest: Option<Digest>,
    /// CRC-32, from the seal on.
    pub crc32: Option<u32>,
    /// Records in it, where the seal counts them.
    pub records: Option<u64>,
    /// Bytes at its start that are the header of a document; 0 before the seal.
    pub header: u32,
    /// Bytes at its end that are the footer of a document; 0 before the seal.
    pub footer: u32,
}

impl PartRecord {
    /// Reads a whole row of `job_parts`.
    pub(super) fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("job_parts", row);
        Ok(Self {
            part: PartIndex(fields.number("part")?),
            state: PartState::parse(&fields.text("state")?)
                .ok_or_else(|| fields.corrupt("state"))?,
            path: fields.text_opt("path")?,
            length: fields.number_opt("length")?,
            modified_ns: fields.int_opt("modified_ns")?,
            tree: fields.bytes_opt("tree")?,
            digest: fields.array_opt("digest")?.map(Digest),
            crc32: fields.number_opt("crc32")?,
            records: fields.number_opt("records")?,
            header: fields.number("header")?,
            footer: fields.number("footer")?,
        })
    }
}

/// Whether a generation is the one its name means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GenerationState {
    /// It is; its parts are stored.
    Live,
    /// A newer one took its place; its parts are stored and it can be made current again.
    Kept,
    /// A newer one took its place; its parts are gone or about to go.
    Replaced,
    /// The name was removed; its parts are gone or about to go.
    Removed,
}

impl GenerationState {
    /// The state in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Kept => "kept",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Live, Self::Kept, Self::Replaced, Self::Removed]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// A committed generation of a logical file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GenerationRecord {
    /// The plane that stores it.
    pub plane: PlaneName,
    /// The logical file.
    pub name: LogicalName,
    /// Which generation.
    pub generation: Generation,
    /// Whether it is current.
    pub state: GenerationState,
    /// The job that wrote it.
    pub job: JobId,
    /// The same, HPCC-style.
    pub wuid: String,
    /// The agent that wrote it.
    pub agent: AgentName,
    /// Number of parts.
    pub parts: u32,
    /// Bytes of all parts together.
    pub bytes: u64,
    /// Records of all parts together, where every part counted them.
    pub records: Option<u64>,
    /// When it was committed, in milliseconds since 1970.
    pub committed_ms: i64,
    /// When it was replaced or removed, in milliseconds since 1970.
    pub ended_ms: Option<i64>,
    /// What describes it.
    pub attributes: Attributes,
    /// What its part paths follow from.
    pub layout: PartLayout,
    /// The signed receipt of its commit.
    pub receipt: Vec<u8>,
}

impl GenerationRecord {
    /// Reads a whole row of `generations`.
    pub(super) fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("generations", row);
        Ok(Self {
            plane: fields.name("plane")?,
            name: fields.name("name")?,
            generation: Generation(fields.number("generation")?),
            state: GenerationState::parse(&fields.text("state")?)
                .ok_or_else(|| fields.corrupt("state"))?,
            job: JobId(fields.array("job")?),
            wuid: fields.text("wuid")?,
            agent: fields.name("agent")?,
            parts: fields.number("parts")?,
            bytes: fields.number("bytes")?,
            records: fields.number_opt("records")?,
            committed_ms: fields.int("committed_ms")?,
            ended_ms: fields.int_opt("ended_ms")?,
            attributes: attributes(&fields)?,
            layout: PartLayout::read(&fields)?,
            receipt: fields.bytes("receipt")?,
        })
    }
}
