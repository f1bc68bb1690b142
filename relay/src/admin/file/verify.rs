//! `file verify`: what is stored beside what was committed.

use super::{FileTarget, PAGE, VerifyArgs, find};
use crate::admin::context::Context;
use crate::admin::output::Row;
use crate::admin::{AdminError, Output};
use crate::catalogue::StoredPart;
use crate::plane::{Plane, PlaneError};
use crate::state::blocking;
use serde::Serialize;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::PartIndex;
use std::sync::Arc;
use thiserror::Error;

/// Parts whose content a sample reads.
const SAMPLE_PARTS: u64 = 16;

/// How a stored part differs from what was committed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
enum PartFault {
    #[error("it is not there")]
    Missing,
    #[error("it has {found} bytes, expected {expected}")]
    Length { found: u64, expected: u64 },
    #[error("its BLAKE3 digest differs")]
    Digest,
    #[error("its CRC-32 differs")]
    Crc32,
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] PlaneError),
}

#[derive(Serialize)]
struct FaultRow {
    /// Counted from 1.
    part: u64,
    path: String,
    fault: String,
}

impl Row for FaultRow {
    const EVENT: &'static str = "fault";
    const HEADINGS: &'static [&'static str] = &["PART", "FAULT", "PATH"];

    fn cells(&self) -> Vec<String> {
        vec![self.part.to_string(), self.fault.clone(), self.path.clone()]
    }
}

#[derive(Serialize)]
struct VerifiedLine {
    plane: String,
    name: String,
    generation: u64,
    parts: u64,
    bytes: u64,
    failed: u64,
    sample: bool,
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    parts: u64,
    bytes: u64,
    failed: u64,
    first: Option<PartIndex>,
}

pub(super) async fn verify(
    args: &VerifyArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let target = &args.target;
    let current = find(target, context).await?;
    let plane = Arc::new(context.plane(&target.plane)?);
    let catalogue = context.catalogue().await?;
    let total = u64::from(current.parts);
    let (mut tally, mut after) = (Tally::default(), None);
    loop {
        let file = (&target.plane, &target.name);
        let parts = catalogue.parts(file, current.generation, after, PAGE).await?;
        let Some(last) = parts.last() else { break };
        after = Some(last.part);
        for part in parts {
            let whole = !args.sample || is_sampled(part.part, total);
            tally.parts += 1;
            tally.bytes += part.length;
            let (part, fault) = check(&plane, part, whole).await;
            if let Some(fault) = fault {
                let first = tally.first.is_none();
                tally.failed += 1;
                tally.first = tally.first.or(Some(part.part));
                let row = FaultRow {
                    part: u64::from(part.part.0) + 1,
                    path: part.path,
                    fault: fault.to_string(),
                };
                output.rows(&[row], first)?;
            }
        }
    }
    let now = find(target, context).await?;
    if now.generation != current.generation {
        return Err(AdminError::Replaced { name: target.to_string() });
    }
    // Parts without a row are as lost as parts without a file.
    tally.failed += total - tally.parts;
    report(args, current.generation.0, &tally, output)?;
    match tally.failed {
        0 => Ok(()),
        failed => Err(AdminError::Mismatch {
            name: target.to_string(),
            failed,
            parts: total,
            first: tally.first.unwrap_or_default(),
        }),
    }
}

fn report(
    args: &VerifyArgs,
    generation: u64,
    tally: &Tally,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let FileTarget { plane, name } = &args.target;
    let line = VerifiedLine {
        plane: plane.to_string(),
        name: name.to_string(),
        generation,
        parts: tally.parts,
        bytes: tally.bytes,
        failed: tally.failed,
        sample: args.sample,
    };
    let how = if args.sample { "sampled" } else { "read back" };
    let text = format!(
        "{} generation {generation}: {} parts of {} bytes {how}, {} faults",
        args.target, tally.parts, tally.bytes, tally.failed
    );
    output.result("verified", &line, &text)
}

/// Every part when there are few, otherwise the first of each sixteenth.
fn is_sampled(part: PartIndex, parts: u64) -> bool {
    let share = |index: u64| index * SAMPLE_PARTS / parts;
    let index = u64::from(part.0);
    index == 0 || share(index) != share(index - 1)
}

async fn check(
    plane: &Arc<Plane>,
    part: StoredPart,
    whole: bool,
) -> (StoredPart, Option<PartFault>) {
    let plane = Arc::clone(plane);
    let check = move || {
        let fault = compare(&plane, &part, whole).err();
        (part, fault)
    };
    blocking(check).await
}

fn compare(plane: &Plane, part: &StoredPart, whole: bool) -> Result<(), PartFault> {
    let unreadable = |error| match error {
        PlaneError::Missing { .. } => PartFault::Missing,
        error => PartFault::Unreadable(error),
    };
    let path = RelPath::parse(&part.path).map_err(|error| unreadable(error.into()))?;
    let length = |found| {
        let expected = part.length;
        if found == expected { Ok(()) } else { Err(PartFault::Length { found, expected }) }
    };
    length(plane.stat(&path).map_err(unreadable)?.length)?;
    if !whole {
        return Ok(());
    }
    let found = plane.open(&path).and_then(|file| file.measure()).map_err(unreadable)?;
    length(found.length)?;
    if found.digest != part.digest {
        return Err(PartFault::Digest);
    }
    if found.crc32 != part.crc32 {
        return Err(PartFault::Crc32);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_all_of_few_parts_and_sixteen_of_many() {
        let sampled =
            |parts: u32| (0..parts).filter(|&p| is_sampled(PartIndex(p), parts.into())).count();

        for (parts, expected) in [(1, 1), (7, 7), (16, 16), (17, 16), (1000, 16), (65_536, 16)] {
            assert_eq!(sampled(parts), expected, "of {parts}");
        }
    }
}
