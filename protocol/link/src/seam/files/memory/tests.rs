//! What a crash takes away, what a full or failing disk does, and that all of it repeats.

use super::*;
use std::collections::BTreeSet;

#[test]
fn bytes_and_names_survive_a_crash_only_when_synced() {
    let tree = MemoryTree::new(1 << 20);
    let file = create(&tree, "a");
    file.write_all_at(b"synced", 0).unwrap();
    file.sync_data().unwrap();
    tree.sync_dir(&RelPath::root()).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    file.set_len(100).unwrap();
    create(&tree, "b").sync_all().unwrap();
    assert_eq!(names(&tree), ["a", "b"]);

    tree.crash();

    assert_eq!(names(&tree), ["a"]);
    assert_eq!(content(&tree, "a"), b"synced");
    assert_eq!(file.sync_data().unwrap_err().cause, Cause::Io(Errno::STALE));
    assert_eq!(tree.free_bytes().unwrap(), (1 << 20) - 6);
}

#[test]
fn a_name_without_synced_bytes_is_an_empty_file_after_a_crash() {
    let tree = MemoryTree::new(1 << 20);
    create(&tree, "a").write_all_at(b"lost", 0).unwrap();
    tree.sync_dir(&RelPath::root()).unwrap();

    tree.crash();

    assert_eq!(content(&tree, "a"), b"");
}

#[test]
fn a_rename_is_undone_unless_its_directory_was_synced() {
    for synced in [false, true] {
        let tree = MemoryTree::new(1 << 20);
        for name in ["old", "staging"] {
            let file = create(&tree, name);
            file.write_all_at(name.as_bytes(), 0).unwrap();
            file.sync_all().unwrap();
        }
        tree.sync_dir(&RelPath::root()).unwrap();
        tree.rename(&path("staging"), &path("old"), Replace::Existing).unwrap();
        if synced {
            tree.sync_dir(&RelPath::root()).unwrap();
        }

        tree.crash();

        if synced {
            assert_eq!(names(&tree), ["old"]);
            assert_eq!(content(&tree, "old"), b"staging");
        } else {
            assert_eq!(names(&tree), ["old", "staging"]);
            assert_eq!(content(&tree, "old"), b"old");
        }
    }
}

#[test]
fn new_directories_are_durable_but_do_not_make_their_neighbours_so() {
    let tree = MemoryTree::new(1 << 20);
    create(&tree, "beside");
    tree.create_dirs(&path("a/b")).unwrap();
    create(&tree, "a/b/f");

    tree.crash();

    assert_eq!(names(&tree), ["a"]);
    assert_eq!(tree.read_dir(&path("a/b"), None, 9).unwrap(), []);
}

#[test]
fn a_removed_name_comes_back_with_its_content_unless_the_removal_was_synced() {
    let tree = MemoryTree::new(10);
    let file = create(&tree, "a");
    file.write_all_at(b"0123456789", 0).unwrap();
    file.sync_all().unwrap();
    tree.sync_dir(&RelPath::root()).unwrap();
    tree.remove_file(&path("a")).unwrap();
    assert_eq!(tree.free_bytes().unwrap(), 0, "the open handle keeps the room");
    drop(file);
    assert_eq!(tree.free_bytes().unwrap(), 10);

    tree.crash();
    assert_eq!(content(&tree, "a"), b"0123456789");

    tree.remove_file(&path("a")).unwrap();
    tree.sync_dir(&RelPath::root()).unwrap();
    tree.crash();
    assert_eq!(names(&tree), [""; 0]);
    assert_eq!(tree.free_bytes().unwrap(), 10);
}

#[test]
fn a_full_disk_takes_no_byte_more() {
    let tree = MemoryTree::new(8);
    let file = create(&tree, "a");
    file.allocate(6).unwrap();
    file.write_all_at(b"123456", 0).unwrap();
    let other = create(&tree, "b");

    assert_eq!(other.write_all_at(b"123", 0).unwrap_err().cause, Cause::NoSpace);
    assert_eq!(other.metadata().unwrap().len, 0);
    assert_eq!(other.allocate(3).unwrap_err().cause, Cause::NoSpace);
    file.set_len(5).unwrap();
    other.write_all_at(b"123", 0).unwrap();
    assert_eq!(tree.free_bytes().unwrap(), 0);
    tree.set_capacity(9);
    assert_eq!(tree.free_bytes().unwrap(), 1);
}

#[test]
fn faults_hit_the_chosen_operations_once_each() {
    let tree = MemoryTree::new(1 << 20);
    tree.fail_next(Op::CreateNew, Fault::Denied);
    tree.fail_next(Op::CreateNew, Fault::NoSpace);
    let refused =
        |tree: &MemoryTree| tree.create_new(&path("a"), 0o600, Caching::Buffered).unwrap_err();
    assert_eq!(refused(&tree).cause, Cause::Denied);
    assert_eq!(refused(&tree).cause, Cause::NoSpace);
    let file = create(&tree, "a");

    tree.fail_after(Op::Write, 2, Fault::Io);
    let outcomes: Vec<bool> =
        (0..4).map(|offset| file.write_all_at(b"x", offset).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, true]);
    assert_eq!(content(&tree, "a"), b"xx\0x");
}

