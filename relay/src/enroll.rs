//! The enrollment listener: tokens in, identities out. Nothing else is answered here.

use crate::catalogue::Redemption;
use crate::state::Relay;
use ring::rand::SystemRandom;
use skyspray_certs::authority::AGENT_LEAF_LIFE;
use skyspray_certs::enroll::{
    BINDING_LABEL, ChannelBinding, EnrollRequest, EnrollResponse, Grant, Join, Message as _,
    Recover, VerifiedRenewal,
};
use skyspray_certs::{IdentityGeneration, PublicKey, Term};
use skyspray_link::endpoint::{Handshake, Listener};
use skyspray_link::session::{Accepted, CloseCode, Session, SessionError};
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Everything an edge says to enroll must be said in this time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Enrollments served at once; more wait for their handshake.
const AT_ONCE: usize = 16;

/// Serves the listener until it is closed.
pub(crate) async fn listen(relay: Arc<Relay>, listener: Listener) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(handshake) = listener.accept().await {
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            handshake.refuse();
            continue;
        };
        let relay = Arc::clone(&relay);
        tokio::spawn(async move {
            serve(&relay, handshake).await;
            drop(slot);
        });
    }
}

async fn serve(relay: &Relay, handshake: Handshake) {
    let peer = handshake.remote_address();
    let session = match handshake.complete().await {
        Ok(session) => session,
        Err(error) => {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "enrollment");
            return;
        }
    };
    match timeout(DEADLINE, exchange(relay, &session)).await {
        Ok(Ok(())) => {
            // The edge closes once it has read the answer.
            let _ = timeout(DEADLINE, session.closed()).await;
        }
        Ok(Err(error)) => {
            tracing::info!(%peer, error = &error as &dyn std::error::Error, "enrollment failed");
        }
        Err(_) => tracing::info!(%peer, "enrollment was too slow"),
    }
    session.close(CloseCode::Done);
}

async fn exchange(relay: &Relay, session: &Session) -> Result<(), SessionError> {
    let Accepted::Request(mut stream) = session.accept().await?.identify().await? else {
        return Err(SessionError::StreamEnded);
    };
    let bytes: Vec<u8> = stream.receive_request().await?;
    let binding = ChannelBinding::new(session.export_keying_material(BINDING_LABEL)?);
    let response = match answer(relay, &bytes, &binding).await {
        Ok(grant) => EnrollResponse::Granted(Box::new(grant)),
        Err(refusal) => {
            tracing::warn!(peer = %session.remote_address(), %refusal, "enrollment refused");
            EnrollResponse::Refused(refusal)
        }
    };
    let encoded = response.encode().map_err(|_| SessionError::StreamEnded)?;
    stream.send(&encoded.as_slice()).await?;
    stream.finish();
    Ok(())
}

async fn answer(relay: &Relay, bytes: &[u8], binding: &ChannelBinding) -> Result<Grant, Refusal> {
    let malformed = |_| Refusal::new(RefusalCode::Malformed, "enrollment request");
    match EnrollRequest::decode(bytes).map_err(malformed)? {
        EnrollRequest::Join(join) => enroll(relay, &join, binding).await,
        EnrollRequest::Recover(recover) => bring_back(relay, &recover, binding).await,
    }
}

async fn enroll(relay: &Relay, join: &Join, binding: &ChannelBinding) -> Result<Grant, Refusal> {
    let verified = join.verify(binding).map_err(|_| proof_rejected())?;
    let redemption = Redemption {
        agent: verified.agent.clone(),
        token_hash: verified.token,
        bound_key: verified.bound_key,
        session_key_hash: verified.session_key.hash(),
    };
    let generation = relay
        .catalogue
        .redeem_token(&redemption, relay.now_ms())
        .await
        .map_err(|error| error.refusal())?;
    tracing::info!(agent = %verified.agent, "enrolled");
    issue(relay, &verified.agent, generation, &verified.session_key)
}

async fn bring_back(
    relay: &Relay,
    recover: &Recover,
    binding: &ChannelBinding,
) -> Result<Grant, Refusal> {
    let name = recover.claimed_agent();
    let agent = relay.enrolled_agent(name).await?;
    let bound_key = agent.bound_key.ok_or_else(proof_rejected)?;
    let verified = recover.verify(&bound_key, binding).map_err(|_| proof_rejected())?;
    tracing::info!(agent = %name, "recovering");
    renew(relay, name, &verified).await
}

/// Moves an agent's identity on by one and issues the leaf for it.
pub(crate) async fn renew(
    relay: &Relay,
    agent: &AgentName,
    verified: &VerifiedRenewal,
) -> Result<Grant, Refusal> {
    let generation = relay
        .catalogue
        .advance_identity(agent, verified.generation, &verified.session_key, relay.now_ms())
        .await
        .map_err(|error| error.refusal())?;
    issue(relay, agent, generation, &verified.session_key)
}

fn issue(
    relay: &Relay,
    agent: &AgentName,
    generation: IdentityGeneration,
    session_key: &PublicKey,
) -> Result<Grant, Refusal> {
    let identity = relay.identity();
    let term = Term { now: relay.clock.now(), life: AGENT_LEAF_LIFE };
    let issued = identity
        .agent_authority
        .issue_agent_leaf(agent, session_key, term, &SystemRandom::new())
        .map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "no leaf issued");
            Refusal::new(RefusalCode::Internal, "no certificate could be issued")
        })?;
    Ok(identity.grant(&issued, generation, relay.addresses.clone()))
}

fn proof_rejected() -> Refusal {
    Refusal::new(RefusalCode::ProofRejected, "")
}
