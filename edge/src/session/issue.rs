//! Identities from a relay: the exchange that enrolls, recovers or renews one.

use crate::exit::{Exit, Explain};
use skyspray_certs::EdgeIdentity;
use skyspray_certs::PrivateKey;
use skyspray_certs::enroll::{
    BINDING_LABEL, ChannelBinding, EnrollRequest, EnrollResponse, Grant, GrantError, Message as _,
    MessageError, Recover, Renew, RenewRequest, RenewResponse,
};
use skyspray_certs::identity::IdentityError;
use skyspray_certs::key::KeyError;
use skyspray_certs::store::{EdgeStore, StoreError};
use skyspray_link::request::RequestError;
use skyspray_link::session::{Session, SessionError};
use skyspray_wire::message::{Reply, Request};
use skyspray_wire::refusal::Refusal;
use std::borrow::Cow;
use std::time::Duration;
use thiserror::Error;

/// How long a relay may take to issue an identity.
const ISSUE_DEADLINE: Duration = Duration::from_secs(15);

/// Why no identity was issued, or the one issued was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Another process of this edge is at it.
    #[error("another process is renewing the identity of this edge")]
    Busy,
    /// The identity cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No key can be made or used.
    #[error("key cannot be made")]
    Key(#[from] KeyError),
    /// The stored identity is damaged.
    #[error("stored identity is not usable")]
    Identity(#[from] IdentityError),
    /// What the relay granted does not fit what was asked.
    #[error("granted identity is not usable")]
    Grant(#[from] GrantError),
    /// The bytes of an answer are none.
    #[error("relay's answer cannot be read")]
    Message(#[from] MessageError),
    /// The relay said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The session ended first.
    #[error("relay gave no answer about the identity")]
    Session(#[from] SessionError),
    /// An answer of another kind.
    #[error("relay's answer is not one about an identity")]
    Unexpected,
}

impl From<RequestError> for IssueError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => Self::Refused(refusal),
            RequestError::Session(error) => Self::Session(error),
            _ => Self::Unexpected,
        }
    }
}

impl Explain for IssueError {
    fn exit(&self) -> Exit {
        match self {
            Self::Busy => Exit::Temporary,
            Self::Store(error) => error.exit(),
            Self::Identity(_) => Exit::Usage,
            Self::Key(_) | Self::Message(_) | Self::Unexpected => Exit::Internal,
            Self::Grant(_) => Exit::Refused,
            Self::Refused(refusal) => refusal.exit(),
            Self::Session(error) => error.exit(),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Busy => "identity-busy",
            Self::Store(error) => return error.code(),
            Self::Identity(_) => "identity-unusable",
            Self::Key(_) => "key",
            Self::Grant(_) => "grant-unusable",
            Self::Message(_) | Self::Unexpected => "protocol",
            Self::Refused(refusal) => return Explain::code(refusal),
            Self::Session(error) => return error.code(),
        })
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.advice(),
            Self::Busy => Some("run the same command again in a while".into()),
            Self::Grant(_) => Some("check that the relay is the one the token was made on".into()),
            Self::Refused(refusal) => refusal.advice(),
            Self::Session(error) => error.advice(),
            _ => None,
        }
    }
}

/// What ties a request to this session.
pub(crate) fn binding(session: &Session) -> Result<ChannelBinding, IssueError> {
    Ok(ChannelBinding::new(session.export_keying_material(BINDING_LABEL)?))
}

/// Asks on the enrollment listener.
pub(crate) async fn ask_enroll(
    session: &Session,
    request: &EnrollRequest,
) -> Result<Grant, IssueError> {
    let mut exchange = session.open_request().await?;
    exchange.send(&*request.encode()?).await?;
    exchange.finish();
    let answer: Vec<u8> = exchange.receive_within(ISSUE_DEADLINE).await?;
    match EnrollResponse::decode(&answer)? {
        EnrollResponse::Granted(grant) => Ok(*grant),
        EnrollResponse::Refused(refusal) => Err(refusal.into()),
    }
}

/// Brings `identity` back on the enrollment listener, with its bound key and `key` for the leaf.
pub(super) async fn recover(
    session: &Session,
    identity: &EdgeIdentity,
    key: PrivateKey,
) -> Result<EdgeIdentity, IssueError> {
    let rng = ring::rand::SystemRandom::new();
    let request = Recover::create(
        &identity.agent,
        identity.generation,
        identity.keys_with(&key),
        &binding(session)?,
        &rng,
    )?;
    let grant = ask_enroll(session, &EnrollRequest::Recover(request)).await?;
    Ok(identity.accept(key, grant)?)
}

/// Renews `identity` on a data session that it authenticated, with `key` for the next leaf.
pub(super) async fn renew(
    session: &Session,
    identity: &EdgeIdentity,
    key: PrivateKey,
) -> Result<EdgeIdentity, IssueError> {
    let rng = ring::rand::SystemRandom::new();
    let (agent, generation) = (&identity.agent, identity.generation);
    let request = Renew::create(agent, generation, &key, &binding(session)?, &rng)?;
    let bytes = RenewRequest::Renew(request).encode()?;
    let Reply::Renewed(answer) = session.ask(&Request::Renew(bytes.to_vec())).await? else {
        return Err(IssueError::Unexpected);
    };
    match RenewResponse::decode(&answer)? {
        RenewResponse::Granted(grant) => Ok(identity.accept(key, *grant)?),
        RenewResponse::Refused(refusal) => Err(refusal.into()),
    }
}

/// The key for the next leaf: the one of a request whose answer was lost, or a new one, stored
/// before it is used.
pub(super) fn next_key(store: &EdgeStore) -> Result<PrivateKey, IssueError> {
    if let Some(key) = store.load_renewal_key()? {
        return Ok(key);
    }
    let key = PrivateKey::generate(&ring::rand::SystemRandom::new())?;
    store.save_renewal_key(&key)?;
    Ok(key)
}
