//! One name that is no list: which kind it is, and the rules of that kind.

use super::error::{NameError, PathFault, shown};
use super::external::ExternalPath;
use super::{Host, HpccName, NameKind};
use skyspray_wire::name::{LogicalName, LogicalNameError, PlaneName};

/// Bytes of a query in a name `file::host::>query`.
const QUERY_BYTES_MAX: usize = 4096;

/// Whether a name of the catalogue may have `*` and `?`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wildcards {
    Allowed,
    Refused,
}

pub(super) fn parse_one(text: &str, wildcards: Wildcards) -> Result<HpccName, NameError> {
    let inner = inner(text);
    if let Some((first, rest)) = inner.split_once("::") {
        match first.trim_matches(' ').to_ascii_lowercase().as_str() {
            "foreign" => return parse_foreign(rest, text),
            "remote" => return parse_remote(rest, text),
            "file" => return parse_file(rest, text),
            "plane" => return parse_plane(rest, text),
            _ => {}
        }
    }
    if wildcards == Wildcards::Allowed && inner.contains(['*', '?']) {
        return parse_pattern(inner, text);
    }
    let (name, cluster) = LogicalName::parse_with_cluster(text)?;
    Ok(HpccName { text: name.to_string(), cluster, kind: NameKind::Logical(name) })
}

fn parse_pattern(inner: &str, text: &str) -> Result<HpccName, NameError> {
    let Segments { mut segments, cluster } = Segments::parse(inner, text)?;
    if segments.len() == 1 {
        segments.insert(0, ".".to_owned());
    }
    let pattern = segments.join("::");
    Ok(HpccName { text: pattern.clone(), cluster, kind: NameKind::Pattern(pattern) })
}

/// `server::scope::name`.
fn parse_foreign(rest: &str, text: &str) -> Result<HpccName, NameError> {
    let (server, local) = place(rest, "foreign::server::scope::name", text)?;
    let server = parse_host(server, text)?;
    let (name, cluster) = parse_local(local, text)?;
    let text = format!("foreign::{server}::{}", relative(&name));
    Ok(HpccName { text, cluster, kind: NameKind::Foreign { server, name } })
}

/// `service::scope::name`.
fn parse_remote(rest: &str, text: &str) -> Result<HpccName, NameError> {
    let (service, local) = place(rest, "remote::service::scope::name", text)?;
    let service = service.trim_matches(' ').to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if service.is_empty() || !service.bytes().all(allowed) {
        return Err(NameError::Service { name: shown(text), service: shown(&service) });
    }
    let (name, cluster) = parse_local(local, text)?;
    let text = format!("remote::{service}::{}", relative(&name));
    Ok(HpccName { text, cluster, kind: NameKind::Remote { service, name } })
}

/// `host::dir::name` or `host::>query`.
fn parse_file(rest: &str, text: &str) -> Result<HpccName, NameError> {
    let (host, path) = place(rest, "file::host::dir::name", text)?;
    let host = parse_host(host, text)?;
    if let Some(query) = path.strip_prefix('>') {
        let control = query.chars().any(char::is_control);
        if query.trim().is_empty() || query.len() > QUERY_BYTES_MAX || control {
            return Err(NameError::Query { name: shown(text), bytes_max: QUERY_BYTES_MAX });
        }
        let text = format!("file::{host}::>{query}");
        let kind = NameKind::Query { host, query: query.to_owned() };
        return Ok(HpccName { text, cluster: None, kind });
    }
    let (path, cluster) = parse_path(path, text)?;
    let text = format!("file::{host}::{path}");
    Ok(HpccName { text, cluster, kind: NameKind::External { host, path } })
}

/// `plane` or `plane::dir::name`.
fn parse_plane(rest: &str, text: &str) -> Result<HpccName, NameError> {
    let (plane, path) = rest.split_once("::").map_or((rest, None), |(p, rest)| (p, Some(rest)));
    let plane = PlaneName::parse(&plane.trim_matches(' ').to_ascii_lowercase())
        .map_err(|source| NameError::Plane { name: shown(text), source })?;
    let Some(path) = path else {
        let text = format!("plane::{plane}");
        let kind = NameKind::Plane { plane, path: ExternalPath::default() };
        return Ok(HpccName { text, cluster: None, kind });
    };
    let (path, cluster) = parse_path(path, text)?;
    let text = format!("plane::{plane}::{path}");
    Ok(HpccName { text, cluster, kind: NameKind::Plane { plane, path } })
}

