//! Names with `*` and `?` in them, as HPCC and shells know them.

/// Whether a name holds a wildcard.
pub(super) fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Whether `name` is one that `pattern` stands for: `*` is any run of characters, none included,
/// `?` is one character, everything else is itself. A byte that is not UTF-8 is a character.
///
/// A name that begins with a dot is hidden: only a pattern that begins with a dot finds it.
///
/// Takes at most time in proportion to the product of both lengths.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut pattern, mut name) = (pattern, name);
    // Behind the last `*`: the pattern, and the name as far as that `*` has not taken it.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => return true,
            (Some((b'*', rest)), _) => {
                retry = Some((rest, name));
                pattern = rest;
                continue;
            }
            (Some((b'?', rest)), Some(_)) => {
                (pattern, name) = (rest, &name[character_bytes(name)..]);
                continue;
            }
            (Some((wanted, rest)), Some((found, left))) if wanted == found => {
                (pattern, name) = (rest, left);
                continue;
            }
            _ => {}
        }
        match retry {
            Some((rest, from)) if !from.is_empty() => {
                let from = &from[character_bytes(from)..];
                retry = Some((rest, from));
                (pattern, name) = (rest, from);
            }
            _ => return false,
        }
    }
}

/// Length of the first character of a text that is not empty.
fn character_bytes(text: &[u8]) -> usize {
    let whole = |length: &usize| text.get(..*length).is_some_and(|c| str::from_utf8(c).is_ok());
    (1..=4).find(whole).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_stand_for_characters() {
        for (pattern, name, expected) in [
            ("a.csv", "a.csv", true),
            ("a.csv", "a.csvx", false),
            ("a.csv", "A.csv", false),
            ("*", "", true),
            ("*", "anything", true),
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", false),
            (".*", ".csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("??", "ab", true),
            ("??", "a", false),
            ("??", "\u{e9}\u{20ac}", true),
            ("*??", "\u{20ac}", false),
            ("?", "", false),
            ("*?", "\u{1f600}", true),
            ("[a]", "a", false),
            ("[a]*", "[a]b", true),
            ("**a**", "bab", true),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} on {name}");
        }
        assert!(matches(b"a?b", b"a\xffb"), "a byte that is no UTF-8 is a character");
        assert!(!matches(b"a?b", b"a\xff\xfeb"));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let (pattern, name) = ("a*".repeat(120) + "b", "a".repeat(255));

        assert!(!matches(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn a_pattern_is_told_by_its_wildcards() {
        assert!(is_pattern(b"a*") && is_pattern(b"?"));
        assert!(!is_pattern(b"[a].csv"));
    }

    /// What the pattern means, word for word.
    fn means(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|taken| means(rest, &name[taken..])),
            Some(('?', rest)) => !name.is_empty() && means(rest, &name[1..]),
            Some((wanted, rest)) => {
                name.first().is_some_and(|found| found == wanted) && means(rest, &name[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn a_pattern_finds_what_it_means(pattern in "[ab\u{e9}*?]{0,7}", name in "[ab\u{e9}]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();

            let found = matches(pattern.as_bytes(), name.as_bytes());

            prop_assert_eq!(found, means(&chars(&pattern), &chars(&name)));
        }
    }
}
