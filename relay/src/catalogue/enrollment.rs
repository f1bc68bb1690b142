//! Identities of agents: tokens redeemed exactly once, and generations that find copies.

use super::Catalogue;
use super::agents::{AgentError, AgentRecord, AgentState, changed, load_agent, lock_agent};
use super::audit::{Actor, AuditEntry, AuditEvent, AuditResult, append};
use super::dialect::{Connection, query};
use super::error::CatalogueError;
use super::fields::{Fields, big};
use serde_json::json;
use skyspray_certs::renewal::{IssuedIdentity, RenewalDecision, decide_renewal};
use skyspray_certs::{IdentityGeneration, KeyHash, PublicKey, TokenHash};
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use thiserror::Error;

/// What an edge brings to enroll, after its proofs were verified.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// The agent the token is for.
    pub agent: AgentName,
    /// Hash of the token's secret.
    pub token_hash: TokenHash,
    /// The long-lived key.
    pub bound_key: PublicKey,
    /// Hash of the key of the first identity.
    pub session_key_hash: KeyHash,
}

/// Why a token was not redeemed. A peer learns nothing but that it was not.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// No such agent, or another token.
    #[error("token is unknown")]
    Unknown,
    /// The token was redeemed before.
    #[error("token was used at {used_ms} ms")]
    Used {
        /// When, in milliseconds since 1970.
        used_ms: i64,
    },
    /// The token came too late.
    #[error("token expired at {expired_ms} ms")]
    Expired {
        /// When, in milliseconds since 1970.
        expired_ms: i64,
    },
    /// The agent was revoked after the token was made.
    #[error("agent is revoked")]
    Revoked,
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl TokenRefusal {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Catalogue(error) => error.refusal(),
            _ => Refusal::new(RefusalCode::TokenRejected, ""),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Used { .. } => "used",
            Self::Expired { .. } => "expired",
            Self::Revoked => "revoked",
            Self::Catalogue(_) => "failed",
        }
    }
}

impl Catalogue {
    /// Enrolls an agent by its token, exactly once, and says which identity to issue.
    ///
    /// # Errors
    ///
    /// The token is not good; the audit says why, the peer is not told.
    pub async fn redeem_token(
        &self,
        redemption: &Redemption,
        now_ms: i64,
    ) -> Result<IdentityGeneration, TokenRefusal> {
        let mut tx = self.store.begin().await?;
        let outcome = redeem(&mut tx, redemption, now_ms).await;
        let mut entry =
            AuditEntry::new(Actor::Relay, AuditEvent::Enrolled).target(redemption.agent.as_str());
        match &outcome {
            Ok(generation) => entry.detail = json!({ "generation": generation.0 }),
            Err(TokenRefusal::Catalogue(_)) => return outcome,
            Err(refusal) => {
                entry.result = AuditResult::Refused(refusal.refusal().code);
                entry.detail = json!({ "token": refusal.kind() });
            }
        }
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        outcome
    }

    /// Records the next identity of an agent that renews or recovers, and says which one to issue.
    ///
    /// `claimed` is the identity the agent has. The same request again gets the same answer; any
    /// other that claims an identity that is not the current one locks the agent.
    ///
    /// # Errors
    ///
    /// [`AgentError::Diverged`] when the agent was locked by this very request, otherwise unknown
    /// or not enrolled.
    pub async fn advance_identity(
        &self,
        name: &AgentName,
        claimed: IdentityGeneration,
        session_key: &PublicKey,
        now_ms: i64,
    ) -> Result<IdentityGeneration, AgentError> {
        let mut tx = self.store.begin().await?;
        let agent = lock_agent(&mut tx, name).await?;
        let (AgentState::Enrolled, Some(key_hash)) = (agent.state, agent.session_key_hash) else {
            return Err(AgentError::State { name: name.clone(), state: agent.state });
        };
        let issued = IssuedIdentity { generation: agent.generation, key_hash };
        let decision = decide_renewal(issued, claimed, session_key);
        let mut entry = AuditEntry::new(Actor::Agent(name.clone()), AuditEvent::IdentityAdvanced)
            .target(name.as_str())
            .detail(json!({ "claimed": claimed.0, "issued": issued.generation.0 }));
        let outcome = match decision {
            RenewalDecision::Repeat => return Ok(issued.generation),
            RenewalDecision::Advance(next) => {
                query(
                    "UPDATE agents SET generation = $2, session_key_hash = $3, last_seen_ms = $4 \
                     WHERE name = $1",
                )
                .bind(name.as_str())
                .bind(big(next.0)?)
                .bind(session_key.hash().as_bytes().to_vec())
                .bind(now_ms)
                .execute(&mut tx)
                .await?;
                Ok(next)
            }
            RenewalDecision::Diverged => {
                query("UPDATE agents SET state = 'locked' WHERE name = $1")
                    .bind(name.as_str())
                    .execute(&mut tx)
                    .await?;
                entry.event = AuditEvent::AgentLocked;
                entry.result = AuditResult::Refused(RefusalCode::AgentCloned);
                let name = name.clone();
                Err(AgentError::Diverged { name, claimed, issued: issued.generation })
            }
        };
        changed(&mut tx).await?;
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        outcome
    }
}

async fn redeem(
    tx: &mut Connection,
    redemption: &Redemption,
    now_ms: i64,
) -> Result<IdentityGeneration, TokenRefusal> {
    let name = redemption.agent.as_str();
    let row = query(
        "UPDATE agents SET generation = generation WHERE name = $1 \
         RETURNING token_hash, token_expires_ms, token_used_ms",
    )
    .bind(name)
    .fetch_optional(&mut *tx)
    .await?;
    let row = row.ok_or(TokenRefusal::Unknown)?;
    let fields = Fields::new("agents", &row);
    if TokenHash::from_bytes(fields.array("token_hash")?) != redemption.token_hash {
        return Err(TokenRefusal::Unknown);
    }
    if let Some(used_ms) = fields.int_opt("token_used_ms")? {
        return Err(TokenRefusal::Used { used_ms });
    }
    let expired_ms = fields.int("token_expires_ms")?;
    if now_ms >= expired_ms {
        return Err(TokenRefusal::Expired { expired_ms });
    }
    let agent = load_agent(tx, &redemption.agent).await?.ok_or(TokenRefusal::Unknown)?;
    let AgentRecord { state, generation, .. } = agent;
    if state == AgentState::Revoked {
        return Err(TokenRefusal::Revoked);
    }
    let next = generation.next();
    query(
        "UPDATE agents SET state = 'enrolled', generation = $2, bound_key = $3, \
         session_key_hash = $4, token_used_ms = $5, enrolled_ms = $5, last_seen_ms = $5 \
         WHERE name = $1 AND token_used_ms IS NULL",
    )
    .bind(name)
    .bind(big(next.0)?)
    .bind(redemption.bound_key.as_bytes().to_vec())
    .bind(redemption.session_key_hash.as_bytes().to_vec())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    changed(tx).await?;
    Ok(next)
}