#[test]
fn after_a_failed_sync_the_handle_is_spent_and_the_bytes_are_not_durable() {
    let tree = MemoryTree::new(1 << 20);
    let file = create(&tree, "a");
    tree.sync_dir(&RelPath::root()).unwrap();
    file.write_all_at(b"data", 0).unwrap();
    tree.fail_next(Op::SyncData, Fault::Io);

    assert_eq!(file.sync_data().unwrap_err().cause, Cause::Io(Errno::IO));
    assert_eq!(file.sync_data().unwrap_err().cause, Cause::Abandoned);
    assert_eq!(file.sync_all().unwrap_err().cause, Cause::Abandoned);
    assert_eq!(file.write_all_at(b"x", 0).unwrap_err().cause, Cause::Abandoned);

    // Another handle is told that all is well, as on Linux; it is not.
    tree.open_write(&path("a"), Caching::Buffered).unwrap().sync_all().unwrap();
    assert_eq!(content(&tree, "a"), b"data");
    tree.crash();
    assert_eq!(content(&tree, "a"), b"\0\0\0\0");
}

#[test]
fn without_power_nothing_happens_until_the_crash() {
    let tree = MemoryTree::new(1 << 20);
    let before = tree.operations();
    tree.cut_power_after(1);
    let file = create(&tree, "a");
    assert_eq!(file.write_all_at(b"x", 0).unwrap_err().cause, Cause::Io(Errno::IO));
    assert_eq!(tree.sync_dir(&RelPath::root()).unwrap_err().cause, Cause::Io(Errno::IO));
    assert_eq!(tree.operations() - before, 3);

    tree.crash();
    assert_eq!(names(&tree), [""; 0]);
}

#[test]
fn a_torn_write_keeps_whole_units_and_repeats_for_its_seed() {
    let torn = |seed| {
        let tree = MemoryTree::new(1 << 20);
        let file = create(&tree, "a");
        file.set_len(4096).unwrap();
        file.sync_all().unwrap();
        tree.sync_dir(&RelPath::root()).unwrap();
        file.write_all_at(&[1; 2048], 0).unwrap();
        file.write_all_at(&[1; 2048], 2048).unwrap();
        tree.crash_torn(seed);
        content(&tree, "a")
    };
    let outcomes: BTreeSet<Vec<u8>> = (0..64).map(torn).collect();

    assert_eq!(torn(5), torn(5));
    assert!(outcomes.contains(&vec![0; 4096]), "sometimes nothing arrives");
    assert!(outcomes.contains(&vec![1; 4096]), "sometimes everything does");
    assert!(outcomes.len() > 9, "there must be torn ones too");
    let whole_unit = |unit: &[u8]| unit.iter().all(|&byte| byte == unit[0]);
    assert!(outcomes.iter().all(|bytes| bytes.chunks(512).all(whole_unit)));
}

#[test]
fn bytes_cut_off_and_written_over_do_not_come_back() {
    let tree = MemoryTree::new(1 << 20);
    let file = create(&tree, "a");
    file.write_all_at(b"secret", 0).unwrap();
    file.sync_all().unwrap();
    tree.sync_dir(&RelPath::root()).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(b"x", 5).unwrap();
    file.sync_all().unwrap();

    tree.crash();

    assert_eq!(content(&tree, "a"), b"\0\0\0\0\0x");
}

#[test]
fn a_planted_symlink_or_pipe_is_refused_as_on_the_host() {
    let tree = MemoryTree::new(1 << 20);
    tree.plant(&path("link"), FileKind::Symlink).unwrap();
    tree.plant(&path("pipe"), FileKind::Fifo).unwrap();
    tree.crash();

    let read = |text| tree.open_read(&path(text)).unwrap_err().cause;
    assert_eq!(read("link"), Cause::Symlink);
    assert_eq!(read("link/f"), Cause::Symlink);
    assert_eq!(read("pipe"), Cause::NotRegular { kind: FileKind::Fifo });
    assert_eq!(read("pipe/f"), Cause::NotDirectory);
    tree.remove_file(&path("link")).unwrap();
    assert_eq!(names(&tree), ["pipe"]);
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn create(tree: &MemoryTree, text: &str) -> Arc<dyn File> {
    tree.create_new(&path(text), 0o600, Caching::Buffered).unwrap()
}

fn names(tree: &MemoryTree) -> Vec<String> {
    let entries = tree.read_dir(&RelPath::root(), None, usize::MAX).unwrap();
    entries.into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
}

fn content(tree: &MemoryTree, text: &str) -> Vec<u8> {
    let file = tree.open_read(&path(text)).unwrap();
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}
