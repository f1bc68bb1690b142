//! What every tree must do, checked on a directory of the host and in memory.

use super::*;
use rustix::io::Errno;
use std::thread;

/// Makes one test of each function on each kind of tree.
macro_rules! on_every_tree {
    ($($test:ident)*) => {
        mod on_the_host {
            $(#[test]
            fn $test() {
                let root = tempfile::tempdir().unwrap();
                super::$test(&super::OsTree::open(root.path()).unwrap());
            })*
        }

        mod in_memory {
            $(#[test]
            fn $test() {
                super::$test(&super::MemoryTree::new(1 << 30));
            })*
        }
    };
}

on_every_tree! {
    what_is_written_through_one_handle_is_read_through_another
    a_name_is_created_only_once
    opening_says_what_stands_in_the_way
    a_rename_replaces_only_when_told
    a_rename_moves_directories_but_not_into_themselves_or_over_others
    a_directory_is_listed_in_pages_sorted_by_bytes
    directories_are_made_as_far_as_they_are_missing
    only_what_was_asked_for_is_removed
    a_gap_and_an_extension_read_as_zeros
    allocating_makes_a_file_longer_but_never_shorter
    a_removed_file_lives_on_in_its_handles
    a_read_handle_does_not_write
    the_mode_is_set_whatever_the_umask
    a_fingerprint_tells_what_happened_to_a_source
    threads_write_their_own_places
    free_space_is_a_number
    everything_is_synced_at_once_and_a_made_directory_may_be_known
}

fn everything_is_synced_at_once_and_a_made_directory_may_be_known(tree: &dyn Tree) {
    let (a, b) = (path("a"), path("a/b"));
    assert!(!tree.knows_dir(&a));
    tree.create_dirs(&b).unwrap();
    let known = tree.knows_dir(&b);
    create(tree, "a/b/file").write_all_at(b"x", 0).unwrap();

    // What the answer is depends on the host; that it stays the same does not.
    assert_eq!(tree.sync_tree(), tree.sync_tree());

    tree.rename(&a, &path("c"), Replace::Never).unwrap();
    assert!(!tree.knows_dir(&b), "it has another name now");
    tree.create_dirs(&b).unwrap();
    assert_eq!(tree.knows_dir(&b), known);
    tree.remove_dir(&b).unwrap();
    assert!(!tree.knows_dir(&b));
}

fn what_is_written_through_one_handle_is_read_through_another(tree: &dyn Tree) {
    let file = create(tree, "a");
    file.write_all_at(b"hello", 0).unwrap();
    file.write_all_at(b"J", 0).unwrap();
    file.sync_all().unwrap();
    tree.sync_dir(&RelPath::root()).unwrap();

    let reader = tree.open_read(&path("a")).unwrap();
    reader.advise_sequential();
    assert_eq!(content(&*reader), b"Jello");
    reader.drop_cache(0..5);
    reader.drop_cache(0..0);
    let mut tail = [9; 4];
    assert_eq!(reader.read_at(&mut tail, 3).unwrap(), 2);
    assert_eq!(tail, *b"lo\x09\x09");
    assert_eq!(reader.read_at(&mut tail, 5).unwrap(), 0);

    let writer = tree.open_write(&path("a"), Caching::Buffered).unwrap();
    writer.write_all_at(b"y", 4).unwrap();
    assert_eq!(content(&*writer), b"Jelly");

    let metadata = tree.metadata(&path("a")).unwrap();
    assert_eq!((metadata.kind, metadata.len, metadata.nlink), (FileKind::Regular, 5, 1));
    assert_eq!(metadata, reader.metadata().unwrap());
    assert_eq!(tree.metadata(&RelPath::root()).unwrap().kind, FileKind::Directory);
}

fn a_name_is_created_only_once(tree: &dyn Tree) {
    create(tree, "a").write_all_at(b"first", 0).unwrap();
    let error = tree.create_new(&path("a"), 0o600, Caching::Buffered).unwrap_err();

    assert_eq!(error, FileError::new(Op::CreateNew, &path("a"), Cause::AlreadyExists));
    assert_eq!(content(&*tree.open_read(&path("a")).unwrap()), b"first");
    tree.create_dirs(&path("d")).unwrap();
    assert_eq!(create_error(tree, "d"), Cause::AlreadyExists);
}

fn opening_says_what_stands_in_the_way(tree: &dyn Tree) {
    tree.create_dirs(&path("d")).unwrap();
    create(tree, "f");

    let read = |text| tree.open_read(&path(text)).unwrap_err().cause;
    let write = |text| tree.open_write(&path(text), Caching::Buffered).unwrap_err().cause;
    assert_eq!(read("missing"), Cause::Missing);
    assert_eq!(read("missing/a"), Cause::Missing);
    assert_eq!(read("d"), Cause::IsDirectory);
    assert_eq!(read("."), Cause::IsDirectory);
    assert_eq!(read("f/a"), Cause::NotDirectory);
    assert_eq!(write("missing"), Cause::Missing);
    assert_eq!(write("d"), Cause::IsDirectory);
    assert_eq!(create_error(tree, "missing/a"), Cause::Missing);
    assert_eq!(create_error(tree, "f/a"), Cause::NotDirectory);
    assert_eq!(tree.metadata(&path("missing")).unwrap_err().cause, Cause::Missing);
    assert_eq!(tree.sync_dir(&path("f")).unwrap_err().cause, Cause::NotDirectory);
    assert_eq!(tree.read_dir(&path("f"), None, 1).unwrap_err().cause, Cause::NotDirectory);
}

