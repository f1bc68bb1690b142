//! The part files of a logical file that metadata describe: which file is which part, and whether
//! it is as long as it should be.

mod error;

pub use error::PartsFault;

use crate::cli::PushTarget;
use crate::landing::{LandingPath, LandingZones, Want};
use crate::source::{Found, Source, SourceError, Walk};
use skyspray_dfu::meta::{FileMeta, PartMeta};
use skyspray_dfu::naming::split_part_file_name;
use skyspray_link::seam::files::FileKind;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::name::{LogicalName, PlaneName, PlanePath};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// A file that is a part, and what the metadata say of it.
#[derive(Clone, Debug)]
pub struct PartFile {
    /// The file.
    pub source: Source,
    /// CRC-32 its bytes should have, where that is said of them.
    pub crc32: Option<u32>,
    /// Records in it, where that is said.
    pub records: Option<u64>,
    /// Bytes at its start that are the header of a document.
    pub header: u32,
    /// Bytes at its end that are the footer of a document.
    pub footer: u32,
}

/// Finds the file of every part below `paths`, in the order of the parts. Blocks.
///
/// A file that is named must be a part. In a directory those files are parts that are called so,
/// at any depth; others are passed over.
///
/// # Errors
///
/// A part is missing, there twice, or not as long as the metadata say; the user's to correct.
pub fn find(
    meta: &FileMeta,
    paths: &[PathBuf],
    (zones, cwd): (&LandingZones, &Path),
) -> Result<Vec<PartFile>, PartsFault> {
    let names = Names::of(meta)?;
    let mut found: Vec<Option<LandingPath>> = vec![None; meta.parts.len()];
    let mut take = |part: PartIndex, at: LandingPath| match &mut found[part.0 as usize] {
        Some(first) => {
            Err(PartsFault::Twice { part, first: first.to_string(), second: at.to_string() })
        }
        place => {
            *place = Some(at);
            Ok(())
        }
    };
    for path in paths {
        let at = zones.resolve(path, cwd, Want::Read)?;
        let kind = at.tree.metadata(&at.path).map_err(|error| SourceError::of(&at, error))?.kind;
        if kind != FileKind::Directory {
            let part = names
                .part(&at, true)
                .ok_or_else(|| PartsFault::NotAPart { path: at.to_string(), parts: names.parts })?;
            take(part, at)?;
            continue;
        }
        for below in Walk::new(at, PlanePath::default()) {
            if let Found::File { at, .. } = below?
                && let Some(part) = names.part(&at, false)
            {
                take(part, at)?;
            }
        }
    }
    let parts = (0..).map(PartIndex).zip(found).zip(&meta.parts);
    parts
        .map(|((part, at), said)| {
            let at = at.ok_or(PartsFault::Missing { part, parts: names.parts })?;
            checked(meta, (part, said), &at)
        })
        .collect()
}

/// The logical file that a push with these metadata makes.
///
/// # Errors
///
/// The target or the metadata name none; the user's to correct.
pub fn target(
    target: &PushTarget,
    meta: &FileMeta,
) -> Result<(PlaneName, LogicalName), PartsFault> {
    let directory = match target {
        PushTarget::LogicalFile(file) => return Ok((file.plane.clone(), file.name.clone())),
        PushTarget::Directory(directory) => directory,
    };
    let plane = directory.plane.clone();
    let segments = directory.path.segments().iter().map(|segment| segment.as_str());
    let mut segments: Vec<&str> = segments.collect();
    let named;
    // One word is a name, as in every other command; a `/` makes it a directory.
    if directory.is_directory || segments.len() > 1 {
        let name = meta.name.as_deref().ok_or(PartsFault::NoName)?;
        named = LogicalName::parse(name)?;
        segments.push(named.tail());
    }
    Ok((plane, LogicalName::parse(&segments.join("::"))?))
}

/// What the files of parts are called.
struct Names<'a> {
    parts: NonZeroU32,
    /// What stands before `._P_of_N`, where that is known.
    tail: Option<String>,
    /// Names of their own.
    own: Vec<(&'a str, PartIndex)>,
}

impl<'a> Names<'a> {
    fn of(meta: &'a FileMeta) -> Result<Self, PartsFault> {
        let count = meta.parts.len();
        let parts = u32::try_from(count).ok().filter(|&parts| parts <= PARTS_MAX);
        let parts = parts.ok_or(PartsFault::TooMany { parts: count })?;
        let name = meta.name.as_deref().and_then(|name| LogicalName::parse(name).ok());
        let of_name = || name.as_ref().map(|name| name.tail().to_owned());
        let of_mask = |mask: &str| match mask.split_once("._$P$")?.0 {
            "$L$" => of_name(),
            tail => Some(tail.to_owned()),
        };
        let tail = meta.partmask.as_deref().and_then(of_mask).or_else(of_name);
        let own = (0..).map(PartIndex).zip(&meta.parts).filter_map(|(part, said)| {
            let name = said.file_name.as_deref()?;
            Some((name.rsplit(['/', '\\']).next().unwrap_or(name), part))
        });
        Ok(Self {
            parts: NonZeroU32::new(parts).expect("metadata have at least one part"),
            tail,
            own: own.collect(),
        })
    }

    /// The part a file is by its name; a file that the user named may be called otherwise before
    /// its number, and altogether if it is the only part.
    fn part(&self, at: &LandingPath, is_named: bool) -> Option<PartIndex> {
        let name = at.path.file_name()?.to_str()?;
        if let Some((_, part)) = self.own.iter().find(|(own, _)| *own == name) {
            return Some(*part);
        }
        match split_part_file_name(name).filter(|(_, _, parts)| *parts == self.parts) {
            Some((tail, part, _)) => {
                let expected = self.tail.as_deref();
                let same = expected.is_none_or(|expected| tail.eq_ignore_ascii_case(expected))
                    && self.own.iter().all(|(_, owner)| *owner != part);
                (is_named || same).then_some(part)
            }
            None => (is_named && self.parts.get() == 1).then_some(PartIndex(0)),
        }
    }
}

/// Opens a part and compares it with what is said of it.
fn checked(
    meta: &FileMeta,
    (part, said): (PartIndex, &PartMeta),
    at: &LandingPath,
) -> Result<PartFile, PartsFault> {
    let compressed = meta.is_compressed();
    let source = Source::open(at)?;
    let found = source.length();
    let expected = if compressed { said.compressed_size } else { said.length };
    if let Some(expected) = expected.filter(|&expected| expected != found) {
        return Err(PartsFault::Length { part, path: at.to_string(), found, expected });
    }
    let of_file = |name: &str| meta.attribute(name).and_then(|value| value.parse::<u32>().ok());
    let around = |own: Option<u32>, name: &str| match compressed || found == 0 {
        true => 0,
        false => own.or_else(|| of_file(name)).unwrap_or(0),
    };
    let header = around(said.header_length, "headerLength");
    let footer = around(said.footer_length, "footerLength");
    if u64::from(header) + u64::from(footer) > found {
        return Err(PartsFault::Around { part, length: found, header, footer });
    }
    let only = || match meta.parts.len() {
        1 => meta.attribute("recordCount").and_then(|count| count.parse().ok()),
        _ => None,
    };
    let crc32 = said.crc32.filter(|_| !compressed);
    Ok(PartFile { source, crc32, records: said.records.or_else(only), header, footer })
}

#[cfg(test)]
mod tests;
