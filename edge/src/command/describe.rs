//! The `describe` command, and the question it shares with `verify`.

use crate::cli::{DescribeArgs, LogicalTarget};
use crate::context::Context;
use crate::download::{DownloadFault, Link};
use crate::exit::{Details, Exit, Explain};
use crate::meta::{self, MetaFault};
use crate::output::utc_text;
use crate::size::{Bytes, Count};
use serde::Serialize;
use skyspray_wire::ids::SourceIndex;
use skyspray_wire::limits::{ORIGIN_RANGES_MAX, PARTS_MAX, SOURCES_MAX};
use skyspray_wire::message::{
    Attributes, Describe, Description, OriginRange, Origins, PartInfo, Reply, Request,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use thiserror::Error;

#[derive(Debug, Serialize)]
struct Fields<'a> {
    plane: &'a str,
    name: &'a str,
    generation: u64,
    bytes: u64,
    parts: u32,
    records: Option<u64>,
    committed_ms: i64,
    wuid: &'a str,
    agent: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
}

#[derive(Debug, Serialize)]
struct XmlFields<'a> {
    xml: &'a str,
}

/// Why a logical file cannot be described.
#[derive(Debug, Error)]
pub(super) enum DescribeError {
    #[error(transparent)]
    Download(#[from] DownloadFault),
    #[error(transparent)]
    Meta(#[from] MetaFault),
}

impl DescribeError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Download(error) => error,
            Self::Meta(error) => error,
        }
    }
}

impl Explain for DescribeError {
    fn exit(&self) -> Exit {
        self.inner().exit()
    }

    fn code(&self) -> Cow<'static, str> {
        self.inner().code()
    }

    fn advice(&self) -> Option<String> {
        self.inner().advice()
    }

    fn details(&self) -> Details {
        self.inner().details()
    }
}

#[derive(Debug, Serialize)]
struct PartFields {
    part: u64,
    length: u64,
    records: Option<u64>,
    blake3: Option<String>,
    crc32: Option<u32>,
    header: u32,
    footer: u32,
}

#[derive(Debug, Serialize)]
struct OriginFields<'a> {
    part: u64,
    part_offset: u64,
    length: u64,
    source: u64,
    source_name: &'a str,
    source_bytes: u64,
    source_offset: u64,
}

/// All that the relay knows of a logical file.
#[derive(Debug)]
struct Described {
    description: Description,
    parts: Vec<PartInfo>,
    sources: BTreeMap<SourceIndex, (String, u64)>,
    ranges: Vec<OriginRange>,
}

/// Prints a logical file and its parts.
pub(super) async fn describe(
    context: &Context,
    args: &DescribeArgs,
) -> Result<Exit, DescribeError> {
    let target = &args.target;
    let Described { description, parts, sources, ranges } =
        ask_all(context, target, args.origins).await?;
    if args.xml {
        let described =
            meta::Described { name: &target.name, description: &description, parts: &parts };
        let xml = meta::to_xml(described)?;
        context.reporter.result("metadata", &XmlFields { xml: &xml }, xml.trim_end());
        return Ok(Exit::Done);
    }
    let Description { generation, bytes, records, committed_ms, .. } = description;
    let fields = Fields {
        plane: target.plane.as_str(),
        name: target.name.as_str(),
        generation: generation.0,
        bytes,
        parts: description.parts,
        records,
        committed_ms,
        wuid: &description.wuid,
        agent: &description.agent,
        attributes: pairs(&description.attributes).collect(),
    };
    context.reporter.result("description", &fields, text(target, &description));
    for (index, part) in (1u64..).zip(&parts) {
        let PartInfo { length, crc32, records, header, footer, .. } = *part;
        let blake3 = part.digest.map(|digest| digest.to_string());
        let line = part_text(index, part);
        let fields = PartFields { part: index, length, records, blake3, crc32, header, footer };
        context.reporter.result("part", &fields, line);
    }
    for range in &ranges {
        let (name, bytes) = &sources[&range.source];
        let fields = OriginFields {
            part: u64::from(range.part.0) + 1,
            part_offset: range.part_offset,
            length: range.length,
            source: u64::from(range.source.0) + 1,
            source_name: name,
            source_bytes: *bytes,
            source_offset: range.source_offset,
        };
        context.reporter.result("origin", &fields, origin_text(range, name));
    }
    Ok(Exit::Done)
}

