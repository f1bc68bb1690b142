//! `file copy`: a logical file to another name or plane, with its parts or with others.

use super::CopyArgs;
use crate::admin::context::{Context, load_identity};
use crate::admin::{AdminError, Output};
use crate::copy::{Copier, CopyRequest, Site};
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
}

pub(super) async fn copy(
    args: &CopyArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let CopyArgs { from, to, .. } = args;
    let source = site(&from.plane, context)?;
    let target = if to.plane == from.plane { source.clone() } else { site(&to.plane, context)? };
    let catalogue = context.catalogue().await?;
    let placing = Placing::new(&context.dir, &catalogue, &to.plane);
    let copier = Copier {
        catalogue,
        clock: Arc::clone(&context.host.clock),
        identity: Arc::new(load_identity(&context.dir, &context.settings)?),
        source,
        target,
        placing: Arc::new(placing),
    };
    if std::io::stderr().is_terminal() {
        output.hint(&format!("copying {from} to {to}"))?;
    }
    let request = CopyRequest {
        job: context.host.job_id(),
        from: from.name.clone(),
        to: to.name.clone(),
        parts: args.parts,
        overwrite: args.overwrite,
    };
    let made = copier.copy(&request, stop_requested()).await?;
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
    };
    let text = format!(
        "copied {from} to {to} generation {}: {} parts of {} bytes, job {}",
        made.generation, made.parts, made.bytes, made.wuid
    );
    output.result("copied", &line, &text)
}

fn site(name: &PlaneName, context: &Context<'_>) -> Result<Site, AdminError> {
    let settings = context.settings.plane(name)?.clone();
    Ok(Site { name: name.clone(), settings, plane: Arc::new(context.plane(name)?) })
}
