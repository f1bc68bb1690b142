//! `audit verify` and `audit tail`.

use super::context::Context;
use super::output::{Row, when};
use super::{AdminError, Output};
use crate::catalogue::{AuditFault, AuditLine};
use clap::Subcommand;
use serde::Serialize;

/// Commands on the record of what happened.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Follow the chain of hashes from the first line to the last.
    Verify,
    /// Show the last lines.
    Tail {
        /// How many lines.
        #[arg(long, short = 'n', value_name = "N", default_value = "20",
              value_parser = clap::value_parser!(u32).range(1..=4096))]
        lines: u32,
    },
}

pub(super) async fn run(
    command: AuditCommand,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let catalogue = context.catalogue().await?;
    match command {
        AuditCommand::Verify => {
            let summary = catalogue.verify_audit().await.map_err(|fault| match fault {
                AuditFault::Catalogue(error) => AdminError::Catalogue(error),
                source => AdminError::AuditBroken { source },
            })?;
            let verified = Verified { lines: summary.lines, head: summary.head.to_string() };
            let text = format!("{} lines, unbroken, head {}", verified.lines, verified.head);
            output.result("audit_verified", &verified, &text)
        }
        AuditCommand::Tail { lines } => {
            let now_ms = context.host.now_ms();
            let lines = catalogue.audit_tail(lines).await?;
            let rows: Vec<AuditRow> =
                lines.into_iter().map(|line| AuditRow::new(line, now_ms)).collect();
            output.rows(&rows, true)
        }
    }
}

#[derive(Serialize)]
struct Verified {
    lines: u64,
    head: String,
}

#[derive(Serialize)]
struct AuditRow {
    seq: u64,
    at_ms: i64,
    actor: String,
    agent: Option<String>,
    audit_event: String,
    job: Option<String>,
    plane: Option<String>,
    target: Option<String>,
    result: String,
    detail: serde_json::Value,
    hash: String,
    #[serde(skip)]
    now_ms: i64,
}

impl AuditRow {
    fn new(line: AuditLine, now_ms: i64) -> Self {
        Self {
            seq: line.seq,
            at_ms: line.at_ms,
            actor: line.actor,
            agent: line.agent,
            audit_event: line.event,
            job: line.job.map(|job| job.to_string()),
            plane: line.plane,
            target: line.target,
            result: line.result,
            // A detail that is no JSON is shown as it is; `audit verify` says whether it was changed.
            detail: serde_json::from_str(&line.detail).unwrap_or(line.detail.into()),
            hash: line.hash.to_string(),
            now_ms,
        }
    }
}

impl Row for AuditRow {
    const EVENT: &'static str = "audit";
    const HEADINGS: &'static [&'static str] =
        &["SEQ", "WHEN", "WHO", "EVENT", "PLANE", "TARGET", "RESULT", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let detail = if self.detail.is_null() { "-".to_owned() } else { self.detail.to_string() };
        vec![
            self.seq.to_string(),
            when(Some(self.at_ms), self.now_ms),
            self.agent.clone().unwrap_or_else(|| self.actor.clone()),
            self.audit_event.clone(),
            or_dash(&self.plane),
            or_dash(&self.target),
            self.result.clone(),
            detail,
        ]
    }
}
