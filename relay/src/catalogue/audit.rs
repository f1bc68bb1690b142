//! The audit: one line for every decision, chained by BLAKE3 so that a changed, missing or cut
//! line shows.

use super::Catalogue;
use super::dialect::{Connection, Row, query};
use super::error::CatalogueError;
use super::fields::{Fields, big};
use super::page;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::JobId;
use skyspray_wire::name::{AgentName, PlaneName};
use skyspray_wire::refusal::RefusalCode;
use thiserror::Error;

/// Who did it or asked for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Actor {
    /// An edge, over a session.
    Agent(AgentName),
    /// A person with access to the relay's directory.
    Operator,
    /// The relay itself: expiry, recovery.
    Relay,
}

impl Actor {
    fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Agent(agent) => ("agent", Some(agent.as_str())),
            Self::Operator => ("operator", None),
            Self::Relay => ("relay", None),
        }
    }
}

macro_rules! events {
    ($( $(#[$doc:meta])* $name:ident = $text:literal; )*) => {
        /// What a line of the audit is about.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum AuditEvent { $( $(#[$doc])* $name, )* }

        impl AuditEvent {
            /// The event as it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

events! {
    /// An agent was added, or invited again.
    AgentAdded = "agent-added";
    /// An agent's rules were replaced.
    RulesChanged = "rules-changed";
    /// An agent was revoked.
    AgentRevoked = "agent-revoked";
    /// An agent was locked because its identity exists twice.
    AgentLocked = "agent-locked";
    /// A token was redeemed, or refused.
    Enrolled = "enrolled";
    /// An identity was renewed or recovered, or that was refused.
    IdentityAdvanced = "identity-advanced";
    /// A session was greeted, or refused.
    Session = "session";
    /// A job was opened or continued, or refused.
    JobOpened = "job-opened";
    /// Every part of a job is complete.
    JobSealed = "job-sealed";
    /// A job was committed, or the commit refused.
    JobCommitted = "job-committed";
    /// A job was given up.
    JobAborted = "job-aborted";
    /// Files of a push became visible, or were refused.
    FilesCommitted = "files-committed";
    /// Something was read, or that was refused.
    Read = "read";
    /// Names were listed or described, or that was refused.
    Listed = "listed";
    /// A logical file was removed, or that was refused.
    Removed = "removed";
    /// An earlier generation of a logical file was made current again.
    RolledBack = "rolled-back";
}

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuditResult {
    /// As asked.
    Done,
    /// With this refusal; stored as `refused` and the code's number.
    Refused(RefusalCode),
}

impl AuditResult {
    fn text(self) -> String {
        match self {
            Self::Done => "done".to_owned(),
            Self::Refused(code) => format!("refused {}", u16::from(code)),
        }
    }
}

/// A line to be written.
#[derive(Clone, Debug)]
pub struct AuditEntry<'a> {
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: AuditEvent,
    /// In which job.
    pub job: Option<JobId>,
    /// On which plane.
    pub plane: Option<&'a PlaneName>,
    /// Logical name, scope, directory or agent.
    pub target: Option<&'a str>,
    /// With which result.
    pub result: AuditResult,
    /// Numbers and names beside; never a secret.
    pub detail: serde_json::Value,
}

impl<'a> AuditEntry<'a> {
    /// A line without job, plane, target and detail, about something done.
    pub fn new(actor: Actor, event: AuditEvent) -> Self {
        Self {
            actor,
            event,
            job: None,
            plane: None,
            target: None,
            result: AuditResult::Done,
            detail: serde_json::Value::Null,
        }
    }

    /// The same with this target.
    pub fn target(mut self, target: &'a str) -> Self {
        self.target = Some(target);
        self
    }

    /// The same with this detail.
    pub fn detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }
}

/// A line as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditLine {
    /// Position in the chain, from 1 without gaps.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `agent`, `operator` or `relay`.
    pub actor: String,
    /// The agent, where the actor is one.
    pub agent: Option<String>,
    /// The event, see [`AuditEvent::as_str`].
    pub event: String,
    /// The job.
    pub job: Option<JobId>,
    /// The plane.
    pub plane: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// `done`, or `refused` with a number.
    pub result: String,
    /// JSON.
    pub detail: String,
    /// Hash of the line before; zeros in the first.
    pub prev: Digest,
    /// Hash of this line and the one before.
    pub hash: Digest,
}

impl AuditLine {
    fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("audit", row);
        Ok(Self {
            seq: fields.number("seq")?,
            at_ms: fields.int("at_ms")?,
            actor: fields.text("actor")?,
            agent: fields.text_opt("agent")?,
            event: fields.text("event")?,
            job: fields.array_opt("job")?.map(JobId),
            plane: fields.text_opt("plane")?,
            target: fields.text_opt("target")?,
            result: fields.text("result")?,
            detail: fields.text("detail")?,
            prev: Digest(fields.array("prev")?),
            hash: Digest(fields.array("hash")?),
        })
    }

    /// BLAKE3 over a label, the hash before, and every column: numbers in 8 bytes, little-endian,
    /// texts with their length before them, absent ones as the length 2^64 - 1.
    fn chained(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"skyspray audit 1\0");
        hasher.update(&self.prev.0);
        hasher.update(&self.seq.to_le_bytes());
        hasher.update(&self.at_ms.to_le_bytes());
        let job = self.job.as_ref().map(|job| job.0.as_slice());
        for column in [
            Some(self.actor.as_bytes()),
            self.agent.as_deref().map(str::as_bytes),
            Some(self.event.as_bytes()),
            job,
            self.plane.as_deref().map(str::as_bytes),
            self.target.as_deref().map(str::as_bytes),
            Some(self.result.as_bytes()),
            Some(self.detail.as_bytes()),
        ] {
            let length = column.map_or(u64::MAX, |bytes| bytes.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(column.unwrap_or_default());
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

/// What a whole, unbroken audit amounts to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditSummary {
    /// Number of lines.
    pub lines: u64,
    /// Hash of the last one; kept elsewhere, it proves later that nothing before it changed.
    pub head: Digest,
}

/// Why the audit cannot be believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// A line is not what was hashed.
    #[error("audit line {seq} was changed")]
    Changed {
        /// Its number.
        seq: u64,
    },
    /// A line does not follow from the one before, or one is missing.
    #[error("audit line {seq} is missing or does not follow from the one before")]
    Broken {
        /// The number of the first line that does not fit.
        seq: u64,
    },
    /// The last lines are missing.
    #[error("audit ends at line {found}, its head is at line {expected}")]
    Cut {
        /// The number of the last line there is.
        found: u64,
        /// The number of the last line written.
        expected: u64,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Appends a line; part of the caller's transaction.
pub(super) async fn append(
    tx: &mut Connection,
    entry: &AuditEntry<'_>,
    now_ms: i64,
) -> Result<(), CatalogueError> {
    // Takes the head's row: in every dialect, appenders queue here.
    let head = query("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash")
        .fetch_one(&mut *tx)
        .await?;
    let head = Fields::new("audit_head", &head);
    let (actor, agent) = entry.actor.columns();
    let mut line = AuditLine {
        seq: head.number("seq")?,
        at_ms: now_ms,
        actor: actor.to_owned(),
        agent: agent.map(str::to_owned),
        event: entry.event.as_str().to_owned(),
        job: entry.job,
        plane: entry.plane.map(PlaneName::to_string),
        target: entry.target.map(str::to_owned),
        result: entry.result.text(),
        detail: entry.detail.to_string(),
        prev: Digest(head.array("hash")?),
        hash: Digest([0; 32]),
    };
    line.hash = line.chained();
    query(
        "INSERT INTO audit (seq, at_ms, actor, agent, event, job, plane, target, result, detail, \
         prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(big(line.seq)?)
    .bind(line.at_ms)
    .bind(line.actor)
    .bind(line.agent)
    .bind(line.event)
    .bind(line.job.map(|job| job.0.to_vec()))
    .bind(line.plane)
    .bind(line.target)
    .bind(line.result)
    .bind(line.detail)
    .bind(line.prev.0.to_vec())
    .bind(line.hash.0.to_vec())
    .execute(&mut *tx)
    .await?;
    query("UPDATE audit_head SET hash = $1 WHERE id = 1")
        .bind(line.hash.0.to_vec())
        .execute(&mut *tx)
        .await?;
    Ok(())
}

impl Catalogue {
    /// Writes one line for a decision that changes nothing in the catalogue.
    ///
    /// # Errors
    ///
    /// The catalogue failed; the decision must not take effect then.
    pub async fn record(&self, entry: &AuditEntry<'_>, now_ms: i64) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        append(&mut tx, entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The last lines, oldest first.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn audit_tail(&self, limit: u32) -> Result<Vec<AuditLine>, CatalogueError> {
        let rows = query("SELECT * FROM audit ORDER BY seq DESC LIMIT $1")
            .bind(page(limit))
            .fetch_all(self.store.readers())
            .await?;
        rows.iter().rev().map(AuditLine::read).collect()
    }

    /// Lines after the one numbered `seq`, oldest first.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn audit_after(
        &self,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<AuditLine>, CatalogueError> {
        let mut snapshot = self.store.snapshot().await?;
        lines_after(&mut snapshot, seq, limit).await
    }

    /// Follows the chain from its first line to its head.
    ///
    /// # Errors
    ///
    /// The first fault found.
    pub async fn verify_audit(&self) -> Result<AuditSummary, AuditFault> {
        let mut snapshot = self.store.snapshot().await.map_err(AuditFault::Catalogue)?;
        let head = query("SELECT seq, hash FROM audit_head WHERE id = 1")
            .fetch_one(&mut *snapshot)
            .await?;
        let head = Fields::new("audit_head", &head);
        let (expected, head) = (head.number("seq")?, Digest(head.array("hash")?));
        let (mut seq, mut prev) = (0, Digest([0; 32]));
        loop {
            let lines = lines_after(&mut snapshot, seq, super::PAGE_ROWS_MAX).await?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                if line.seq != seq + 1 || line.prev != prev {
                    return Err(AuditFault::Broken { seq: seq + 1 });
                }
                if line.chained() != line.hash {
                    return Err(AuditFault::Changed { seq: line.seq });
                }
                (seq, prev) = (line.seq, line.hash);
            }
        }
        if seq != expected || prev != head {
            return Err(AuditFault::Cut { found: seq, expected });
        }
        Ok(AuditSummary { lines: seq, head })
    }
}

async fn lines_after(
    connection: &mut Connection,
    seq: u64,
    limit: u32,
) -> Result<Vec<AuditLine>, CatalogueError> {
    let rows = query("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
        .bind(big(seq)?)
        .bind(page(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(AuditLine::read).collect()
}
