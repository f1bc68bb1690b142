//! `agent …`: which edges may connect, and what they may do.

use super::context::{Context, load_identity};
use super::output::{Row, when};
use super::{AdminError, Output};
use crate::access::{Planes, Rule};
use crate::catalogue::{AgentRecord, Invitation};
use crate::config::{UnitError, parse_duration};
use clap::{Args, Subcommand};
use serde::Serialize;
use skyspray_certs::EnrollToken;
use skyspray_wire::name::AgentName;
use std::time::Duration;
use thiserror::Error;

/// Commands on agents.
#[derive(Clone, Debug, Subcommand)]
pub enum AgentCommand {
    /// Invite an edge: prints a token with which it enrolls once. Also brings a locked agent back.
    Add(AddArgs),
    /// Replace all that an agent may do; running sessions and commits see it at once.
    Allow {
        /// The agent.
        name: AgentName,
        /// What it may do, as OPS:PLANE[:SCOPE]; none takes every right away.
        #[arg(value_name = "RULE")]
        rules: Vec<Rule>,
    },
    /// Show every agent.
    List,
    /// Show one agent.
    Show {
        /// The agent.
        name: AgentName,
    },
    /// Take every right from an agent, for good; its sessions end within seconds.
    Revoke {
        /// The agent.
        name: AgentName,
    },
}

/// `agent add`.
#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    /// Name of the agent: a-z 0-9 -, at most 40.
    pub name: AgentName,
    /// What it may do, as OPS:PLANE[:SCOPE], e.g. `push,list:data:ingest::acme`. OPS are
    /// push, pull, list, remove and overwrite; `*` is every plane.
    #[arg(long = "allow", value_name = "RULE")]
    pub rules: Vec<Rule>,
    /// How long the token can be used, at most 7d.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = token_life)]
    pub ttl: Duration,
}

/// Longest life of a token.
const TOKEN_LIFE_MAX: Duration = Duration::from_hours(7 * 24);

/// Agents read at once.
const PAGE: u32 = 256;

/// Why a text is no life of a token.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(super) enum TokenLifeError {
    /// No duration.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// Useless or dangerous.
    #[error("{text:?} is not between 1s and 7d")]
    OutOfRange {
        /// As it was typed.
        text: String,
    },
}

fn token_life(text: &str) -> Result<Duration, TokenLifeError> {
    let life = parse_duration(text)?;
    if (Duration::from_secs(1)..=TOKEN_LIFE_MAX).contains(&life) {
        Ok(life)
    } else {
        Err(TokenLifeError::OutOfRange { text: text.to_owned() })
    }
}

pub(super) async fn run(
    command: AgentCommand,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    match command {
        AgentCommand::Add(args) => add(args, context, output).await,
        AgentCommand::Allow { name, rules } => {
            check_planes(&rules, context)?;
            let catalogue = context.catalogue().await?;
            catalogue.set_rules(&name, &rules, context.host.now_ms()).await?;
            show(&name, context, output).await
        }
        AgentCommand::List => list(context, output).await,
        AgentCommand::Show { name } => show(&name, context, output).await,
        AgentCommand::Revoke { name } => {
            let catalogue = context.catalogue().await?;
            catalogue.revoke_agent(&name, context.host.now_ms()).await?;
            show(&name, context, output).await
        }
    }
}

#[derive(Serialize)]
struct TokenLine<'a> {
    agent: &'a str,
    token: &'a str,
    address: &'a str,
    expires_ms: i64,
}

/// The token is all that standard output gets, so that it can be sent on as it is.
async fn add(
    args: AddArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    check_planes(&args.rules, context)?;
    let identity = load_identity(&context.dir, &context.settings, context.host.clock.now())?;
    let address = context.enroll_address()?;
    let token = EnrollToken::create(
        address.clone(),
        identity.trust_domain().clone(),
        identity.pin(),
        args.name.clone(),
        &context.host.random,
    )?;
    let now_ms = context.host.now_ms();
    let life_ms = i64::try_from(args.ttl.as_millis()).expect("a token lives at most 7 days");
    let expires_ms = now_ms.saturating_add(life_ms);
    let denied = args.rules.is_empty();
    let invitation = Invitation { token_hash: token.hash(), expires_ms, rules: args.rules };
    let catalogue = context.catalogue().await?;
    catalogue.add_agent(&args.name, &invitation, now_ms).await?;
    let line = token.to_line();
    let agent = args.name.as_str();
    let fields = TokenLine { agent, token: &line, address: address.as_str(), expires_ms };
    output.result("token", &fields, &line)?;
    output.hint(&format!(
        "this token enrolls {agent} once, within {}, at {address}:\n  \
         skyspray-edge enroll --token-file FILE",
        super::output::span(life_ms)
    ))?;
    if denied {
        output.hint(&format!(
            "{agent} may do nothing until it is allowed: skyspray-relay agent allow {agent} RULE"
        ))?;
    }
    Ok(())
}

/// A rule for a plane that is not there is more likely a slip than a plan.
pub(super) fn check_planes(rules: &[Rule], context: &Context<'_>) -> Result<(), AdminError> {
    for rule in rules {
        if let Planes::One(plane) = &rule.planes {
            context.settings.plane(plane)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct AgentRow {
    agent: String,
    state: &'static str,
    generation: u64,
    rules: Vec<String>,
    added_ms: i64,
    token_expires_ms: Option<i64>,
    enrolled_ms: Option<i64>,
    revoked_ms: Option<i64>,
    last_seen_ms: Option<i64>,
    #[serde(skip)]
    now_ms: i64,
}

impl AgentRow {
    fn new(agent: &AgentRecord, now_ms: i64) -> Self {
        Self {
            agent: agent.name.to_string(),
            state: agent.state.as_str(),
            generation: agent.generation.0,
            rules: agent.rules.iter().map(Rule::to_string).collect(),
            added_ms: agent.added_ms,
            token_expires_ms: agent.token_expires_ms,
            enrolled_ms: agent.enrolled_ms,
            revoked_ms: agent.revoked_ms,
            last_seen_ms: agent.last_seen_ms,
            now_ms,
        }
    }
}

impl Row for AgentRow {
    const EVENT: &'static str = "agent";
    const HEADINGS: &'static [&'static str] = &["AGENT", "STATE", "SEEN", "TOKEN ENDS", "RULES"];

    fn cells(&self) -> Vec<String> {
        let rules = if self.rules.is_empty() { "-".to_owned() } else { self.rules.join(" ") };
        vec![
            self.agent.clone(),
            self.state.to_owned(),
            when(self.last_seen_ms, self.now_ms),
            when(self.token_expires_ms, self.now_ms),
            rules,
        ]
    }
}

async fn list(context: &Context<'_>, output: &mut Output<'_>) -> Result<(), AdminError> {
    let catalogue = context.catalogue().await?;
    let now_ms = context.host.now_ms();
    let mut after = None;
    loop {
        let agents = catalogue.agents(after.as_ref(), PAGE).await?;
        let rows: Vec<AgentRow> = agents.iter().map(|agent| AgentRow::new(agent, now_ms)).collect();
        output.rows(&rows, after.is_none())?;
        match agents.into_iter().last() {
            Some(last) => after = Some(last.name),
            None => return Ok(()),
        }
    }
}

async fn show(
    name: &AgentName,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let catalogue = context.catalogue().await?;
    let missing = || AdminError::Missing { kind: "agent", name: name.to_string() };
    let agent = catalogue.agent(name).await?.ok_or_else(missing)?;
    output.fields(&AgentRow::new(&agent, context.host.now_ms()))
}
