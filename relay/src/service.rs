//! Requests of a greeted session, one to a stream: what each asks, and the frames that answer it.

mod files;
mod origins;
mod query;
mod read;
mod write;

pub(crate) use files::plane_path;
pub(crate) use write::{part_layout, part_paths};

use crate::access::{self, Operation};
use crate::catalogue::{AgentRecord, JobError};
use crate::session::Greeted;
use crate::state::internal;
use skyspray_certs::enroll::{
    BINDING_LABEL, ChannelBinding, Message as _, RenewRequest, RenewResponse,
};
use skyspray_link::request::Exchange;
use skyspray_link::session::SessionError;
use skyspray_wire::message::{Reply, Request};
use skyspray_wire::name::{LogicalName, PlaneName, PlanePath};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Arc;

/// Why a request has no positive answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// No, and why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer is gone or broke the protocol.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<JobError> for ServiceError {
    fn from(error: JobError) -> Self {
        Self::Refused(refusal_of(&error))
    }
}

/// What a peer is told of a job that cannot go on.
pub(crate) fn refusal_of(error: &JobError) -> Refusal {
    if let JobError::Catalogue(error) = error { internal(error) } else { error.refusal() }
}

/// Answers one request.
///
/// # Errors
///
/// The stream or session is gone, or the peer broke the protocol.
pub(crate) async fn answer(
    greeted: &Arc<Greeted>,
    mut exchange: Exchange,
    request: Request,
) -> Result<(), SessionError> {
    let answered = match request {
        Request::Hello(_) => Err(Refusal::new(RefusalCode::NotGreeted, "twice").into()),
        Request::OpenWrite(open) => write::open(greeted, &mut exchange, open).await,
        Request::OpenFiles(open) => files::open(greeted, &mut exchange, open).await,
        Request::SealParts(seal) => write::seal(greeted, &mut exchange, seal).await,
        Request::Commit(commit) => write::commit(greeted, &mut exchange, commit).await,
        Request::OpenRead(open) => read::open(greeted, &mut exchange, open).await,
        Request::List(list) => query::list(greeted, &mut exchange, list).await,
        Request::Describe(what) => query::describe(greeted, &mut exchange, what).await,
        Request::JobStatus(job) => query::job_status(greeted, &mut exchange, job).await,
        Request::Abort(job) => write::abort(greeted, &mut exchange, job).await,
        Request::Renew(bytes) => renew(greeted, &mut exchange, &bytes).await,
        Request::RecordOrigins(record) => origins::record(greeted, &mut exchange, record).await,
    };
    match answered {
        Ok(()) => {}
        Err(ServiceError::Refused(refusal)) => {
            tracing::info!(agent = %greeted.agent, %refusal, "refused");
            exchange.send(&Reply::Refused(refusal)).await?;
        }
        Err(ServiceError::Session(error)) => return Err(error),
    }
    exchange.finish();
    Ok(())
}

async fn renew(
    greeted: &Greeted,
    exchange: &mut Exchange,
    bytes: &[u8],
) -> Result<(), ServiceError> {
    let malformed = |_| Refusal::new(RefusalCode::Malformed, "renewal");
    let RenewRequest::Renew(renew) = RenewRequest::decode(bytes).map_err(malformed)?;
    let binding = ChannelBinding::new(greeted.session.export_keying_material(BINDING_LABEL)?);
    let verified = renew
        .verify(&greeted.agent, &binding)
        .map_err(|_| Refusal::new(RefusalCode::ProofRejected, ""))?;
    greeted.relay.enrolled_agent(&greeted.agent).await?;
    let grant = crate::enroll::renew(&greeted.relay, &greeted.agent, &verified).await?;
    let response = RenewResponse::Granted(Box::new(grant));
    let encoded = response.encode().map_err(|_| Refusal::new(RefusalCode::Internal, ""))?;
    exchange.send(&Reply::Renewed(encoded.to_vec())).await?;
    Ok(())
}

/// The agent of the session, if it may do this to a logical file.
async fn allowed_name(
    greeted: &Greeted,
    operation: Operation,
    plane: &PlaneName,
    name: &LogicalName,
) -> Result<AgentRecord, Refusal> {
    let agent = greeted.relay.enrolled_agent(&greeted.agent).await?;
    if access::allows_name(&agent.rules, operation, plane, name) {
        Ok(agent)
    } else {
        Err(forbidden(operation, plane, name))
    }
}

/// The agent of the session, if it may do this below a directory.
async fn allowed_path(
    greeted: &Greeted,
    operation: Operation,
    plane: &PlaneName,
    path: &PlanePath,
) -> Result<AgentRecord, Refusal> {
    let agent = greeted.relay.enrolled_agent(&greeted.agent).await?;
    if access::allows_path(&agent.rules, operation, plane, path) {
        Ok(agent)
    } else {
        Err(forbidden(operation, plane, path))
    }
}

fn forbidden(operation: Operation, plane: &PlaneName, place: impl std::fmt::Display) -> Refusal {
    let place = place.to_string();
    let colon = if place.is_empty() { "" } else { ":" };
    Refusal::new(RefusalCode::Forbidden, format!("{operation} on {plane}{colon}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_named_as_it_is_typed() {
        let data = PlaneName::parse("data").unwrap();
        let told = |place: &str| forbidden(Operation::List, &data, place).detail;

        assert_eq!(told(""), "list on data");
        assert_eq!(told("acme::orders"), "list on data:acme::orders");
    }
}
