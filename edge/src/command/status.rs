//! The `status` command: the jobs of this edge, its identity, and whether a relay answers.

use crate::cli::StatusArgs;
use crate::context::{CommandError, Context, unix_ms};
use crate::exit::{Chain, Exit, Explain};
use crate::journal::{Ended, JobKind, JournalError, OpenJob, Outcome};
use crate::output::utc_text;
use crate::session::RelaySession;
use crate::size::About;
use serde::Serialize;
use skyspray_link::request::RequestError;
use skyspray_wire::ids::JobId;
use skyspray_wire::message::{JobState, JobStatus, Reply, Request};
use skyspray_wire::refusal::RefusalCode;
use std::borrow::Cow;
use thiserror::Error;

/// Jobs the relay is asked about in one run.
const ASKED_MAX: usize = 100;

/// What is said of a job that the relay gave up or forgot.
const ENDED_THERE: &str = "ended on the relay; run its command again to start over";

#[derive(Debug, Serialize)]
struct RelayFields {
    reachable: bool,
    address: Option<String>,
    agent: Option<String>,
    round_trip_ms: Option<f64>,
    error: Option<String>,
    identity_valid_until_ms: i64,
}

#[derive(Debug, Serialize)]
struct JobFields {
    job: String,
    kind: Option<String>,
    target: Option<String>,
    running: bool,
    opened_ms: Option<i64>,
    damage: Option<String>,
    relay_state: Option<&'static str>,
    /// Whether the relay gave it up, so that it is open no longer.
    ended: bool,
    wuid: Option<String>,
    bytes_durable: Option<u64>,
    bytes_total: Option<u64>,
}

/// A job that was asked for by id.
#[derive(Debug, Error)]
#[error("job {job} is neither open nor in the history")]
struct UnknownJob {
    job: JobId,
}

impl Explain for UnknownJob {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn code(&self) -> Cow<'static, str> {
        "job-unknown".into()
    }

    fn advice(&self) -> Option<String> {
        Some("list the jobs of this edge: skyspray-edge status --recent 100".into())
    }
}

/// What the relay says of a job.
#[derive(Debug)]
enum Answer {
    Known(JobStatus),
    /// No job of this agent has the id.
    Unknown,
    /// There is none: no relay was asked, or it gave no answer.
    Missing,
}

impl Answer {
    fn status(&self) -> Option<&JobStatus> {
        if let Self::Known(status) = self { Some(status) } else { None }
    }

    /// Whether a job that writes can never go on.
    fn is_end(&self) -> bool {
        match self {
            Self::Known(status) => status.state == JobState::Aborted,
            Self::Unknown => true,
            Self::Missing => false,
        }
    }

    fn state(&self) -> Option<&'static str> {
        match self {
            Self::Known(status) => Some(status.state.as_str()),
            Self::Unknown => Some("unknown"),
            Self::Missing => None,
        }
    }
}

/// Shows what is known here, and what the relay knows of it where one answers.
pub(super) async fn status(context: &Context, args: &StatusArgs) -> Result<Exit, CommandError> {
    let jobs = context.journal.list()?;
    let jobs: Vec<OpenJob> =
        jobs.into_iter().filter(|open| args.job.is_none_or(|job| job == open.job)).collect();
    let relay = connect(context).await;
    let mut found = !jobs.is_empty();
    let mut shown = Vec::new();
    for (index, open) in jobs.iter().enumerate() {
        let asked = relay.as_ref().filter(|_| index < ASKED_MAX);
        let answer = ask(asked, open.job).await;
        let ended = answer.is_end() && put_away(context, open, asked).await?;
        show(context, open, &answer, ended);
        shown.extend(ended.then(|| open.job.to_string()));
    }
    for mut line in recent(context, args)? {
        if line["job"].as_str().is_some_and(|job| shown.iter().any(|shown| shown == job)) {
            continue;
        }
        found = true;
        // The object that is printed has its own.
        line.as_object_mut().map(|fields| fields.remove("schema"));
        context.reporter.result("ended-job", &line, ended_text(&line));
    }
    if let (Some(job), false) = (args.job, found) {
        let answer = ask(relay.as_ref(), job).await;
        let Some(status) = answer.status() else { return Err(UnknownJob { job }.into()) };
        show_remote(context, status);
    }
    if let Some(relay) = relay {
        relay.close().await;
    }
    Ok(Exit::Done)
}

