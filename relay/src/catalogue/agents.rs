//! Agents and their rules, as the operator manages them.

use super::audit::{Actor, AuditEntry, AuditEvent, append};
use super::dialect::{Connection, Row, query};
use super::error::CatalogueError;
use super::fields::Fields;
use super::records::operator;
use super::{Catalogue, page};
use crate::access::Rule;
use serde_json::json;
use skyspray_certs::{IdentityGeneration, KeyHash, PublicKey, TokenHash};
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use thiserror::Error;

/// Where an agent stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AgentState {
    /// Invited; its token waits to be redeemed.
    Pending,
    /// It may open sessions.
    Enrolled,
    /// It may not, for good.
    Revoked,
    /// Its identity exists twice; a new token brings it back.
    Locked,
}

impl AgentState {
    /// The state in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Enrolled => "enrolled",
            Self::Revoked => "revoked",
            Self::Locked => "locked",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Enrolled, Self::Revoked, Self::Locked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What an operator gives an agent.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Hash of the token's secret.
    pub token_hash: TokenHash,
    /// The first moment the token is worth nothing, in milliseconds since 1970.
    pub expires_ms: i64,
    /// All the agent may do; replaces what it could do before.
    pub rules: Vec<Rule>,
}

/// An agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentRecord {
    /// Its name.
    pub name: AgentName,
    /// Where it stands.
    pub state: AgentState,
    /// How often an identity was issued to it.
    pub generation: IdentityGeneration,
    /// Its long-lived key, which brings an expired edge back; `None` before it has enrolled.
    pub bound_key: Option<PublicKey>,
    /// Hash of the key of the newest identity; `None` before it has enrolled.
    pub session_key_hash: Option<KeyHash>,
    /// When the token that waits to be redeemed expires, in milliseconds since 1970.
    pub token_expires_ms: Option<i64>,
    /// All it may do.
    pub rules: Vec<Rule>,
    /// First added, in milliseconds since 1970.
    pub added_ms: i64,
    /// Last enrolled, in milliseconds since 1970.
    pub enrolled_ms: Option<i64>,
    /// Revoked, in milliseconds since 1970.
    pub revoked_ms: Option<i64>,
    /// Last sign of life, in milliseconds since 1970.
    pub last_seen_ms: Option<i64>,
}

impl AgentRecord {
    fn read(row: &Row, rules: Vec<Rule>) -> Result<Self, CatalogueError> {
        let fields = Fields::new("agents", row);
        let bound_key = fields.bytes_opt("bound_key")?;
        let bound_key = bound_key.map(|bytes| PublicKey::from_bytes(&bytes)).transpose();
        let waits = fields.int_opt("token_used_ms")?.is_none();
        let expires_ms = fields.int("token_expires_ms")?;
        Ok(Self {
            name: fields.name("name")?,
            state: AgentState::parse(&fields.text("state")?)
                .ok_or_else(|| fields.corrupt("state"))?,
            generation: IdentityGeneration(fields.number("generation")?),
            bound_key: bound_key.map_err(|_| fields.corrupt("bound_key"))?,
            session_key_hash: fields.array_opt("session_key_hash")?.map(KeyHash::from_bytes),
            token_expires_ms: waits.then_some(expires_ms),
            rules,
            added_ms: fields.int("added_ms")?,
            enrolled_ms: fields.int_opt("enrolled_ms")?,
            revoked_ms: fields.int_opt("revoked_ms")?,
            last_seen_ms: fields.int_opt("last_seen_ms")?,
        })
    }
}

