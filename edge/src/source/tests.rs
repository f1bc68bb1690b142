//! Sources in memory and on the host: what is refused, what counts as a change, what a walk sees.

use super::*;
use crate::exit::{Exit, Explain as _};
use crate::landing::ZoneName;
use skyspray_link::seam::files::{
    Caching, Fault, FileKind, MemoryTree, Op, OsTree, RelPath, Replace, Tree,
};
use skyspray_wire::name::PlanePath;
use std::error::Error as _;

const MEMORY: u64 = 1 << 20;

fn at(tree: &(impl Tree + Clone + 'static), path: &str) -> LandingPath {
    landing(Arc::new(tree.clone()), path)
}

fn landing(tree: Arc<dyn Tree>, path: &str) -> LandingPath {
    let path = if path.is_empty() { RelPath::root() } else { RelPath::parse(path).unwrap() };
    LandingPath { zone: ZoneName::parse("in").unwrap(), tree, path }
}

fn put(tree: &MemoryTree, path: &str, bytes: &[u8]) {
    let path = RelPath::parse(path).unwrap();
    tree.create_dirs(&path.parent().unwrap()).unwrap();
    let file = tree.create_new(&path, 0o644, Caching::Buffered).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

fn write(tree: &MemoryTree, path: &str) -> Arc<dyn File> {
    tree.open_write(&RelPath::parse(path).unwrap(), Caching::Buffered).unwrap()
}

#[test]
fn a_source_is_read_in_the_state_it_was_opened_in() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "a/b", b"0123456789");
    let source = Source::open(&at(&tree, "a/b")).unwrap();
    let mut bytes = [0; 4];
    source.read_exact_at(&mut bytes, 3).unwrap();

    assert_eq!((&bytes, source.length()), (b"3456", 10));
    assert_eq!(source.recheck(), Ok(()));
    let again = Source::resume(&at(&tree, "a/b"), source.fingerprint()).unwrap();
    assert_eq!(again.fingerprint(), source.fingerprint());
}

#[test]
fn what_is_no_readable_regular_file_is_refused_by_kind() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "dir/file", b"x");
    for (name, kind) in [
        ("fifo", FileKind::Fifo),
        ("device", FileKind::CharacterDevice),
        ("link", FileKind::Symlink),
    ] {
        tree.plant(&RelPath::parse(name).unwrap(), kind).unwrap();
    }
    let refused = |path: &str| Source::open(&at(&tree, path)).unwrap_err();
    let path = |path: &str| format!("in:{path}");

    assert_eq!(refused("none"), SourceError::Missing { path: path("none") });
    assert_eq!(refused("none/x"), SourceError::Missing { path: path("none/x") });
    assert_eq!(refused("dir"), SourceError::IsDirectory { path: path("dir") });
    assert_eq!(
        refused("fifo"),
        SourceError::NotRegular { path: path("fifo"), kind: FileKind::Fifo }
    );
    assert_eq!(
        refused("device").to_string(),
        "source in:device is a character device, expected a regular file"
    );
    assert_eq!(refused("link"), SourceError::Symlink { path: path("link") });
    assert_eq!(refused("link/x"), SourceError::Symlink { path: path("link/x") });
    tree.fail_next(Op::OpenRead, Fault::Denied);
    assert_eq!(refused("dir/file"), SourceError::Denied { path: path("dir/file") });
    assert_eq!(refused("fifo").exit(), Exit::Source);
    assert_eq!(refused("none").hpcc_number(), Some(8050));
    let advice = |path: &str| refused(path).advice().unwrap();
    assert_eq!(advice("dir"), "name its files, 'in:dir/*', or push the directory");
    assert_eq!(advice(""), "name its files, 'in:*', or push the directory");
}

#[test]
fn on_a_real_host_symlinks_and_pipes_are_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("real"), "x").unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("leaf")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let tree: Arc<dyn Tree> = Arc::new(OsTree::open(dir.path()).unwrap());
    let code = |path: &str| {
        Source::open(&landing(tree.clone(), path)).map_err(|error| error.code().into_owned()).err()
    };

    assert_eq!(code("real"), None);
    assert_eq!(code("leaf").as_deref(), Some("source-symlink"));
    assert_eq!(code("out/passwd").as_deref(), Some("source-symlink"));
    assert_eq!(code("pipe").as_deref(), Some("source-not-regular"));
    assert_eq!(code("").as_deref(), Some("source-is-directory"));
}