/// Says whether a relay answers.
async fn connect(context: &Context) -> Option<RelaySession> {
    let connected = context.connector.connect().await;
    let until = unix_ms(context.connector.validity().not_after);
    let mut fields = RelayFields {
        reachable: connected.is_ok(),
        address: None,
        agent: None,
        round_trip_ms: None,
        error: None,
        identity_valid_until_ms: until,
    };
    let identity = format!("identity valid until {}", utc_text(until));
    match connected {
        Ok(relay) => {
            let round_trip = relay.session().round_trip();
            let (address, agent) = (relay.address().to_string(), &relay.welcome().agent);
            let text = format!(
                "relay {address} answers, as agent {agent}, round trip {:.1} ms; {identity}",
                round_trip.as_secs_f64() * 1e3
            );
            fields.agent = Some(agent.to_string());
            fields.round_trip_ms = Some(round_trip.as_secs_f64() * 1e3);
            fields.address = Some(address);
            context.reporter.result("relay", &fields, text);
            Some(relay)
        }
        Err(error) => {
            fields.error = Some(error.code().into_owned());
            let text = format!("no relay: {}; {identity}", Chain(&error));
            context.reporter.result("relay", &fields, text);
            None
        }
    }
}

/// What the relay knows of a job.
async fn ask(relay: Option<&RelaySession>, job: JobId) -> Answer {
    let Some(relay) = relay else { return Answer::Missing };
    match relay.session().ask(&Request::JobStatus(job)).await {
        Ok(Reply::Job(status)) => Answer::Known(status),
        Ok(_) => Answer::Missing,
        Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::JobUnknown => {
            Answer::Unknown
        }
        Err(error) => {
            tracing::debug!(%job, %error, "the relay says nothing of this job");
            Answer::Missing
        }
    }
}