/// Why an agent's record was not changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AgentError {
    /// There is no such agent.
    #[error("agent {name} does not exist")]
    Unknown {
        /// Its name.
        name: AgentName,
    },
    /// The agent is in a state that does not allow this.
    #[error("agent {name} is {state}", state = state.as_str())]
    State {
        /// Its name.
        name: AgentName,
        /// Its state.
        state: AgentState,
    },
    /// The name stands for the operator.
    #[error("agent name {name} is reserved for the operator")]
    Reserved {
        /// The name.
        name: AgentName,
    },
    /// The identity was renewed elsewhere, so it exists twice. The agent is locked.
    #[error("agent {name} renewed identity {claimed}, but {issued} was issued")]
    Diverged {
        /// Its name.
        name: AgentName,
        /// What the request claims to be the current one.
        claimed: IdentityGeneration,
        /// The current one.
        issued: IdentityGeneration,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl AgentError {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Diverged { .. } | Self::State { state: AgentState::Locked, .. } => {
                Refusal::new(RefusalCode::AgentCloned, "")
            }
            Self::Unknown { .. } | Self::State { .. } | Self::Reserved { .. } => {
                Refusal::new(RefusalCode::AgentRevoked, "")
            }
            Self::Catalogue(error) => error.refusal(),
        }
    }
}

impl Catalogue {
    /// Adds an agent, or gives one that waits or is locked a new token and new rules.
    ///
    /// # Errors
    ///
    /// [`AgentError::State`]: the agent is enrolled or revoked; [`AgentError::Reserved`].
    pub async fn add_agent(
        &self,
        name: &AgentName,
        invitation: &Invitation,
        now_ms: i64,
    ) -> Result<(), AgentError> {
        if *name == operator() {
            return Err(AgentError::Reserved { name: name.clone() });
        }
        let mut tx = self.store.begin().await?;
        let added = query(
            "INSERT INTO agents (name, state, generation, token_hash, token_expires_ms, added_ms) \
             VALUES ($1, 'pending', 0, $2, $3, $4) ON CONFLICT (name) DO UPDATE SET \
             token_hash = excluded.token_hash, token_expires_ms = excluded.token_expires_ms, \
             token_used_ms = NULL WHERE agents.state IN ('pending', 'locked')",
        )
        .bind(name.as_str())
        .bind(invitation.token_hash.as_bytes().as_slice())
        .bind(invitation.expires_ms)
        .bind(now_ms)
        .execute(&mut tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(state_error(&mut tx, name).await?);
        }
        replace_rules(&mut tx, name, &invitation.rules).await?;
        changed(&mut tx).await?;
        let entry = AuditEntry::new(Actor::Operator, AuditEvent::AgentAdded)
            .target(name.as_str())
            .detail(json!({
                "rules": shown(&invitation.rules),
                "token_expires_ms": invitation.expires_ms,
            }));
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Replaces all an agent may do. Sessions and commits see it at once.
    ///
    /// # Errors
    ///
    /// [`AgentError::Unknown`], or [`AgentError::State`] when the agent is revoked.
    pub async fn set_rules(
        &self,
        name: &AgentName,
        rules: &[Rule],
        now_ms: i64,
    ) -> Result<(), AgentError> {
        let mut tx = self.store.begin().await?;
        let agent = lock_agent(&mut tx, name).await?;
        if agent.state == AgentState::Revoked {
            return Err(AgentError::State { name: name.clone(), state: agent.state });
        }
        replace_rules(&mut tx, name, rules).await?;
        changed(&mut tx).await?;
        let entry = AuditEntry::new(Actor::Operator, AuditEvent::RulesChanged)
            .target(name.as_str())
            .detail(json!({ "rules": shown(rules), "before": shown(&agent.rules) }));
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes every right from an agent, for good. Revoking it again changes nothing.
    ///
    /// # Errors
    ///
    /// [`AgentError::Unknown`].
    pub async fn revoke_agent(&self, name: &AgentName, now_ms: i64) -> Result<(), AgentError> {
        let mut tx = self.store.begin().await?;
        let agent = lock_agent(&mut tx, name).await?;
        if agent.state == AgentState::Revoked {
            return Ok(());
        }
        query("UPDATE agents SET state = 'revoked', revoked_ms = $2 WHERE name = $1")
            .bind(name.as_str())
            .bind(now_ms)
            .execute(&mut tx)
            .await?;
        changed(&mut tx).await?;
        let entry = AuditEntry::new(Actor::Operator, AuditEvent::AgentRevoked)
            .target(name.as_str())
            .detail(json!({ "before": agent.state.as_str() }));
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// An agent with its rules.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn agent(&self, name: &AgentName) -> Result<Option<AgentRecord>, CatalogueError> {
        let mut snapshot = self.store.snapshot().await?;
        load_agent(&mut snapshot, name).await
    }

    /// Agents after the one named `after`, by name.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn agents(
        &self,
        after: Option<&AgentName>,
        limit: u32,
    ) -> Result<Vec<AgentRecord>, CatalogueError> {
        let mut snapshot = self.store.snapshot().await?;
        let rows = query("SELECT * FROM agents WHERE name > $1 ORDER BY name LIMIT $2")
            .bind(after.map_or("", AgentName::as_str))
            .bind(page(limit))
            .fetch_all(&mut *snapshot)
            .await?;
        let mut agents = Vec::with_capacity(rows.len());
        for row in &rows {
            let name = Fields::new("agents", row).name("name")?;
            let rules = load_rules(&mut snapshot, &name).await?;
            agents.push(AgentRecord::read(row, rules)?);
        }
        Ok(agents)
    }

    /// A number that changes whenever an agent's state, identity or rules change.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn agents_revision(&self) -> Result<u64, CatalogueError> {
        let row = query("SELECT value FROM counters WHERE name = 'agents'")
            .fetch_one(self.store.readers())
            .await?;
        Fields::new("counters", &row).number("value")
    }

