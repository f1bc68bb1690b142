//! The `describe` command, and the question it shares with `verify`.

use crate::cli::{DescribeArgs, LogicalTarget};
use crate::context::Context;
use crate::download::{DownloadFault, Link};
use crate::exit::Exit;
use crate::output::utc_text;
use crate::size::{Bytes, Count};
use serde::Serialize;
use skyspray_link::session::Session;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::message::{Attributes, Describe, Description, PartInfo, Reply, Request};
use std::collections::BTreeMap;
use std::fmt::Write as _;

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
struct PartFields {
    part: u64,
    length: u64,
    records: Option<u64>,
    blake3: Option<String>,
    crc32: Option<u32>,
}

/// Prints a logical file and its parts.
pub(super) async fn describe(
    context: &Context,
    args: &DescribeArgs,
) -> Result<Exit, DownloadFault> {
    let target = &args.target;
    let (description, parts) = ask(context, target).await?;
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
        let PartInfo { length, crc32, records, .. } = *part;
        let blake3 = part.digest.map(|digest| digest.to_string());
        let line = format!(
            "part {index}: {}{}{}",
            Count(length, "byte"),
            records.map_or_else(String::new, |records| format!(", {}", Count(records, "record"))),
            blake3.as_ref().map_or_else(String::new, |digest| format!(", blake3 {digest}")),
        );
        let fields = PartFields { part: index, length, records, blake3, crc32 };
        context.reporter.result("part", &fields, line);
    }
    Ok(Exit::Done)
}

/// Asks for everything that is known of a logical file; over another session when one is lost.
pub(super) async fn ask(
    context: &Context,
    target: &LogicalTarget,
) -> Result<(Description, Vec<PartInfo>), DownloadFault> {
    let mut link = Link::new(context);
    let request =
        Request::Describe(Describe { plane: target.plane.clone(), name: target.name.clone() });
    let described = loop {
        let relay = link.session().await?;
        match ask_once(relay.session(), &request).await {
            Err(fault) if fault.is_passing() => link.give_up(fault).await,
            other => break other,
        }
    };
    link.close().await;
    described
}

async fn ask_once(
    session: &Session,
    request: &Request,
) -> Result<(Description, Vec<PartInfo>), DownloadFault> {
    let unexpected = DownloadFault::Unexpected { what: "a logical file" };
    let mut answer = session.request(request).await?;
    let Reply::Description(description) = answer.reply().await? else { return Err(unexpected) };
    let mut parts = Vec::new();
    loop {
        match answer.reply().await? {
            Reply::Parts(page) if parts.len() < PARTS_MAX as usize => parts.extend(page),
            Reply::Done if parts.len() == description.parts as usize => {
                return Ok((description, parts));
            }
            _ => return Err(unexpected),
        }
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
    use skyspray_wire::ids::Generation;

    #[test]
    fn a_description_is_told_line_by_line() {
        let description = Description {
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
        };

        assert_eq!(
            text(&"lake:a::b".parse().unwrap(), &description),
            "lake:a::b, generation 7\n3.0 MiB (3145728 bytes) in 2 parts, 9 records\n\
             committed 2024-05-06T07:08:09Z by agent edge-1, D20240506-070809-1\n\
             format = csv\ncsvTerminate = \\n,\\u{1b}"
        );
    }
}
