//! `file verify`: what is stored beside what was committed.

use super::{FileTarget, PAGE, VerifyArgs, VerifyMode, find};
use crate::admin::context::Context;
use crate::admin::output::Row;
use crate::admin::{AdminError, Output};
use crate::catalogue::{Catalogue, GenerationRecord, StoredPart};
use crate::plane::{Plane, PlaneError};
use crate::state::blocking;
use ring::rand::SecureRandom as _;
use serde::Serialize;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::PartIndex;
use std::collections::BTreeMap;
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
    #[error("the store's tag of it is {found}, expected {expected}")]
    Tag { found: String, expected: String },
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
    mode: &'static str,
    /// Parts whose content was read, and bytes in them.
    parts_read: u64,
    bytes_read: u64,
    /// What chose the sample: the same number chooses the same parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// How much of a part is looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Look {
    Length,
    /// Length, and the tag that the store gave the part.
    Tag(String),
    Content,
}

/// What is done with the parts of one file.
struct Verification<'a> {
    target: &'a FileTarget,
    generation: &'a GenerationRecord,
    catalogue: &'a Catalogue,
    plane: &'a Arc<Plane>,
    mode: VerifyMode,
    seed: u64,
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    parts: u64,
    bytes: u64,
    parts_read: u64,
    bytes_read: u64,
    failed: u64,
    first: Option<PartIndex>,
    /// Of those that failed, parts whose plane did not answer, and why the first of them did not:
    /// nothing is known of their content.
    unanswered: u64,
    away: Option<PlaneError>,
}

impl Tally {
    fn fail(&mut self, part: PartIndex, fault: &PartFault) {
        self.failed += 1;
        self.first = self.first.or(Some(part));
        if let PartFault::Unreadable(
            away @ (PlaneError::Store { .. } | PlaneError::Unavailable { .. }),
        ) = fault
        {
            self.unanswered += 1;
            self.away.get_or_insert_with(|| away.clone());
        }
    }
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
    let verification = Verification {
        target,
        generation: &current,
        catalogue: &catalogue,
        plane: &plane,
        mode: if args.sample { VerifyMode::Sampled } else { args.mode },
        seed: args.seed.unwrap_or_else(|| random(context)),
    };
    let mut first = true;
    let mut tell = |row: FaultRow| output.rows(&[row], std::mem::take(&mut first));
    let tally = verification.run(&mut tell).await?;
    let now = find(target, context).await?;
    if now.generation != current.generation {
        return Err(AdminError::Replaced { name: target.to_string() });
    }
    verification.report(&tally, output)?;
    verification.verdict(&tally)
}

/// Reads every part of a generation back, without a word where all is well.
///
/// # Errors
///
/// [`AdminError::Mismatch`], or the catalogue failed.
pub(super) async fn prove(
    target: &FileTarget,
    generation: &GenerationRecord,
    (catalogue, plane): (&Catalogue, &Arc<Plane>),
) -> Result<(), AdminError> {
    let mode = VerifyMode::Full;
    let verification = Verification { target, generation, catalogue, plane, mode, seed: 0 };
    let tally = verification.run(&mut |_| Ok(())).await?;
    verification.verdict(&tally)
}

fn random(context: &Context<'_>) -> u64 {
    let mut bytes = [0; 4];
    context.host.random.fill(&mut bytes).expect("the operating system provides random bytes");
    u64::from(u32::from_le_bytes(bytes))
}

