//! Where the cases record what HPCC does although it should not, as their notes say, and what is
//! right instead.

use super::case;
use super::support::Part;
use serde_json::Value;
use std::path::Path;

/// A document without a row: HPCC swallows that it found none.
pub(super) fn refused(case: &Value) -> bool {
    case["expect"].get("recommended").is_some()
}

/// HPCC looks for no quotes where it converts, so its parts may begin inside a quoted field.
pub(super) fn splits_quoted_records(case: &Value) -> bool {
    case["options"].get("targetEncoding").is_some()
}

/// Parts hold whole records and all of the text; where HPCC's do too, they are the same.
pub(super) fn check_converted(case: &Value, folder: &Path, found: &[Part]) {
    let id = case["id"].as_str().unwrap();
    let mark: &[u8] = match case["options"]["targetEncoding"].as_str() {
        Some("utf8") => b"\xEF\xBB\xBF",
        _ => b"",
    };
    let hpcc = case::parts(case, folder).unwrap();
    let text = hpcc.iter().flat_map(|part| part.strip_prefix(mark).unwrap()).copied().collect();
    let text = String::from_utf8(text).unwrap();
    let bodies = found.iter().map(|part| {
        let body = part.bytes.strip_prefix(mark).unwrap_or_else(|| panic!("{id}: no mark"));
        std::str::from_utf8(body).unwrap()
    });
    let bodies = bodies.collect::<Vec<_>>();
    assert_eq!(bodies.concat(), text, "{id}");
    for body in &bodies {
        assert_eq!(body.matches('"').count() % 2, 0, "{id}: a part ends in a quoted field");
        assert!(body.is_empty() || body.ends_with('\n') || text.ends_with(body), "{id}");
    }
    let quotes = |part: &Vec<u8>| part.iter().filter(|byte| **byte == b'"').count();
    if hpcc.iter().all(|part| quotes(part) % 2 == 0) {
        assert!(found.iter().map(|part| &part.bytes).eq(&hpcc), "{id}");
    }
}

/// HPCC's parts, but a last part without rows has its footer itself where HPCC, for want of a
/// header, puts it into the part before.
pub(super) fn expected_parts(case: &Value, folder: &Path) -> Option<Vec<Vec<u8>>> {
    let mut parts = case::parts(case, folder)?;
    if case["note"].as_str().is_some_and(|note| note.starts_with("QUIRK CASE")) {
        let footer = usize::try_from(case["expect"]["footerLength"].as_u64().unwrap()).unwrap();
        let last = parts.len() - 1;
        let before = parts[last - 1].len() - footer;
        parts[last] = parts[last - 1].split_off(before);
    }
    Some(parts)
}
