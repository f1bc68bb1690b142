//! `job …`: jobs in progress and past.

use super::context::Context;
use super::output::{Row, when};
use super::upload::UploadRow;
use super::{AdminError, Output};
use crate::catalogue::{Actor, JobError, JobFilter, JobKey, JobRecord};
use crate::placing::Placing;
use clap::{Args, Subcommand};
use serde::Serialize;
use skyspray_wire::ids::JobId;
use skyspray_wire::message::{JobState, WriteTarget};
use skyspray_wire::name::{AgentName, PlaneName};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Commands on jobs.
#[derive(Clone, Debug, Subcommand)]
pub enum JobCommand {
    /// Show jobs, newest first.
    List(JobListArgs),
    /// Show one job, and its uploads to an object store that are open.
    Show {
        /// Its id: 32 hexadecimal digits, or DYYYYMMDD-HHMMSS-n.
        job: JobArg,
    },
    /// Give a job up: nothing of it becomes visible, what it staged is collected.
    Cancel {
        /// Its id: 32 hexadecimal digits, or DYYYYMMDD-HHMMSS-n.
        job: JobArg,
    },
}

/// `job list`.
#[derive(Args, Clone, Debug)]
pub struct JobListArgs {
    /// Only jobs in this state: open, sealed, committed or aborted.
    #[arg(long, value_name = "STATE", value_parser = job_state)]
    pub state: Option<JobState>,
    /// Only jobs of this agent.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<AgentName>,
    /// Only jobs on this plane.
    #[arg(long, value_name = "PLANE")]
    pub plane: Option<PlaneName>,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u64,
}

/// A job as a person names it.
#[derive(Clone, Debug)]
pub struct JobArg(JobKey);

impl FromStr for JobArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let key = match text.to_ascii_lowercase().parse::<JobId>() {
            Ok(id) => JobKey::Id(id),
            Err(_) => JobKey::Wuid(text.to_owned()),
        };
        Ok(Self(key))
    }
}

impl fmt::Display for JobArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            JobKey::Id(id) => id.fmt(f),
            JobKey::Wuid(wuid) => f.write_str(wuid),
        }
    }
}

/// A text that is not the state of a job.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("state {text:?} is none of open, sealed, committed, aborted")]
pub(super) struct JobStateError {
    text: String,
}

fn job_state(text: &str) -> Result<JobState, JobStateError> {
    JobState::parse(text).ok_or_else(|| JobStateError { text: text.chars().take(40).collect() })
}

/// Jobs read at once.
const PAGE: u32 = 256;

pub(super) async fn run(
    command: JobCommand,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    match command {
        JobCommand::List(args) => list(args, context, output).await,
        JobCommand::Show { job } => show(&job, context, output).await,
        JobCommand::Cancel { job } => cancel(&job, context, output).await,
    }
}

#[derive(Serialize)]
struct JobRow {
    job: String,
    wuid: String,
    agent: String,
    kind: &'static str,
    plane: String,
    target: String,
    state: &'static str,
    parts: u32,
    bytes: u64,
    bytes_durable: u64,
    generation: Option<u64>,
    opened_ms: i64,
    touched_ms: i64,
    finished_ms: Option<i64>,
    #[serde(skip)]
    now_ms: i64,
}

impl JobRow {
    fn new(job: &JobRecord, now_ms: i64) -> Self {
        let (plane, target) = match &job.target {
            WriteTarget::LogicalFile { plane, name, .. } => (plane, name.to_string()),
            WriteTarget::Files { plane, directory } => (plane, format!("{directory}/")),
        };
        Self {
            job: job.job.to_string(),
            wuid: job.wuid.clone(),
            agent: job.agent.to_string(),
            kind: job.kind.as_str(),
            plane: plane.to_string(),
            target,
            state: job.state.as_str(),
            parts: job.parts,
            bytes: job.bytes,
            bytes_durable: job.bytes_durable,
            generation: job.generation.map(|generation| generation.0),
            opened_ms: job.opened_ms,
            touched_ms: job.touched_ms,
            finished_ms: job.finished_ms,
            now_ms,
        }
    }
}

impl Row for JobRow {
    const EVENT: &'static str = "job";
    const HEADINGS: &'static [&'static str] =
        &["WUID", "AGENT", "KIND", "STATE", "TOUCHED", "DURABLE", "OF BYTES", "PARTS", "TARGET"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.wuid.clone(),
            self.agent.clone(),
            self.kind.to_owned(),
            self.state.to_owned(),
            when(Some(self.touched_ms), self.now_ms),
            self.bytes_durable.to_string(),
            self.bytes.to_string(),
            self.parts.to_string(),
            format!("{}:{}", self.plane, self.target),
        ]
    }
}

async fn list(
    args: JobListArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let catalogue = context.catalogue().await?;
    let now_ms = context.host.now_ms();
    let filter = JobFilter { state: args.state, agent: args.agent, plane: args.plane };
    let (mut before, mut left) = (None, args.limit);
    loop {
        let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let jobs = catalogue.jobs(&filter, before, limit).await?;
        let rows: Vec<JobRow> = jobs.iter().map(|job| JobRow::new(job, now_ms)).collect();
        output.rows(&rows, before.is_none())?;
        left -= jobs.len() as u64;
        match jobs.last() {
            Some(last) if left > 0 => before = Some(last.number),
            _ => return Ok(()),
        }
    }
}

async fn find(job: &JobArg, context: &Context<'_>) -> Result<JobRecord, AdminError> {
    let missing = || AdminError::Missing { kind: "job", name: job.to_string() };
    context.catalogue().await?.job(&job.0).await?.ok_or_else(missing)
}

async fn show(
    job: &JobArg,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let record = find(job, context).await?;
    let now_ms = context.host.now_ms();
    output.fields(&JobRow::new(&record, now_ms))?;
    // What is left of the uploads of a job that has ended is for `collect`.
    if !matches!(record.state, JobState::Open | JobState::Sealed) {
        return Ok(());
    }
    let catalogue = context.catalogue().await?;
    let mut after = None;
    loop {
        let page = catalogue.uploads_of(record.job, after.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        let row = |upload| UploadRow::new(record.target.plane(), upload, now_ms);
        output.rows(&page.iter().map(row).collect::<Vec<_>>(), after.is_none())?;
        after = page.into_iter().last();
    }
}

async fn cancel(
    job: &JobArg,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let record = find(job, context).await?;
    let id = record.job;
    let catalogue = context.catalogue().await?;
    let mut aborted = catalogue.abort(id, None, &Actor::Operator, context.host.now_ms()).await;
    if let Err(JobError::State { state: JobState::Sealed, .. }) = aborted {
        // A commit may be putting its parts in their places.
        let placing = Placing::new(&context.dir, &catalogue, record.target.plane());
        let _placed = placing.lock().await?;
        aborted = catalogue.abort_sealed(id, None, &Actor::Operator, context.host.now_ms()).await;
    }
    aborted.map_err(|error| match error {
        JobError::State { job, state: JobState::Committed } => AdminError::JobCommitted { job },
        error => error.into(),
    })?;
    show(&JobArg(JobKey::Id(id)), context, output).await
}
