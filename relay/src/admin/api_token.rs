//! `api-token …`: who may use the HTTP interface, and for what.

use super::agent::check_planes;
use super::context::Context;
use super::output::{Row, span, when};
use super::{AdminError, Output};
use crate::access::{Operation, Rule};
use crate::api::tokens::{self, ApiToken, Token, TokenName};
use crate::config::{UnitError, parse_duration};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::time::Duration;
use thiserror::Error;

/// Commands on tokens of the HTTP interface.
#[derive(Clone, Debug, Subcommand)]
pub enum ApiTokenCommand {
    /// Make a token: it alone is printed, once; a running relay knows it at once.
    Add(AddTokenArgs),
    /// Show every token's name and rules.
    List,
    /// Remove a token; requests with it are refused at once.
    Remove {
        /// The token.
        name: TokenName,
    },
}

/// `api-token add`.
#[derive(Args, Clone, Debug)]
pub struct AddTokenArgs {
    /// What to call it: a-z 0-9 -, at most 40.
    pub name: TokenName,
    /// What its holder may do, as OPS:PLANE[:SCOPE], e.g. `pull,list:data:ingest::acme`. OPS are
    /// pull and list; `*` is every plane.
    #[arg(long = "allow", value_name = "RULE", required = true, value_parser = reading_rule)]
    pub rules: Vec<Rule>,
    /// How long it counts, at most 3650d.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = token_life)]
    pub ttl: Duration,
}

/// Longest life of a token.
const LIFE_MAX: Duration = Duration::from_hours(3650 * 24);

/// Why a rule is none for a token.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
enum TokenRuleError {
    #[error(transparent)]
    Rule(#[from] crate::access::RuleError),
    #[error("rule {rule} allows {operation}, but the HTTP interface only takes pull and list")]
    Writes { rule: Rule, operation: Operation },
}

fn reading_rule(text: &str) -> Result<Rule, TokenRuleError> {
    let rule: Rule = text.parse()?;
    let reads = |operation: &Operation| matches!(operation, Operation::Pull | Operation::List);
    match rule.operations.iter().find(|operation| !reads(operation)) {
        Some(operation) => Err(TokenRuleError::Writes { rule, operation }),
        None => Ok(rule),
    }
}

/// Why a text is no life of a token.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
enum LifeError {
    #[error(transparent)]
    Unit(#[from] UnitError),
    #[error("{text:?} is not between 1s and 3650d")]
    OutOfRange { text: String },
}

fn token_life(text: &str) -> Result<Duration, LifeError> {
    let life = parse_duration(text)?;
    if (Duration::from_secs(1)..=LIFE_MAX).contains(&life) {
        Ok(life)
    } else {
        Err(LifeError::OutOfRange { text: text.to_owned() })
    }
}

pub(super) fn run(
    command: ApiTokenCommand,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    match command {
        ApiTokenCommand::Add(args) => add(args, context, output),
        ApiTokenCommand::List => list(context, output),
        ApiTokenCommand::Remove { name } => {
            tokens::remove(&context.dir, &name)?;
            let line = RemovedLine { name: name.as_str() };
            output.result("api-token-removed", &line, &format!("removed api token {name}"))
        }
    }
}

#[derive(Serialize)]
struct RemovedLine<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct AddedLine<'a> {
    name: &'a str,
    token: &'a str,
    expires_ms: i64,
}

/// The token is all that standard output gets, so that it can be kept as it is.
fn add(
    args: AddTokenArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    check_planes(&args.rules, context)?;
    let token = Token::create(&context.host.random);
    let now_ms = context.host.now_ms();
    let life_ms = i64::try_from(args.ttl.as_millis()).expect("a token lives at most 3650 days");
    let expires_ms = now_ms.saturating_add(life_ms);
    let kept = ApiToken {
        name: args.name.clone(),
        hash: token.hash(),
        rules: args.rules,
        added_ms: now_ms,
        expires_ms: Some(expires_ms),
    };
    tokens::add(&context.dir, kept)?;
    let line = AddedLine { name: args.name.as_str(), token: token.expose(), expires_ms };
    output.result("api-token", &line, token.expose())?;
    output.hint(&format!(
        "this token is shown once and counts for {}; send it as Authorization: Bearer TOKEN",
        span(life_ms)
    ))
}

#[derive(Serialize)]
struct TokenRow {
    name: String,
    rules: Vec<String>,
    added_ms: i64,
    expires_ms: Option<i64>,
    #[serde(skip)]
    now_ms: i64,
}

impl Row for TokenRow {
    const EVENT: &'static str = "api-token";
    const HEADINGS: &'static [&'static str] = &["NAME", "ADDED", "ENDS", "RULES"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            when(Some(self.added_ms), self.now_ms),
            when(self.expires_ms, self.now_ms),
            self.rules.join(" "),
        ]
    }
}

fn list(context: &Context<'_>, output: &mut Output<'_>) -> Result<(), AdminError> {
    let now_ms = context.host.now_ms();
    let kept = tokens::load(&context.dir)?;
    let row = |token: &ApiToken| TokenRow {
        name: token.name.to_string(),
        rules: token.rules.iter().map(Rule::to_string).collect(),
        added_ms: token.added_ms,
        expires_ms: token.expires_ms,
        now_ms,
    };
    output.rows(&kept.iter().map(row).collect::<Vec<_>>(), true)
}
