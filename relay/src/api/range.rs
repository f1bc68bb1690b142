//! Which bytes a request wants, and whether what it was told before still holds: RFC 9110, sections
//! 13 and 14. Pure.

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What a request for content gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// 200 with all of it.
    Whole,
    /// 206 with these bytes, at least one.
    Part(std::ops::Range<u64>),
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client means.
    Differs,
    /// 416: no byte of it is there.
    Unsatisfiable,
}

/// Evaluates the conditions, and for a GET the range, of a request for content of `length` bytes
/// with the strong entity tag `tag` (quotes included).
///
/// Several ranges, other units and what is no range are ignored, as the standard allows: the answer
/// is all of the content.
pub(super) fn wanted(headers: &HeaderMap, is_get: bool, tag: &str, length: u64) -> Wanted {
    let lists = |name: HeaderName| {
        let mut present = false;
        let found = headers.get_all(name).iter().any(|value| {
            present = true;
            value.to_str().is_ok_and(|value| names(value, tag))
        });
        (present, found)
    };
    if let (true, false) = lists(IF_MATCH) {
        return Wanted::Differs;
    }
    let weakly = headers.get_all(IF_NONE_MATCH).iter();
    if weakly.filter_map(|value| value.to_str().ok()).any(|value| names_weakly(value, tag)) {
        return Wanted::NotModified;
    }
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None, true) = (ranges.next(), ranges.next(), is_get) else {
        return Wanted::Whole;
    };
    // A date is none of ours, and a weak tag never counts here.
    if headers.get(IF_RANGE).is_some_and(|value| value.as_bytes() != tag.as_bytes()) {
        return Wanted::Whole;
    }
    range.to_str().ok().and_then(|range| parse(range, length)).unwrap_or(Wanted::Whole)
}

/// Whether a list of entity tags names this one by strong comparison, or is `*`.
fn names(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|one| one == "*" || one == tag)
}

/// The same by weak comparison.
fn names_weakly(list: &str, tag: &str) -> bool {
    let strong = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    list.split(',').map(str::trim).any(strong)
}

/// One range of bytes; `None` for anything else.
fn parse(text: &str, length: u64) -> Option<Wanted> {
    let (unit, spec) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than 64 bits hold are a place behind every end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end { Wanted::Part(range) } else { Wanted::Unsatisfiable })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"7.ab\"";

    fn asked(pairs: &[(HeaderName, &str)]) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        wanted(&headers, true, TAG, 100)
    }

    fn range(text: &str) -> Wanted {
        asked(&[(RANGE, text)])
    }

    #[test]
    fn one_range_is_answered_as_far_as_there_are_bytes() {
        for (text, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=10-19", 10..20),
            ("bytes=90-", 90..100),
            ("bytes=90-1000", 90..100),
            ("bytes=-10", 90..100),
            ("bytes=-1000", 0..100),
            ("BYTES = 5 - 6 ", 5..7),
            ("bytes=99-99999999999999999999999", 99..100),
        ] {
            assert_eq!(range(text), Wanted::Part(expected), "{text}");
        }
        for text in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(range(text), Wanted::Unsatisfiable, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        for text in
            ["bytes=0-1,5-6", "lines=1-2", "bytes", "bytes=", "bytes=-", "bytes=6-5", "bytes=+1-2"]
        {
            assert_eq!(range(text), Wanted::Whole, "{text}");
        }
        assert_eq!(asked(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=5-6")]), Wanted::Whole);
        let mut headers = HeaderMap::new();
        headers.append(RANGE, "bytes=0-1".parse().unwrap());
        assert_eq!(wanted(&headers, false, TAG, 100), Wanted::Whole);
    }

    #[test]
    fn nothing_has_no_satisfiable_range() {
        for text in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            let mut headers = HeaderMap::new();
            headers.append(RANGE, text.parse().unwrap());
            assert_eq!(wanted(&headers, true, TAG, 0), Wanted::Unsatisfiable, "{text}");
        }
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_the_standard() {
        let part = (RANGE, "bytes=0-1");
        assert_eq!(asked(&[(IF_MATCH, "\"6\", \"7.ab\""), part.clone()]), Wanted::Part(0..2));
        assert_eq!(asked(&[(IF_MATCH, "*")]), Wanted::Whole);
        assert_eq!(asked(&[(IF_MATCH, "W/\"7.ab\"")]), Wanted::Differs);
        assert_eq!(asked(&[(IF_MATCH, "\"6\""), (IF_NONE_MATCH, TAG)]), Wanted::Differs);
        assert_eq!(asked(&[(IF_NONE_MATCH, "W/\"7.ab\""), part.clone()]), Wanted::NotModified);
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"6\"")]), Wanted::Whole);
        assert_eq!(asked(&[(IF_RANGE, TAG), part.clone()]), Wanted::Part(0..2));
        for other in ["\"6\"", "W/\"7.ab\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(asked(&[(IF_RANGE, other), part.clone()]), Wanted::Whole, "{other}");
        }
    }
}