#[test]
fn a_source_that_is_written_while_it_is_read_is_found_out() {
    type Change = fn(&MemoryTree);
    let changes: [(Change, SourceChange); 4] = [
        (|tree| write(tree, "a").set_len(4).unwrap(), SourceChange::Shrunk { from: 10, to: 4 }),
        (
            |tree| write(tree, "a").write_all_at(b"x", 10).unwrap(),
            SourceChange::Grown { from: 10, to: 11 },
        ),
        (|tree| write(tree, "a").write_all_at(b"x", 3).unwrap(), SourceChange::Modified),
        (
            |tree| {
                put(tree, "b", b"0123456789");
                let (from, to) = (RelPath::parse("b").unwrap(), RelPath::parse("a").unwrap());
                tree.rename(&from, &to, Replace::Existing).unwrap();
            },
            SourceChange::Replaced,
        ),
    ];
    for (change, expected) in changes {
        let tree = MemoryTree::new(MEMORY);
        put(&tree, "a", b"0123456789");
        let source = Source::open(&at(&tree, "a")).unwrap();
        change(&tree);

        let changed = SourceError::Changed { path: "in:a".into(), change: expected };
        assert_eq!(source.recheck(), Err(changed.clone()));
        let resumed = Source::resume(&at(&tree, "a"), source.fingerprint());
        assert_eq!(resumed.unwrap_err(), changed);
        assert_eq!((changed.exit(), changed.code().as_ref()), (Exit::Source, "source-changed"));
    }
}

/// Files below `dir` that this process has open.
fn open_below(dir: &std::path::Path) -> usize {
    let handles = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = handles.map(|handle| std::fs::read_link(handle.unwrap().path()));
    links
        .filter(|link| link.as_ref().is_ok_and(|link| link.starts_with(dir) && link != dir))
        .count()
}

#[test]
fn a_source_is_open_from_its_first_byte_that_is_read_to_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::write(root.join("a"), b"0123456789").unwrap();
    let tree: Arc<dyn Tree> = Arc::new(OsTree::open(&root).unwrap());
    let open = Arc::default();
    let source = Source::identify(landing(tree.clone(), "a"), (&open, 7)).unwrap();
    assert_eq!(open_below(&root), 0, "it was only looked at");

    let clone = source.clone();
    source.read_exact_at(&mut [0; 4], 0).unwrap();
    clone.read_exact_at(&mut [0; 5], 4).unwrap();
    assert_eq!(open_below(&root), 1);
    clone.read_exact_at(&mut [0; 1], 9).unwrap();
    assert_eq!(open_below(&root), 0);

    source.read_exact_at(&mut [0; 1], 0).unwrap();
    assert_eq!(open_below(&root), 1, "a second pass opens it again");
    let _kept = Source::open(&landing(tree, "a")).unwrap();
    assert_eq!(open_below(&root), 2, "opened to be read it stays open");
}

#[test]
fn sources_found_together_keep_few_files_open_whatever_is_read_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let tree: Arc<dyn Tree> = Arc::new(OsTree::open(&root).unwrap());
    let open = Arc::default();
    let found = |number: usize| {
        let name = number.to_string();
        std::fs::write(root.join(&name), format!("{number:03}")).unwrap();
        Source::identify(landing(tree.clone(), &name), (&open, number)).unwrap()
    };
    let sources: Vec<Source> = (0..100).map(found).collect();
    for pass in 0..2 {
        for (number, source) in sources.iter().enumerate() {
            let mut bytes = [0; 2];
            source.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes[..], format!("{number:03}").as_bytes()[..2], "pass {pass}");
        }
        assert_eq!(open_below(&root), open_files::OPEN_MAX);
    }
}

#[test]
fn a_source_that_changed_before_it_is_read_is_found_out() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "a", b"0123456789");
    put(&tree, "b", b"0123456789");
    let open = Arc::default();
    let found = |name, number| Source::identify(at(&tree, name), (&open, number)).unwrap();
    let (first, second) = (found("a", 0), found("b", 1));
    write(&tree, "a").write_all_at(b"x", 3).unwrap();
    tree.remove_file(&RelPath::parse("b").unwrap()).unwrap();

    let change = SourceChange::Modified;
    assert_eq!(
        first.read_exact_at(&mut [0; 1], 0),
        Err(SourceError::Changed { path: "in:a".into(), change })
    );
    assert_eq!(
        second.read_exact_at(&mut [0; 1], 0),
        Err(SourceError::Removed { path: "in:b".into() })
    );
}

#[test]
fn a_source_that_is_deleted_is_found_out() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "a", b"x");
    let source = Source::open(&at(&tree, "a")).unwrap();
    tree.remove_file(&RelPath::parse("a").unwrap()).unwrap();

    let removed = SourceError::Removed { path: "in:a".into() };
    assert_eq!(source.recheck(), Err(removed.clone()));
    let resumed = Source::resume(&at(&tree, "a"), source.fingerprint());
    assert_eq!(resumed.unwrap_err(), removed);
}

#[test]
fn a_read_beyond_the_end_is_a_shrunk_source_and_a_host_error_names_the_offset() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "a", b"0123456789");
    let source = Source::open(&at(&tree, "a")).unwrap();
    write(&tree, "a").set_len(6).unwrap();

    let change = SourceChange::Shrunk { from: 10, to: 6 };
    assert_eq!(
        source.read_exact_at(&mut [0; 4], 4),
        Err(SourceError::Changed { path: "in:a".into(), change })
    );
    tree.fail_next(Op::Read, Fault::Io);
    let error = source.read_exact_at(&mut [0; 2], 2).unwrap_err();
    assert_eq!(error.to_string(), "source in:a cannot be read at offset 2");
    assert_eq!(error.exit(), Exit::Source);
    assert_eq!(error.source().unwrap().to_string(), "cannot read a: the host reported an error");
}

