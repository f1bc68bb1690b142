//! Questions about what is stored and how jobs stand.

use super::read::current;
use super::{ServiceError, allowed_name, forbidden, origins};
use crate::access::{self, Operation};
use crate::catalogue::StoredPart;
use crate::commit;
use crate::plane::Plane;
use crate::session::Greeted;
use crate::state::{blocking, internal};
use skyspray_link::request::Exchange;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::JobId;
use skyspray_wire::limits::{PAGE_MAX, PAGE_NAME_BYTES_MAX};
use skyspray_wire::message::{
    Describe, Description, Entry, EntryKind, JobStatus, List, ListWhat, Reply,
};
use skyspray_wire::name::{PlaneName, PlanePath, Scope};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Arc;

/// Rows of a catalogue page.
const ROWS: u32 = 512;

/// Answers `List`.
pub(super) async fn list(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    list: List,
) -> Result<(), ServiceError> {
    let agent = greeted.relay.enrolled_agent(&greeted.agent).await?;
    let plane = Arc::clone(&greeted.relay.plane(&list.plane)?.plane);
    match &list.what {
        ListWhat::Logical(scope) => {
            if !access::allows_scope(&agent.rules, Operation::List, &list.plane, scope) {
                return Err(forbidden(Operation::List, &list.plane, scope).into());
            }
            list_logical(greeted, exchange, &list, scope).await
        }
        ListWhat::Files(directory) => {
            if !access::allows_path(&agent.rules, Operation::List, &list.plane, directory) {
                return Err(forbidden(Operation::List, &list.plane, directory).into());
            }
            list_files(exchange, plane, &list, directory).await
        }
    }
}

async fn list_logical(
    greeted: &Greeted,
    exchange: &mut Exchange,
    list: &List,
    scope: &Scope,
) -> Result<(), ServiceError> {
    let (mut after, mut left) = (list.after.clone(), list.limit);
    while left > 0 {
        let page = greeted
            .relay
            .catalogue
            .list_logical(&list.plane, scope, &after, left.min(ROWS))
            .await
            .map_err(|error| internal(&error))?;
        let Some(last) = page.last() else { break };
        after = last.name.clone();
        left -= u32::try_from(page.len()).expect("at most a page");
        send_entries(exchange, page).await?;
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

async fn list_files(
    exchange: &mut Exchange,
    plane: Arc<Plane>,
    list: &List,
    directory: &PlanePath,
) -> Result<(), ServiceError> {
    let path = |path: &PlanePath| {
        RelPath::from_segments(path.segments().iter().map(|segment| segment.as_str()))
            .map_err(|_| Refusal::new(RefusalCode::NameInvalid, path.to_string()))
    };
    let invalid = |_| Refusal::new(RefusalCode::NameInvalid, list.after.clone());
    let directory = path(directory)?;
    let mut after = match list.after.as_str() {
        "" => None,
        after => Some(path(&PlanePath::parse(after).map_err(invalid)?)?),
    };
    let mut left = list.limit;
    while left > 0 {
        let (plane, directory, from) = (Arc::clone(&plane), directory.clone(), after.clone());
        let limit = left.min(ROWS) as usize;
        let page = blocking(move || plane.list(&directory, from.as_ref(), limit)).await;
        let page = page.map_err(|error| error.refusal())?;
        let Some(last) = page.last() else { break };
        after = Some(last.path.clone());
        left -= u32::try_from(page.len()).expect("at most a page");
        // A name no peer could ask for is not shown to one.
        let entries = page.iter().filter_map(|listed| {
            let name = listed.path.as_path().to_str()?;
            PlanePath::parse(name).ok()?;
            Some(Entry {
                kind: EntryKind::File,
                name: name.to_owned(),
                bytes: listed.stat.length,
                parts: 1,
                committed_ms: listed.stat.modified_ns / 1_000_000,
            })
        });
        send_entries(exchange, entries.collect()).await?;
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// Sends entries in frames that hold them.
async fn send_entries(exchange: &mut Exchange, entries: Vec<Entry>) -> Result<(), ServiceError> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        if page.len() == PAGE_MAX || bytes + entry.name.len() > PAGE_NAME_BYTES_MAX {
            exchange.send(&Reply::Entries(std::mem::take(&mut page))).await?;
            bytes = 0;
        }
        bytes += entry.name.len();
        page.push(entry);
    }
    if !page.is_empty() {
        exchange.send(&Reply::Entries(page)).await?;
    }
    Ok(())
}

/// Answers `Describe`.
pub(super) async fn describe(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    what: Describe,
) -> Result<(), ServiceError> {
    let (plane, name): (&PlaneName, _) = (&what.plane, &what.name);
    let relay = &greeted.relay;
    relay.plane(plane)?;
    allowed_name(greeted, Operation::Pull, plane, name).await?;
    let record = current(relay, plane, name).await?;
    let description = Description {
        generation: record.generation,
        parts: record.parts,
        bytes: record.bytes,
        records: record.records,
        committed_ms: record.committed_ms,
        wuid: record.wuid.clone(),
        agent: record.agent.to_string(),
        attributes: record.attributes.clone(),
    };
    exchange.send(&Reply::Description(description)).await?;
    let mut after = None;
    loop {
        let rows = relay.catalogue.parts((plane, name), record.generation, after, ROWS).await;
        let rows = rows.map_err(|error| internal(&error))?;
        let Some(last) = rows.last() else { break };
        after = Some(last.part);
        let infos = rows.iter().map(StoredPart::info).collect();
        exchange.send(&Reply::Parts(infos)).await?;
    }
    if what.origins {
        origins::send(greeted, exchange, &record).await?;
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// Answers `JobStatus`.
pub(super) async fn job_status(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    job: JobId,
) -> Result<(), ServiceError> {
    greeted.relay.enrolled_agent(&greeted.agent).await?;
    let record = commit::load(&greeted.relay, job).await?;
    if record.agent != greeted.agent {
        return Err(Refusal::new(RefusalCode::JobUnknown, "").into());
    }
    let status = JobStatus {
        job,
        wuid: record.wuid,
        state: record.state,
        bytes_durable: record.bytes_durable,
        bytes_total: record.bytes,
    };
    exchange.send(&Reply::Job(status)).await?;
    Ok(())
}