    /// Records a sign of life of these agents.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn touch_agents(
        &self,
        names: &[AgentName],
        now_ms: i64,
    ) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        for name in names {
            query("UPDATE agents SET last_seen_ms = $2 WHERE name = $1")
                .bind(name.as_str())
                .bind(now_ms)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Moves the number that tells replicas to look at agents again.
pub(super) async fn changed(tx: &mut Connection) -> Result<(), CatalogueError> {
    query("UPDATE counters SET value = value + 1 WHERE name = 'agents'").execute(tx).await?;
    Ok(())
}

/// An agent whose record nobody else can change before this transaction ends.
pub(super) async fn lock_agent(
    tx: &mut Connection,
    name: &AgentName,
) -> Result<AgentRecord, AgentError> {
    query("UPDATE agents SET generation = generation WHERE name = $1")
        .bind(name.as_str())
        .execute(&mut *tx)
        .await?;
    let agent = load_agent(tx, name).await?;
    agent.ok_or_else(|| AgentError::Unknown { name: name.clone() })
}

pub(super) async fn load_agent(
    connection: &mut Connection,
    name: &AgentName,
) -> Result<Option<AgentRecord>, CatalogueError> {
    let row = query("SELECT * FROM agents WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let rules = load_rules(connection, name).await?;
    AgentRecord::read(&row, rules).map(Some)
}

async fn load_rules(
    connection: &mut Connection,
    name: &AgentName,
) -> Result<Vec<Rule>, CatalogueError> {
    let rows = query("SELECT * FROM agent_rules WHERE agent = $1 ORDER BY position")
        .bind(name.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_rule).collect()
}

fn read_rule(row: &Row) -> Result<Rule, CatalogueError> {
    let fields = Fields::new("agent_rules", row);
    let operations = fields.text("operations")?;
    let planes = fields.text("planes")?;
    Ok(Rule {
        operations: operations.parse().map_err(|_| fields.corrupt("operations"))?,
        planes: planes.parse().map_err(|_| fields.corrupt("planes"))?,
        scope: fields.name("scope")?,
    })
}

async fn replace_rules(
    tx: &mut Connection,
    name: &AgentName,
    rules: &[Rule],
) -> Result<(), CatalogueError> {
    query("DELETE FROM agent_rules WHERE agent = $1").bind(name.as_str()).execute(&mut *tx).await?;
    for (position, rule) in (0i64..).zip(rules) {
        query(
            "INSERT INTO agent_rules (agent, position, operations, planes, scope) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(name.as_str())
        .bind(position)
        .bind(rule.operations.to_string())
        .bind(rule.planes.to_string())
        .bind(rule.scope.to_string())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The error that says in which state the agent is.
async fn state_error(tx: &mut Connection, name: &AgentName) -> Result<AgentError, AgentError> {
    let AgentRecord { state, .. } = lock_agent(tx, name).await?;
    Ok(AgentError::State { name: name.clone(), state })
}

fn shown(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(Rule::to_string).collect()
}