#[test]
fn a_record_error_says_file_offset_and_rule() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "a", b"0123456789");
    let sources = [Source::open(&at(&tree, "a")).unwrap()];
    let rule = SplitError::PartialRecord { source_index: 0, length: 10, record_bytes: 4 };
    let error = Source::record_error(&sources, rule);

    assert_eq!(error.exit(), Exit::Source);
    assert_eq!(
        crate::exit::Chain(&error).to_string(),
        "records of in:a break off at offset 8: source 1 ends inside a record: length 10 is no \
         multiple of 4"
    );
    let few = Source::record_error(&sources, SplitError::FewerSources { sources: 1, parts: 2 });
    assert_eq!((few.exit(), few.code().as_ref()), (Exit::Usage, "parts-too-many"));
}

fn walked(walk: Walk) -> Vec<String> {
    walk.map(|item| match item {
        Ok(Found::File { at, plane_path }) => format!("{at} -> {plane_path}"),
        Ok(Found::Skipped { at, reason }) => format!("{at} skipped: {reason}"),
        Err(error) => error.to_string(),
    })
    .collect()
}

fn forest() -> MemoryTree {
    let tree = MemoryTree::new(MEMORY);
    for path in ["d/b/2", "d/b/1", "d/a", "d/c/x/y", "d/z", "other"] {
        put(&tree, path, b"x");
    }
    tree.plant(&RelPath::parse("d/link").unwrap(), FileKind::Symlink).unwrap();
    tree.plant(&RelPath::parse("d/b/pipe").unwrap(), FileKind::Fifo).unwrap();
    tree.create_dirs(&RelPath::parse("d/empty").unwrap()).unwrap();
    tree
}

const FOREST: [&str; 7] = [
    "in:d/a -> to/a",
    "in:d/b/1 -> to/b/1",
    "in:d/b/2 -> to/b/2",
    "in:d/b/pipe skipped: it is a named pipe, not a regular file",
    "in:d/c/x/y -> to/c/x/y",
    "in:d/link skipped: it is a symlink, and symlinks are not followed",
    "in:d/z -> to/z",
];

#[test]
fn a_walk_sees_every_file_in_order_and_says_what_it_leaves_out() {
    let walk = Walk::new(at(&forest(), "d"), PlanePath::parse("to").unwrap());

    assert_eq!(walked(walk), FOREST);
}

#[test]
fn a_walk_sees_the_same_in_pages_of_any_size() {
    for page in 1..6 {
        for held in 0..6 {
            let below = PlanePath::parse("to").unwrap();
            let walk = Walk::with_pages(at(&forest(), "d"), below, (page, held));
            assert_eq!(walked(walk), FOREST, "pages of {page}, {held} held");
        }
    }
}

#[test]
fn a_walk_of_one_file_is_that_file() {
    let tree = forest();
    let file = at(&tree, "d/b/1");
    let below = plane_name(&file).unwrap();

    assert_eq!(walked(Walk::new(file, below)), ["in:d/b/1 -> 1"]);
    let missing = Walk::new(at(&tree, "none"), PlanePath::default());
    assert_eq!(walked(missing), ["source in:none does not exist"]);
    let link = Walk::new(at(&tree, "d/link"), PlanePath::default());
    assert_eq!(
        walked(link),
        ["source in:d/link is a symlink or lies behind one; symlinks are not followed"]
    );
    let whole = plane_name(&at(&tree, "")).unwrap();
    assert!(whole.is_root());
}

#[test]
fn a_walk_goes_on_after_names_no_plane_takes_and_directories_it_cannot_read() {
    let tree = MemoryTree::new(MEMORY);
    put(&tree, "a\\b", b"x");
    put(&tree, "c./x", b"x");
    put(&tree, "z", b"x");
    let latin = RelPath::root()
        .join(std::os::unix::ffi::OsStrExt::from_bytes(b"b\xe9".as_slice()) as &std::ffi::OsStr)
        .unwrap();
    tree.create_new(&latin, 0o644, Caching::Buffered).unwrap();

    assert_eq!(
        walked(Walk::new(at(&tree, ""), PlanePath::default())),
        [
            r"source in:a\\b has a name that no plane takes",
            r"source in:b\xe9 has a name that is not UTF-8",
            "source in:c. has a name that no plane takes",
            "in:z -> z",
        ]
    );
    let tree = forest();
    tree.fail_after(Op::ReadDir, 1, Fault::Denied);
    let lines = walked(Walk::new(at(&tree, "d"), PlanePath::default()));
    assert_eq!(lines[..2], ["in:d/a -> a", "source in:d/b may not be read by this user"]);
    assert_eq!(lines.last().unwrap(), "in:d/z -> z");
}