fn parse_path(path: &str, text: &str) -> Result<(ExternalPath, Option<String>), NameError> {
    let Segments { segments, cluster } = Segments::parse(path, text)?;
    let path = ExternalPath::try_new(segments)
        .map_err(|source| NameError::Path { name: shown(text), source })?;
    Ok((path, cluster))
}

/// The name behind a server or service, where neither `~` nor an empty first scope may stand again.
fn parse_local(local: &str, text: &str) -> Result<(LogicalName, Option<String>), NameError> {
    let start = local.trim_start_matches(' ');
    if start.starts_with('~') {
        return Err(LogicalNameError::Character { name: shown(text), character: '~' }.into());
    }
    if start.starts_with("::") {
        return Err(LogicalNameError::Empty { name: shown(text) }.into());
    }
    Ok(LogicalName::parse_with_cluster(local)?)
}

/// What stands before the first `::`, and what behind it.
fn place<'a>(
    rest: &'a str,
    expected: &'static str,
    text: &str,
) -> Result<(&'a str, &'a str), NameError> {
    rest.split_once("::").ok_or_else(|| NameError::Incomplete { name: shown(text), expected })
}

fn parse_host(host: &str, text: &str) -> Result<Host, NameError> {
    Host::parse(host).map_err(|source| NameError::Host { name: shown(text), source })
}

/// The name without the `.` of a file in no scope, as it stands behind a server or service.
fn relative(name: &LogicalName) -> &str {
    name.as_str().strip_prefix(".::").unwrap_or(name.as_str())
}

/// A name without what may stand before it.
fn inner(text: &str) -> &str {
    let blank = |c: char| c.is_ascii_whitespace();
    let inner = text.trim_start_matches(blank);
    inner.strip_prefix('~').unwrap_or(inner).trim_start_matches(blank)
}

/// Normalised segments that may have wildcards, and the cluster of the last one.
struct Segments {
    segments: Vec<String>,
    cluster: Option<String>,
}

impl Segments {
    fn parse(path: &str, text: &str) -> Result<Self, NameError> {
        Self::try_split(path).map_err(|source| NameError::Path { name: shown(text), source })
    }

    fn try_split(path: &str) -> Result<Self, PathFault> {
        let mut segments = path.split("::").map(segment).collect::<Result<Vec<_>, _>>()?;
        let last = segments.pop().expect("splitting a text gives at least one piece");
        let (tail, cluster) = match last.split_once('@') {
            Some((_, cluster)) if cluster.contains('@') || cluster.starts_with('^') => {
                return Err(PathFault::Cluster);
            }
            Some((tail, cluster)) => (tail.trim_end_matches(' '), cluster.trim_matches(' ')),
            None => (last.as_str(), ""),
        };
        match tail {
            "" => return Err(PathFault::Empty),
            "." => return Err(PathFault::NoTail),
            ".." => return Err(PathFault::Relative),
            _ => {}
        }
        segments.retain(|segment| segment != ".");
        segments.push(tail.to_owned());
        let cluster = (!cluster.is_empty()).then(|| cluster.to_owned());
        Ok(Self { segments, cluster })
    }
}

fn segment(raw: &str) -> Result<String, PathFault> {
    let segment = raw.trim_matches(' ').to_ascii_lowercase();
    if let Some(character) = segment.chars().find(|&c| !allowed(c)) {
        return Err(PathFault::Character { character });
    }
    match segment.as_str() {
        "" => Err(PathFault::Empty),
        ".." => Err(PathFault::Relative),
        _ => Ok(segment),
    }
}

/// As in names of the catalogue, and wildcards.
fn allowed(character: char) -> bool {
    matches!(character, ' '..='}') && !r#""/:<>\|{}"#.contains(character)
}