fn a_rename_replaces_only_when_told(tree: &dyn Tree) {
    create(tree, "a").write_all_at(b"a", 0).unwrap();
    create(tree, "b").write_all_at(b"b", 0).unwrap();

    let error = tree.rename(&path("a"), &path("b"), Replace::Never).unwrap_err();
    assert_eq!(error.cause, Cause::AlreadyExists);
    assert_eq!(error.to_string(), "cannot rename a to b: it already exists");
    assert_eq!(content(&*tree.open_read(&path("b")).unwrap()), b"b");

    tree.rename(&path("a"), &path("b"), Replace::Existing).unwrap();
    assert_eq!(content(&*tree.open_read(&path("b")).unwrap()), b"a");
    assert_eq!(names(tree, "."), ["b"]);

    tree.create_dirs(&path("d")).unwrap();
    tree.rename(&path("b"), &path("d/c"), Replace::Never).unwrap();
    assert_eq!(content(&*tree.open_read(&path("d/c")).unwrap()), b"a");
    tree.rename(&path("d/c"), &path("d/c"), Replace::Existing).unwrap();
    assert_eq!(rename_error(tree, "d/c", "d/c", Replace::Never), Cause::AlreadyExists);
    assert_eq!(rename_error(tree, "b", "e", Replace::Existing), Cause::Missing);
    assert_eq!(rename_error(tree, "d/c", "no/e", Replace::Existing), Cause::Missing);
}

fn a_rename_moves_directories_but_not_into_themselves_or_over_others(tree: &dyn Tree) {
    tree.create_dirs(&path("full/sub")).unwrap();
    tree.create_dirs(&path("empty")).unwrap();
    create(tree, "file");

    let replacing = |from, to| rename_error(tree, from, to, Replace::Existing);
    assert_eq!(replacing("full", "full/sub/x"), Cause::Io(Errno::INVAL));
    assert_eq!(
        rename_error(tree, "full", "full/sub/x", Replace::Never),
        Cause::Io(Errno::INVAL),
        "even where a missing promise is made up for by links"
    );
    assert_eq!(replacing("empty", "full"), Cause::NotEmpty);
    assert_eq!(replacing("empty", "file"), Cause::NotDirectory);
    assert_eq!(replacing("file", "empty"), Cause::IsDirectory);
    assert_eq!(replacing("file", "."), Cause::IsDirectory);

    tree.rename(&path("full"), &path("empty"), Replace::Existing).unwrap();
    assert_eq!(names(tree, "empty"), ["sub"]);
    assert_eq!(names(tree, "."), ["empty", "file"]);
}

fn a_directory_is_listed_in_pages_sorted_by_bytes(tree: &dyn Tree) {
    tree.create_dirs(&path("d/b")).unwrap();
    for name in ["d/c", "d/a", "d/B", "d/é"] {
        create(tree, name);
    }
    let page = |after: Option<&str>, limit| {
        let page = tree.read_dir(&path("d"), after.map(OsStr::new), limit).unwrap();
        page.into_iter().map(|entry| (entry.name, entry.kind)).collect::<Vec<_>>()
    };
    let file = |name: &str| (OsString::from(name), FileKind::Regular);

    assert_eq!(page(None, 2), [file("B"), file("a")]);
    assert_eq!(page(Some("a"), 2), [("b".into(), FileKind::Directory), file("c")]);
    assert_eq!(page(Some("bb"), 2), [file("c"), file("é")]);
    assert_eq!(page(Some("é"), 2), []);
    assert_eq!(page(None, 0), []);
}

fn directories_are_made_as_far_as_they_are_missing(tree: &dyn Tree) {
    tree.create_dirs(&path("a/b")).unwrap();
    create(tree, "a/b/f");
    tree.create_dirs(&path("a/b/c/d")).unwrap();
    tree.create_dirs(&path("a/b/c/d")).unwrap();
    tree.create_dirs(&RelPath::root()).unwrap();
    assert_eq!(names(tree, "a/b"), ["c", "f"]);

    let error = tree.create_dirs(&path("a/b/f/x/y")).unwrap_err();
    assert_eq!(error.cause, Cause::NotDirectory);

    tree.remove_dir(&path("a/b/c/d")).unwrap();
    tree.create_dirs(&path("a/b/c/d")).unwrap();
    tree.rename(&path("a/b/c"), &path("z"), Replace::Never).unwrap();
    tree.create_dirs(&path("a/b/c/d")).unwrap();
    assert_eq!(names(tree, "z"), names(tree, "a/b/c"));
}