impl Verification<'_> {
    async fn run(
        &self,
        tell: &mut dyn FnMut(FaultRow) -> Result<(), AdminError>,
    ) -> Result<Tally, AdminError> {
        let FileTarget { plane, name } = self.target;
        let (mut tally, mut after) = (Tally::default(), None);
        loop {
            let generation = self.generation.generation;
            let parts = self.catalogue.parts((plane, name), generation, after, PAGE).await?;
            let Some(last) = parts.last() else { break };
            after = Some(last.part);
            let mut tags = self.tags(&parts).await?;
            for part in parts {
                let look = self.look(&part, &mut tags)?;
                let read = look == Look::Content;
                tally.parts += 1;
                tally.bytes += part.length;
                tally.parts_read += u64::from(read);
                tally.bytes_read += if read { part.length } else { 0 };
                let (part, fault) = check(self.plane, part, look).await;
                let Some(fault) = fault else { continue };
                tally.fail(part.part, &fault);
                tell(FaultRow {
                    part: u64::from(part.part.0) + 1,
                    path: part.path,
                    fault: fault.to_string(),
                })?;
            }
        }
        // Parts without a row are as lost as parts without a file.
        tally.failed += u64::from(self.generation.parts).saturating_sub(tally.parts);
        Ok(tally)
    }

    async fn tags(&self, parts: &[StoredPart]) -> Result<BTreeMap<String, String>, AdminError> {
        if self.mode != VerifyMode::Stored {
            return Ok(BTreeMap::new());
        }
        let paths: Vec<String> = parts.iter().map(|part| part.path.clone()).collect();
        Ok(self.catalogue.stored_tags(&self.target.plane, &paths).await?)
    }

    fn look(
        &self,
        part: &StoredPart,
        tags: &mut BTreeMap<String, String>,
    ) -> Result<Look, AdminError> {
        match self.mode {
            VerifyMode::Size => Ok(Look::Length),
            VerifyMode::Full => Ok(Look::Content),
            VerifyMode::Sampled => {
                let parts = u64::from(self.generation.parts);
                Ok(if is_sampled(part.part, parts, self.seed) {
                    Look::Content
                } else {
                    Look::Length
                })
            }
            VerifyMode::Stored => tags.remove(&part.path).map(Look::Tag).ok_or_else(|| {
                AdminError::NoStoredTag { name: self.target.to_string(), part: part.part }
            }),
        }
    }

    fn report(&self, tally: &Tally, output: &mut Output<'_>) -> Result<(), AdminError> {
        let FileTarget { plane, name } = self.target;
        let generation = self.generation.generation.0;
        let sample = self.mode == VerifyMode::Sampled;
        let line = VerifiedLine {
            plane: plane.to_string(),
            name: name.to_string(),
            generation,
            parts: tally.parts,
            bytes: tally.bytes,
            failed: tally.failed,
            sample,
            mode: self.mode.as_str(),
            parts_read: tally.parts_read,
            bytes_read: tally.bytes_read,
            seed: sample.then_some(self.seed),
        };
        let how = match self.mode {
            VerifyMode::Size => "compared by length".to_owned(),
            VerifyMode::Stored => "compared by length and the store's tags".to_owned(),
            VerifyMode::Sampled => format!(
                "compared by length, {} of {} bytes read back (--seed {})",
                tally.parts_read, tally.bytes_read, self.seed
            ),
            VerifyMode::Full => "read back".to_owned(),
        };
        let text = format!(
            "{} generation {generation}: {} parts of {} bytes {how}, {} faults",
            self.target, tally.parts, tally.bytes, tally.failed
        );
        output.result("verified", &line, &text)
    }

    /// Damage counts before a plane that is away.
    fn verdict(&self, tally: &Tally) -> Result<(), AdminError> {
        match (tally.failed, &tally.away) {
            (0, _) => Ok(()),
            (failed, Some(source)) if failed == tally.unanswered => {
                let (plane, source) = (self.target.plane.clone(), source.clone());
                Err(AdminError::Plane { plane, source })
            }
            (failed, _) => Err(AdminError::Mismatch {
                name: self.target.to_string(),
                failed,
                parts: u64::from(self.generation.parts),
                first: tally.first.unwrap_or_default(),
            }),
        }
    }
}

/// Every part when there are few, otherwise one of each sixteenth, which `seed` chooses.
fn is_sampled(part: PartIndex, parts: u64, seed: u64) -> bool {
    let index = u64::from(part.0);
    if parts <= SAMPLE_PARTS {
        return true;
    }
    // Share `s` begins at the first index with index * 16 / parts == s.
    let share = index * SAMPLE_PARTS / parts;
    let begins = |share: u64| (share * parts).div_ceil(SAMPLE_PARTS);
    let (start, end) = (begins(share), begins(share + 1));
    let text = [seed.to_le_bytes(), share.to_le_bytes()].concat();
    let drawn: [u8; 8] = Digest::of(&text).0[..8].try_into().expect("a digest has 32 bytes");
    index == start + u64::from_le_bytes(drawn) % (end - start)
}

async fn check(
    plane: &Arc<Plane>,
    part: StoredPart,
    look: Look,
) -> (StoredPart, Option<PartFault>) {
    let plane = Arc::clone(plane);
    let check = move || {
        let fault = compare(&plane, &part, &look).err();
        (part, fault)
    };
    blocking(check).await
}

fn compare(plane: &Plane, part: &StoredPart, look: &Look) -> Result<(), PartFault> {
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
    match look {
        Look::Length => Ok(()),
        Look::Tag(expected) => {
            let tags = plane.tags(vec![path]).into_iter().collect::<Result<Vec<_>, _>>();
            let found = tags.map_err(unreadable)?.pop().flatten().unwrap_or_default();
            let expected = expected.clone();
            if found == expected { Ok(()) } else { Err(PartFault::Tag { found, expected }) }
        }
        Look::Content => {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_all_of_few_parts_and_one_of_each_sixteenth_of_many() {
        let sampled = |parts: u32, seed| -> Vec<u32> {
            (0..parts).filter(|&p| is_sampled(PartIndex(p), parts.into(), seed)).collect()
        };

        for (parts, expected) in [(1, 1), (7, 7), (16, 16), (17, 16), (1000, 16), (65_536, 16)] {
            assert_eq!(sampled(parts, 7).len(), expected, "of {parts}");
        }
        assert_eq!(sampled(1000, 7), sampled(1000, 7));
        assert_ne!(sampled(1000, 7), sampled(1000, 8));
        let shares = sampled(1600, 3).iter().map(|part| part / 100).collect::<Vec<_>>();
        assert_eq!(shares, (0..16).collect::<Vec<_>>());
    }
}
