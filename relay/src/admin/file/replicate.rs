//! `file replicate`: a logical file to the planes that are to have it too.

use super::copy::copier;
use super::{FileTarget, PAGE, ReplicateArgs, find};
use crate::admin::context::Context;
use crate::admin::output::{Row, causes};
use crate::admin::{AdminError, Output};
use crate::catalogue::{Catalogue, CatalogueError, GenerationRecord};
use crate::copy::{CopyRequest, Method};
use crate::serve::stop_requested;
use serde::Serialize;
use skyspray_wire::name::PlaneName;

#[derive(Serialize)]
struct ReplicaRow {
    plane: String,
    name: String,
    /// `copied`, `current` (it has the same parts already) or `failed`.
    outcome: &'static str,
    method: Option<&'static str>,
    generation: Option<u64>,
    wuid: Option<String>,
    parts: u32,
    bytes: u64,
    failure: Option<String>,
    /// Why the store did not copy it, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Row for ReplicaRow {
    const EVENT: &'static str = "replica";
    const HEADINGS: &'static [&'static str] =
        &["OUTCOME", "METHOD", "GENERATION", "BYTES", "NAME", "REASON"];

    fn cells(&self) -> Vec<String> {
        let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
        vec![
            self.outcome.to_owned(),
            or_dash(self.method),
            self.generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string()),
            self.bytes.to_string(),
            format!("{}:{}", self.plane, self.name),
            or_dash(self.failure.as_deref().or(self.refused.as_deref())),
        ]
    }
}

/// A plane that fails does not keep the others from their copies.
pub(super) async fn replicate(
    args: &ReplicateArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let from = &args.target;
    let planes = match args.to.as_slice() {
        [] => &context.settings.plane(&from.plane)?.replication,
        said => said,
    };
    if planes.is_empty() {
        return Err(AdminError::NoReplication { plane: from.plane.clone() });
    }
    let original = find(from, context).await?;
    let (mut copied, mut failed) = (0, None);
    for (index, plane) in planes.iter().enumerate() {
        let row = ReplicaRow {
            plane: plane.to_string(),
            name: from.name.to_string(),
            outcome: "current",
            method: None,
            generation: None,
            wuid: None,
            parts: original.parts,
            bytes: original.bytes,
            failure: None,
            refused: None,
        };
        let row = match one(args, (&original, plane), context).await {
            Ok(Some((made, method))) => {
                copied += 1;
                let (generation, wuid) = (Some(made.generation.0), Some(made.wuid));
                ReplicaRow {
                    outcome: "copied",
                    method: Some(method.as_str()),
                    refused: method.refused().map(ToString::to_string),
                    generation,
                    wuid,
                    ..row
                }
            }
            Ok(None) => row,
            Err(error) => {
                let failure = Some(causes(&error));
                failed = failed.or(Some(error));
                ReplicaRow { outcome: "failed", failure, ..row }
            }
        };
        output.rows(&[row], index == 0)?;
    }
    match failed {
        Some(error) => Err(error),
        None if copied == 0 => Err(AdminError::NothingToReplicate { name: from.to_string() }),
        None => Ok(()),
    }
}

/// The copy on one plane; `None` where the plane has it.
async fn one(
    args: &ReplicateArgs,
    (original, plane): (&GenerationRecord, &PlaneName),
    context: &Context<'_>,
) -> Result<Option<(GenerationRecord, Method)>, AdminError> {
    let from = &args.target;
    let to = FileTarget { plane: plane.clone(), name: from.name.clone() };
    let copier = copier((&from.plane, plane), context).await?;
    if *plane != from.plane && has_same(&copier.catalogue, original, &to).await? {
        return Ok(None);
    }
    let request = CopyRequest {
        job: context.host.job_id(),
        from: from.name.clone(),
        to: to.name,
        parts: None,
        overwrite: args.overwrite,
        read_back: false,
    };
    Ok(Some(copier.copy(&request, stop_requested()).await?))
}

/// Whether the name has the very parts of the original there.
async fn has_same(
    catalogue: &Catalogue,
    original: &GenerationRecord,
    there: &FileTarget,
) -> Result<bool, CatalogueError> {
    let Some(found) = catalogue.current(&there.plane, &there.name).await? else {
        return Ok(false);
    };
    if (found.parts, found.bytes) != (original.parts, original.bytes) {
        return Ok(false);
    }
    let mut after = None;
    loop {
        let page = async |record: &GenerationRecord| {
            let file = (&record.plane, &record.name);
            let parts = catalogue.parts(file, record.generation, after, PAGE).await?;
            let content = parts.iter().map(|part| (part.part, part.length, part.digest));
            Ok::<_, CatalogueError>(content.collect::<Vec<_>>())
        };
        let (ours, theirs) = (page(original).await?, page(&found).await?);
        if ours != theirs {
            return Ok(false);
        }
        let Some((last, ..)) = ours.last() else { return Ok(true) };
        after = Some(*last);
    }
}