fn part_text(index: u64, part: &PartInfo) -> String {
    let mut text = format!("part {index}: {}", Count(part.length, "byte"));
    if let Some(records) = part.records {
        let _ = write!(text, ", {}", Count(records, "record"));
    }
    for (what, bytes) in [("header", part.header), ("footer", part.footer)] {
        if bytes > 0 {
            let _ = write!(text, ", {what} of {}", Count(bytes.into(), "byte"));
        }
    }
    if let Some(digest) = part.digest {
        let _ = write!(text, ", blake3 {digest}");
    }
    text
}

fn origin_text(range: &OriginRange, source: &str) -> String {
    let OriginRange { part, part_offset, source_offset, length, .. } = range;
    let (length, source) = (Count(*length, "byte"), shown(source));
    format!("part {part} from {part_offset}: {length} of {source} from {source_offset}")
}

/// Asks for everything that is known of a logical file; over another session when one is lost.
pub(super) async fn ask(
    context: &Context,
    target: &LogicalTarget,
) -> Result<(Description, Vec<PartInfo>), DownloadFault> {
    let Described { description, parts, .. } = ask_all(context, target, false).await?;
    Ok((description, parts))
}

async fn ask_all(
    context: &Context,
    target: &LogicalTarget,
    origins: bool,
) -> Result<Described, DownloadFault> {
    let mut link = Link::new(context);
    let (plane, name) = (target.plane.clone(), target.name.clone());
    let request = Request::Describe(Describe { plane, name, origins });
    let described = loop {
        match ask_once(&mut link, &request).await {
            Err(fault) if fault.is_passing() => link.give_up(fault).await,
            other => break other,
        }
    };
    link.close().await;
    described
}

async fn ask_once(link: &mut Link<'_>, request: &Request) -> Result<Described, DownloadFault> {
    let unexpected = || DownloadFault::Unexpected { what: "a logical file" };
    let (_, mut answer) = link.ask(request).await?;
    let Reply::Description(description) = answer.reply().await? else { return Err(unexpected()) };
    let (parts, sources, ranges) = Default::default();
    let mut described = Described { description, parts, sources, ranges };
    loop {
        match answer.reply().await? {
            Reply::Parts(page) if described.parts.len() < PARTS_MAX as usize => {
                described.parts.extend(page);
            }
            Reply::Origins(page) => described.add(page).ok_or_else(unexpected)?,
            Reply::Done if described.parts.len() == described.description.parts as usize => {
                return Ok(described);
            }
            _ => return Err(unexpected()),
        }
    }
}

impl Described {
    /// Takes a page of origins; `None` when it breaks a rule for them.
    fn add(&mut self, page: Origins) -> Option<()> {
        page.check(self.description.parts).ok()?;
        let notes =
            page.sources.into_iter().map(|source| (source.index, (source.name, source.bytes)));
        self.sources.extend(notes);
        self.ranges.extend(page.ranges.iter().copied());
        let known = page.ranges.iter().all(|range| self.sources.contains_key(&range.source));
        let bounded = self.sources.len() <= SOURCES_MAX as usize
            && self.ranges.len() <= ORIGIN_RANGES_MAX as usize;
        (known && bounded).then_some(())
    }
}

