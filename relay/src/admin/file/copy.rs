//! `file copy`: a logical file to another name or plane, with its parts or with others.

use super::verify::prove;
use super::{CopyArgs, CopyCheck, FileTarget};
use crate::admin::context::{Context, load_identity};
use crate::admin::{AdminError, Output};
use crate::catalogue::GenerationRecord;
use crate::copy::{Copier, CopyRequest, Method, Site};
use crate::placing::Placing;
use crate::serve::stop_requested;
use serde::Serialize;
use skyspray_wire::name::PlaneName;
use std::io::IsTerminal as _;
use std::sync::Arc;

#[derive(Serialize)]
struct CopiedLine {
    from_plane: String,
    from: String,
    plane: String,
    name: String,
    generation: u64,
    wuid: String,
    parts: u32,
    bytes: u64,
    records: Option<u64>,
    /// `provider` or `streamed`.
    method: &'static str,
    /// Why the store did not copy it, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

pub(super) async fn copy(
    args: &CopyArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let from = &args.from;
    let to = match (&args.to, &args.plane) {
        (Some(to), _) => to.clone(),
        (None, plane) => {
            let plane = plane.clone().expect("the command line has a target or a plane");
            FileTarget { plane, name: from.name.clone() }
        }
    };
    if std::io::stderr().is_terminal() {
        output.hint(&format!("copying {from} to {to}"))?;
    }
    let full = args.verify == CopyCheck::Full;
    let request = CopyRequest {
        job: context.host.job_id(),
        from: from.name.clone(),
        to: to.name.clone(),
        parts: args.parts,
        overwrite: args.overwrite,
        read_back: full,
    };
    let copier = copier((&from.plane, &to.plane), context).await?;
    let (made, method) = copier.copy(&request, stop_requested()).await?;
    if full && method != Method::Provider {
        prove(&to, &made, (&copier.catalogue, &copier.target.plane)).await?;
    }
    report((from, &to), (&made, &method), output)
}

/// What copies between two planes.
pub(in crate::admin) async fn copier(
    (from, to): (&PlaneName, &PlaneName),
    context: &Context<'_>,
) -> Result<Copier, AdminError> {
    let source = site(from, context)?;
    let target = if to == from { source.clone() } else { site(to, context)? };
    let catalogue = context.catalogue().await?;
    let placing = Placing::new(&context.dir, &catalogue, to);
    Ok(Copier {
        catalogue,
        clock: Arc::clone(&context.host.clock),
        identity: Arc::new(load_identity(
            &context.dir,
            &context.settings,
            context.host.clock.now(),
        )?),
        source,
        target,
        placing: Arc::new(placing),
        planes: context.planes(),
    })
}

/// Says that a copy was made, and how.
fn report(
    (from, to): (&FileTarget, &FileTarget),
    (made, method): (&GenerationRecord, &Method),
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let line = CopiedLine {
        from_plane: from.plane.to_string(),
        from: from.name.to_string(),
        plane: to.plane.to_string(),
        name: to.name.to_string(),
        generation: made.generation.0,
        wuid: made.wuid.clone(),
        parts: made.parts,
        bytes: made.bytes,
        records: made.records,
        method: method.as_str(),
        refused: method.refused().map(ToString::to_string),
    };
    let how = match method {
        Method::Provider => "by the store, ".to_owned(),
        Method::Streamed { refused: None } => String::new(),
        Method::Streamed { refused: Some(reason) } => {
            format!("by the relay since the store did not ({reason}), ")
        }
    };
    let text = format!(
        "copied {from} to {to} generation {}: {} parts of {} bytes, {how}job {}",
        made.generation, made.parts, made.bytes, made.wuid
    );
    output.result("copied", &line, &text)
}

/// A plane as a copy uses it.
fn site(name: &PlaneName, context: &Context<'_>) -> Result<Site, AdminError> {
    let settings = context.settings.plane(name)?.clone();
    Ok(Site { name: name.clone(), settings, plane: Arc::new(context.plane(name)?) })
}