/// Takes a job that ended on the relay out of the journal; returns whether it is out. One that
/// somebody works on stays, and so do those that read, which the relay never knows.
async fn put_away(
    context: &Context,
    open: &OpenJob,
    relay: Option<&RelaySession>,
) -> Result<bool, JournalError> {
    let Ok(header) = &open.header else { return Ok(false) };
    if !matches!(header.kind, JobKind::Spray | JobKind::Push) {
        return Ok(false);
    }
    let log = match context.journal.resume(open.job) {
        Ok(log) => log,
        Err(JournalError::Busy { .. } | JournalError::Unknown { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    // Until the log was held, another process may have opened the job on the relay.
    let answer = ask(relay, open.job).await;
    if !answer.is_end() {
        return Ok(false);
    }
    context.journal.finish(log, &ended_there(&answer, context.now_ms()))?;
    Ok(true)
}

/// The line of a job that ended on the relay.
fn ended_there(answer: &Answer, ended_ms: i64) -> Ended {
    let status = answer.status();
    let outcome = if status.is_some() { Outcome::Aborted } else { Outcome::Failed };
    Ended {
        outcome,
        ended_ms,
        wuid: status.map(|status| status.wuid.clone()),
        bytes: status.map_or(0, |status| status.bytes_total),
        detail: Some(ENDED_THERE.to_owned()),
    }
}

fn show(context: &Context, open: &OpenJob, answer: &Answer, ended: bool) {
    let status = answer.status();
    let header = open.header.as_ref().ok();
    let damage = open.header.as_ref().err().map(ToString::to_string);
    let state = match (ended, open.running) {
        (true, _) => ENDED_THERE,
        (false, true) => "running",
        (false, false) => "stopped, resumable",
    };
    let mut text = format!("{}  {state}", open.job);
    if let Some(header) = header {
        let since = utc_text(header.opened_ms);
        text.push_str(&format!("  {} {}, begun {since}", header.kind, header.target));
    }
    if let Some(damage) = &damage {
        text.push_str(&format!("  cannot be read: {damage}"));
    }
    if let (Some(status), false) = (status, ended) {
        text.push_str(&format!("; {}", remote_text(status)));
    }
    let fields = JobFields {
        job: open.job.to_string(),
        kind: header.map(|header| header.kind.to_string()),
        target: header.map(|header| header.target.clone()),
        running: open.running,
        opened_ms: header.map(|header| header.opened_ms),
        damage,
        relay_state: answer.state(),
        ended,
        wuid: status.map(|status| status.wuid.clone()),
        bytes_durable: status.map(|status| status.bytes_durable),
        bytes_total: status.map(|status| status.bytes_total),
    };
    context.reporter.result("open-job", &fields, text);
}

fn show_remote(context: &Context, status: &JobStatus) {
    let fields = JobFields {
        job: status.job.to_string(),
        kind: None,
        target: None,
        running: false,
        opened_ms: None,
        damage: None,
        relay_state: Some(status.state.as_str()),
        ended: status.state == JobState::Aborted,
        wuid: Some(status.wuid.clone()),
        bytes_durable: Some(status.bytes_durable),
        bytes_total: Some(status.bytes_total),
    };
    let text = format!("{}  {}", status.job, remote_text(status));
    context.reporter.result("relay-job", &fields, text);
}

fn remote_text(status: &JobStatus) -> String {
    format!(
        "relay: {}, {} of {} durable",
        status.state.as_str(),
        About(status.bytes_durable),
        About(status.bytes_total)
    )
}

fn recent(context: &Context, args: &StatusArgs) -> Result<Vec<serde_json::Value>, JournalError> {
    let Some(job) = args.job else { return context.journal.recent(args.recent) };
    let job = job.to_string();
    let all = context.journal.recent(usize::MAX)?;
    let its = |line: &serde_json::Value| line["job"].as_str() == Some(&job);
    Ok(all.into_iter().filter(its).take(1).collect())
}

fn ended_text(line: &serde_json::Value) -> String {
    let text = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
    let ended = line["ended_ms"].as_i64().map_or_else(|| "-".to_owned(), utc_text);
    let detail = line["detail"].as_str().map_or_else(String::new, |detail| format!(": {detail}"));
    format!(
        "{}  {} {ended}  {} {}{detail}",
        text("job"),
        text("outcome"),
        text("kind"),
        text("target")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_ended_is_one_line_whatever_fields_it_lacks() {
        let line = serde_json::json!({
            "job": "ab", "kind": "spray", "target": "lake:a::b", "outcome": "failed",
            "ended_ms": 1_714_979_289_000_i64, "detail": "refused"
        });

        assert_eq!(ended_text(&line), "ab  failed 2024-05-06T07:08:09Z  spray lake:a::b: refused");
        assert_eq!(ended_text(&serde_json::json!({})), "-  - -  - -");
    }

    fn known(state: JobState) -> Answer {
        Answer::Known(JobStatus {
            job: JobId([7; 16]),
            wuid: "D20240506-070809-1".into(),
            state,
            bytes_durable: 3,
            bytes_total: 10,
        })
    }

    #[test]
    fn only_a_job_that_the_relay_gave_up_or_does_not_know_is_over() {
        assert!(known(JobState::Aborted).is_end());
        assert!(Answer::Unknown.is_end());
        assert!(!Answer::Missing.is_end());
        for state in [JobState::Open, JobState::Sealed, JobState::Committed] {
            assert!(!known(state).is_end(), "{state:?}");
        }
    }

    #[test]
    fn a_job_that_ended_on_the_relay_says_so_in_the_history() {
        let aborted = ended_there(&known(JobState::Aborted), 5);
        assert_eq!((aborted.outcome, aborted.ended_ms, aborted.bytes), (Outcome::Aborted, 5, 10));
        assert_eq!(aborted.wuid.as_deref(), Some("D20240506-070809-1"));
        assert_eq!(aborted.detail.as_deref(), Some(ENDED_THERE));

        let unknown = ended_there(&Answer::Unknown, 5);
        assert_eq!((unknown.outcome, unknown.wuid, unknown.bytes), (Outcome::Failed, None, 0));
    }

    #[test]
    fn a_job_nobody_knows_is_named() {
        let error = UnknownJob { job: JobId([0xab; 16]) };

        assert_eq!(
            error.to_string(),
            format!("job {} is neither open nor in the history", "ab".repeat(16))
        );
        assert_eq!((error.exit(), &*error.code()), (Exit::Usage, "job-unknown"));
    }
}