/// Attributes as pairs.
pub(super) fn pairs(attributes: &Attributes) -> impl Iterator<Item = (&str, &str)> {
    attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Peer text fit for a terminal. Backslashes stay as they are: lists of delimiters are full of them.
fn shown(text: &str) -> String {
    let escaped = |character: char| {
        let harmless = !character.is_control();
        let kept = harmless.then_some(character);
        let escape = (!harmless).then(|| character.escape_default());
        kept.into_iter().chain(escape.into_iter().flatten())
    };
    text.chars().flat_map(escaped).collect()
}

fn text(target: &LogicalTarget, description: &Description) -> String {
    let mut text = format!(
        "{target}, generation {}\n{} in {}",
        description.generation,
        Bytes(description.bytes),
        Count(description.parts.into(), "part")
    );
    if let Some(records) = description.records {
        let _ = write!(text, ", {}", Count(records, "record"));
    }
    let _ = write!(
        text,
        "\ncommitted {} by agent {}, {}",
        utc_text(description.committed_ms),
        shown(&description.agent),
        shown(&description.wuid)
    );
    for (name, value) in pairs(&description.attributes) {
        let _ = write!(text, "\n{} = {}", shown(name), shown(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::digest::Digest;
    use skyspray_wire::ids::{Generation, PartIndex};
    use skyspray_wire::message::SourceNote;

    fn description() -> Description {
        Description {
            generation: Generation(7),
            parts: 2,
            bytes: 3 << 20,
            records: Some(9),
            committed_ms: 1_714_979_289_000,
            wuid: "D20240506-070809-1".into(),
            agent: "edge-1".into(),
            attributes: vec![
                ("format".into(), "csv".into()),
                ("csvTerminate".into(), "\\n,\u{1b}".into()),
            ],
        }
    }

    fn range(part: u32, source: u32) -> OriginRange {
        let (part, source) = (PartIndex(part), SourceIndex(source));
        OriginRange { part, part_offset: 12, source, source_offset: 212, length: 1 }
    }

    #[test]
    fn a_part_is_told_with_its_header_and_footer_where_it_has_them() {
        let digest = Digest::of(b"x");
        let mut part = PartInfo {
            length: 280,
            digest: Some(digest),
            crc32: Some(1),
            records: Some(1),
            modified_ns: None,
            header: 0,
            footer: 0,
        };
        assert_eq!(part_text(2, &part), format!("part 2: 280 bytes, 1 record, blake3 {digest}"));

        (part.header, part.footer, part.digest) = (12, 1, None);
        let told = "part 2: 280 bytes, 1 record, header of 12 bytes, footer of 1 byte";
        assert_eq!(part_text(2, &part), told);
    }

    #[test]
    fn an_origin_is_told_without_control_characters() {
        let told = "part 2 from 12: 1 byte of in/a\\u{1b}.xml from 212";
        assert_eq!(origin_text(&range(1, 0), "in/a\u{1b}.xml"), told);
    }

    #[test]
    fn a_relay_that_tells_of_unknown_sources_or_parts_is_not_believed() {
        let (parts, sources, ranges) = Default::default();
        let mut described = Described { description: description(), parts, sources, ranges };
        let page = |sources: Vec<SourceNote>, ranges| Origins { sources, ranges };
        let note = SourceNote::new(SourceIndex(0), "a.xml", 500);

        assert_eq!(described.add(page(vec![note.clone()], vec![range(1, 0)])), Some(()));
        assert_eq!(described.add(page(Vec::new(), vec![range(0, 0)])), Some(()));
        assert_eq!(described.ranges, [range(1, 0), range(0, 0)]);
        assert_eq!(described.add(page(Vec::new(), vec![range(0, 1)])), None);
        assert_eq!(described.add(page(Vec::new(), vec![range(2, 0)])), None);
        assert_eq!(described.add(page(vec![note; 513], Vec::new())), None);
    }

    #[test]
    fn a_description_is_told_line_by_line() {
        assert_eq!(
            text(&"lake:a::b".parse().unwrap(), &description()),
            "lake:a::b, generation 7\n3.0 MiB (3145728 bytes) in 2 parts, 9 records\n\
             committed 2024-05-06T07:08:09Z by agent edge-1, D20240506-070809-1\n\
             format = csv\ncsvTerminate = \\n,\\u{1b}"
        );
    }
}
