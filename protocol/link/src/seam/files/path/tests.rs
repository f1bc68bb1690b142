//! What a relative path accepts, refuses and shows.

use super::*;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

#[test]
fn a_written_path_is_reduced_to_its_names() {
    assert_eq!(path("./a//b/"), path("a/b"));
    assert_eq!(path("a/./b"), RelPath::from_segments(["a", "b"]).unwrap());
    assert_eq!(path("."), RelPath::root());
    assert_eq!(path("..."), RelPath::from_segments(["..."]).unwrap());
}

#[test]
fn a_written_path_that_climbs_or_starts_at_the_host_root_is_refused() {
    for text in ["..", "a/..", "../a", "a/../b", "./../a"] {
        assert_eq!(RelPath::parse(text), Err(PathError::ParentComponent), "{text}");
    }
    let error = RelPath::parse("/etc/shadow").unwrap_err();
    assert_eq!(
        error.to_string(),
        "path /etc/shadow is absolute, expected one relative to the tree"
    );
    assert_eq!(RelPath::parse(""), Err(PathError::EmptyPath));
    assert_eq!(RelPath::parse("a\0b"), Err(PathError::ForbiddenByte { component: "a\0b".into() }));
}

#[test]
fn a_segment_must_be_exactly_one_name() {
    for segment in ["", "."] {
        assert_eq!(
            RelPath::from_segments(["a", segment]),
            Err(PathError::NoName { component: segment.into() })
        );
    }
    assert_eq!(RelPath::from_segments(["a", ".."]), Err(PathError::ParentComponent));
    assert_eq!(
        RelPath::from_segments(["a/b"]),
        Err(PathError::ForbiddenByte { component: "a/b".into() })
    );
}

#[test]
fn depth_and_length_have_limits() {
    let deep = vec!["d"; DEPTH_MAX];
    let deepest = RelPath::from_segments(deep).unwrap();
    assert_eq!(deepest.join("d"), Err(PathError::TooDeep { depth: DEPTH_MAX + 1 }));

    let longest = "n".repeat(COMPONENT_BYTES_MAX);
    let row = RelPath::from_segments(vec![longest.as_str(); 15]).unwrap();
    assert_eq!(row.as_path().as_os_str().len(), 15 * 256 - 1);
    let full = row.join(&longest).unwrap();
    assert_eq!(full.as_path().as_os_str().len(), PATH_BYTES_MAX);
    assert_eq!(full.join("x"), Err(PathError::TooLong { bytes: PATH_BYTES_MAX + 2 }));
    assert_eq!(RelPath::root().join("n".repeat(256)), Err(PathError::LongComponent { bytes: 256 }));
}

#[test]
fn a_path_knows_its_parent_its_name_and_the_way_down() {
    let file = path("a/b/c");

    assert_eq!(file.parent(), Some(path("a/b")));
    assert_eq!(file.file_name(), Some(OsStr::new("c")));
    assert_eq!(path("a").parent(), Some(RelPath::root()));
    assert_eq!(RelPath::root().parent(), None);
    assert_eq!(RelPath::root().file_name(), None);
    assert_eq!(file.from_top().collect::<Vec<_>>(), [path("a"), path("a/b"), path("a/b/c")]);
    assert_eq!(RelPath::root().from_top().count(), 0);
    assert_eq!(path("x").join_path(&file), Ok(path("x/a/b/c")));
}

#[test]
fn below_means_whole_components() {
    assert!(path("a/b").starts_with(&path("a")));
    assert!(path("a").starts_with(&path("a")));
    assert!(path("a").starts_with(&RelPath::root()));
    assert!(!path("ab").starts_with(&path("a")));
    assert!(!path("a").starts_with(&path("a/b")));
}

#[test]
fn a_name_that_is_not_text_is_kept_and_shown_escaped() {
    let file = RelPath::parse(OsStr::from_bytes(b"a/\xff\x1b[31m\\\xc3\xa9")).unwrap();

    assert_eq!(file.to_string(), r"a/\xff\u{1b}[31m\\é");
    assert_eq!(file.file_name().unwrap().as_bytes(), b"\xff\x1b[31m\\\xc3\xa9");
    assert_eq!(path("a\u{202e}vsc").to_string(), r"a\u{202e}vsc");
    assert_eq!(RelPath::root().to_string(), ".");
}
