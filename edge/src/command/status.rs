//! The `status` command: the jobs of this edge, its identity, and whether a relay answers.

use crate::cli::StatusArgs;
use crate::context::{CommandError, Context, unix_ms};
use crate::exit::{Chain, Exit, Explain};
use crate::journal::{JournalError, OpenJob};
use crate::output::utc_text;
use crate::session::RelaySession;
use crate::size::About;
use serde::Serialize;
use skyspray_wire::ids::JobId;
use skyspray_wire::message::{JobStatus, Reply, Request};

/// Jobs the relay is asked about in one run.
const ASKED_MAX: usize = 100;

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
    wuid: Option<String>,
    bytes_durable: Option<u64>,
    bytes_total: Option<u64>,
}

/// Shows what is known here, and what the relay knows of it where one answers.
pub(super) async fn status(context: &Context, args: &StatusArgs) -> Result<Exit, CommandError> {
    let jobs = context.journal.list()?;
    let jobs: Vec<OpenJob> =
        jobs.into_iter().filter(|open| args.job.is_none_or(|job| job == open.job)).collect();
    let relay = connect(context).await;
    let mut found = !jobs.is_empty();
    for (index, open) in jobs.iter().enumerate() {
        let asked = relay.as_ref().filter(|_| index < ASKED_MAX);
        show(context, open, ask(asked, open.job).await);
    }
    for mut line in recent(context, args)? {
        found = true;
        // The object that is printed has its own.
        line.as_object_mut().map(|fields| fields.remove("schema"));
        context.reporter.result("ended-job", &line, ended_text(&line));
    }
    if let (Some(job), false) = (args.job, found) {
        let status = ask(relay.as_ref(), job).await;
        let Some(status) = status else { return Err(JournalError::Unknown { job }.into()) };
        show_remote(context, &status);
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

/// What the relay knows of a job; nothing of those that never reached it.
async fn ask(relay: Option<&RelaySession>, job: JobId) -> Option<JobStatus> {
    match relay?.session().ask(&Request::JobStatus(job)).await {
        Ok(Reply::Job(status)) => Some(status),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%job, %error, "the relay says nothing of this job");
            None
        }
    }
}

fn show(context: &Context, open: &OpenJob, status: Option<JobStatus>) {
    let header = open.header.as_ref().ok();
    let damage = open.header.as_ref().err().map(ToString::to_string);
    let state = if open.running { "running" } else { "stopped, resumable" };
    let mut text = format!("{}  {state}", open.job);
    if let Some(header) = header {
        let since = utc_text(header.opened_ms);
        text.push_str(&format!("  {} {}, begun {since}", header.kind, header.target));
    }
    if let Some(damage) = &damage {
        text.push_str(&format!("  cannot be read: {damage}"));
    }
    if let Some(status) = &status {
        text.push_str(&format!("; {}", remote_text(status)));
    }
    let fields = JobFields {
        job: open.job.to_string(),
        kind: header.map(|header| header.kind.to_string()),
        target: header.map(|header| header.target.clone()),
        running: open.running,
        opened_ms: header.map(|header| header.opened_ms),
        damage,
        relay_state: status.as_ref().map(|status| status.state.as_str()),
        wuid: status.as_ref().map(|status| status.wuid.clone()),
        bytes_durable: status.as_ref().map(|status| status.bytes_durable),
        bytes_total: status.as_ref().map(|status| status.bytes_total),
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
}