fn only_what_was_asked_for_is_removed(tree: &dyn Tree) {
    tree.create_dirs(&path("d")).unwrap();
    create(tree, "d/f");

    assert_eq!(tree.remove_dir(&path("d")).unwrap_err().cause, Cause::NotEmpty);
    assert_eq!(tree.remove_file(&path("d")).unwrap_err().cause, Cause::IsDirectory);
    assert_eq!(tree.remove_dir(&path("d/f")).unwrap_err().cause, Cause::NotDirectory);
    assert_eq!(tree.remove_dir(&RelPath::root()).unwrap_err().cause, Cause::IsDirectory);
    assert_eq!(tree.remove_file(&path("x")).unwrap_err().cause, Cause::Missing);
    assert_eq!(tree.remove_dir(&path("x")).unwrap_err().cause, Cause::Missing);

    tree.remove_file(&path("d/f")).unwrap();
    tree.remove_dir(&path("d")).unwrap();
    assert_eq!(names(tree, "."), [""; 0]);
}

fn a_gap_and_an_extension_read_as_zeros(tree: &dyn Tree) {
    let file = create(tree, "a");
    file.write_all_at(b"cd", 2).unwrap();
    assert_eq!(content(&*file), b"\0\0cd");

    file.write_all_at(b"", 100).unwrap();
    file.set_len(3).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(content(&*file), b"\0\0c\0\0\0");
}

fn allocating_makes_a_file_longer_but_never_shorter(tree: &dyn Tree) {
    let file = create(tree, "a");
    file.write_all_at(b"abc", 0).unwrap();

    file.allocate(0).unwrap();
    file.allocate(2).unwrap();
    assert_eq!(content(&*file), b"abc");
    file.allocate(5).unwrap();
    assert_eq!(content(&*file), b"abc\0\0");
}

fn a_removed_file_lives_on_in_its_handles(tree: &dyn Tree) {
    let file = create(tree, "a");
    file.write_all_at(b"old", 0).unwrap();
    tree.remove_file(&path("a")).unwrap();
    create(tree, "a").write_all_at(b"new", 0).unwrap();

    file.sync_all().unwrap();
    assert_eq!(content(&*file), b"old");
    assert_eq!(file.metadata().unwrap().nlink, 0);
    assert_eq!(content(&*tree.open_read(&path("a")).unwrap()), b"new");
}

fn a_read_handle_does_not_write(tree: &dyn Tree) {
    create(tree, "a");
    let error = tree.open_read(&path("a")).unwrap().write_all_at(b"x", 0).unwrap_err();

    assert_eq!(error, FileError::new(Op::Write, &path("a"), Cause::Io(Errno::BADF)));
}

fn the_mode_is_set_whatever_the_umask(tree: &dyn Tree) {
    let file = tree.create_new(&path("a"), 0o600, Caching::Buffered).unwrap();
    assert_eq!(file.metadata().unwrap().mode, 0o600);

    file.set_mode(0o4666).unwrap();
    assert_eq!(tree.metadata(&path("a")).unwrap().mode, 0o666);
}

fn a_fingerprint_tells_what_happened_to_a_source(tree: &dyn Tree) {
    let file = create(tree, "a");
    file.write_all_at(b"1234", 0).unwrap();
    let before = tree.metadata(&path("a")).unwrap().fingerprint();
    let change = || tree.metadata(&path("a")).unwrap().fingerprint().changed_since(&before);
    assert_eq!(change(), None);

    file.write_all_at(b"5", 4).unwrap();
    assert_eq!(change(), Some(SourceChange::Grown { from: 4, to: 5 }));
    file.set_len(3).unwrap();
    assert_eq!(change(), Some(SourceChange::Shrunk { from: 4, to: 3 }));

    create(tree, "b").write_all_at(b"1234", 0).unwrap();
    tree.rename(&path("b"), &path("a"), Replace::Existing).unwrap();
    assert_eq!(change(), Some(SourceChange::Replaced));
}

fn threads_write_their_own_places(tree: &dyn Tree) {
    let file = create(tree, "a");
    thread::scope(|scope| {
        for index in 0..8u8 {
            let file = Arc::clone(&file);
            scope.spawn(move || file.write_all_at(&[index; 1000], u64::from(index) * 1000));
        }
    });

    let expected: Vec<u8> = (0..8).flat_map(|index| [index; 1000]).collect();
    assert_eq!(content(&*file), expected);
}

fn free_space_is_a_number(tree: &dyn Tree) {
    assert!(tree.free_bytes().unwrap() > 0);
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn create(tree: &dyn Tree, text: &str) -> Arc<dyn File> {
    tree.create_new(&path(text), 0o600, Caching::Buffered).unwrap()
}

fn create_error(tree: &dyn Tree, text: &str) -> Cause {
    tree.create_new(&path(text), 0o600, Caching::Buffered).unwrap_err().cause
}

fn rename_error(tree: &dyn Tree, from: &str, to: &str, replace: Replace) -> Cause {
    tree.rename(&path(from), &path(to), replace).unwrap_err().cause
}

fn names(tree: &dyn Tree, dir: &str) -> Vec<String> {
    let entries = tree.read_dir(&path(dir), None, usize::MAX).unwrap();
    entries.into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
}

fn content(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}
