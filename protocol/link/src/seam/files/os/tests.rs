//! Attacks on the confinement of a tree, and what only a real file system does.

use super::*;
use crate::seam::files::buffer::{AlignedBuf, BUFFER_ALIGNMENT};
use rustix::fs::{CWD, FileType, ResolveFlags, makedev};
use std::fs as host;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

/// A root with a secret beside it, which no path may reach.
struct Site {
    _base: TempDir,
    root: PathBuf,
    outside: PathBuf,
    tree: OsTree,
}

impl Site {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let [root, outside] = ["root", "outside"].map(|name| base.path().join(name));
        host::create_dir(&root).unwrap();
        host::create_dir(&outside).unwrap();
        host::write(outside.join("f"), "secret").unwrap();
        let tree = OsTree::open(&root).unwrap();
        Self { _base: base, root, outside, tree }
    }

    fn read_error(&self, text: &str) -> Cause {
        self.tree.open_read(&path(text)).unwrap_err().cause
    }

    fn write_error(&self, text: &str) -> Cause {
        self.tree.open_write(&path(text), Caching::Buffered).unwrap_err().cause
    }

    fn create_error(&self, text: &str) -> Cause {
        self.tree.create_new(&path(text), 0o600, Caching::Buffered).unwrap_err().cause
    }
}

#[test]
fn a_symlink_on_the_way_is_not_followed() {
    let site = Site::new();
    symlink(&site.outside, site.root.join("abs")).unwrap();
    symlink("../outside", site.root.join("rel")).unwrap();
    host::create_dir(site.root.join("real")).unwrap();
    host::write(site.root.join("real/f"), "inside").unwrap();
    symlink("real", site.root.join("within")).unwrap();

    for link in ["abs", "rel", "within"] {
        let below = format!("{link}/f");
        assert_eq!(site.read_error(&below), Cause::Symlink, "{link}");
        assert_eq!(site.write_error(&below), Cause::Symlink, "{link}");
        assert_eq!(site.create_error(&format!("{link}/new")), Cause::Symlink, "{link}");
        let (link, below) = (path(link), path(&below));
        let tree = &site.tree;
        assert_eq!(tree.metadata(&below).unwrap_err().cause, Cause::Symlink);
        assert_eq!(tree.remove_file(&below).unwrap_err().cause, Cause::Symlink);
        assert_eq!(tree.create_dirs(&link).unwrap_err().cause, Cause::Symlink);
        assert_eq!(tree.create_dirs(&link.join("d").unwrap()).unwrap_err().cause, Cause::Symlink);
        assert_eq!(tree.sync_dir(&link).unwrap_err().cause, Cause::Symlink);
        assert_eq!(tree.read_dir(&link, None, 9).unwrap_err().cause, Cause::Symlink);
        let out = tree.rename(&path("real/f"), &link.join("x").unwrap(), Replace::Existing);
        assert_eq!(out.unwrap_err().cause, Cause::Symlink);
    }
    assert_eq!(listed(&site.outside), ["f"]);
}

#[test]
fn a_symlink_itself_is_seen_removed_and_replaced_but_never_opened() {
    let site = Site::new();
    let link = site.root.join("link");
    symlink(site.outside.join("f"), &link).unwrap();
    symlink("nowhere", site.root.join("dangling")).unwrap();

    for name in ["link", "dangling"] {
        assert_eq!(site.read_error(name), Cause::Symlink);
        assert_eq!(site.write_error(name), Cause::Symlink);
        assert_eq!(site.create_error(name), Cause::AlreadyExists);
        assert_eq!(site.tree.metadata(&path(name)).unwrap().kind, FileKind::Symlink);
    }
    host::write(site.root.join("new"), "new").unwrap();
    site.tree.rename(&path("new"), &path("link"), Replace::Existing).unwrap();
    site.tree.remove_file(&path("dangling")).unwrap();

    assert_eq!(listed(&site.root), ["link"]);
    assert_eq!(host::read(&link).unwrap(), b"new");
    assert_eq!(host::read(site.outside.join("f")).unwrap(), b"secret");
}

/// `RelPath` cannot hold such a path; this is the second wall.
#[test]
fn the_kernel_refuses_to_climb_out_of_the_root() {
    let site = Site::new();
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let root = host::File::open(&site.root).unwrap();

    let absolute = site.outside.join("f");
    for climbing in [Path::new("../outside/f"), absolute.as_path()] {
        let errno = fs::openat2(&root, climbing, OFlags::RDONLY, Mode::empty(), resolve);
        assert_eq!(Cause::from(errno.unwrap_err()), Cause::Escapes);
    }
}

#[test]
fn only_regular_files_are_opened_and_nothing_hangs() {
    let site = Site::new();
    let at = |name: &str| site.root.join(name);
    fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();

    for (name, kind) in [("fifo", FileKind::Fifo), ("socket", FileKind::Socket)] {
        assert_eq!(site.read_error(name), Cause::NotRegular { kind });
        assert_eq!(site.write_error(name), Cause::NotRegular { kind });
        assert_eq!(site.create_error(name), Cause::AlreadyExists);
        assert_eq!(site.tree.metadata(&path(name)).unwrap().kind, kind);
    }

    let null = makedev(1, 3);
    let made = fs::mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::RUSR, null);
    // Making a device takes a privilege that not every test run has.
    if made.is_ok() {
        let kind = FileKind::CharacterDevice;
        assert_eq!(site.tree.metadata(&path("null")).unwrap().kind, kind);
        let cause = site.read_error("null");
        assert!([Cause::NotRegular { kind }, Cause::Denied].contains(&cause), "{cause:?}");
    }
}

#[test]
fn a_directory_swapped_for_a_symlink_during_the_walk_leads_nowhere() {
    let site = Site::new();
    host::create_dir(site.root.join("d")).unwrap();
    host::write(site.root.join("d/f"), "inside").unwrap();
    symlink(&site.outside, site.root.join("swap")).unwrap();
    let done = AtomicBool::new(false);

    let (opened, refused) = thread::scope(|scope| {
        scope.spawn(|| {
            let (d, swap) = (site.root.join("d"), site.root.join("swap"));
            for _ in 0..SWAPS {
                fs::renameat_with(CWD, &d, CWD, &swap, RenameFlags::EXCHANGE).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let (mut opened, mut refused) = (0, 0);
        while !done.load(Ordering::Acquire) {
            match site.tree.open_read(&path("d/f")) {
                Ok(file) => {
                    let mut bytes = [0; 6];
                    file.read_at(&mut bytes, 0).unwrap();
                    assert_eq!(&bytes, b"inside");
                    opened += 1;
                }
                Err(error) => {
                    assert_eq!(error.cause, Cause::Symlink);
                    refused += 1;
                }
            }
            let new = path("d/new");
            if site.tree.create_new(&new, 0o600, Caching::Buffered).is_ok() {
                let _ = site.tree.rename(&new, &path("d/newer"), Replace::Existing);
            }
            let _ = site.tree.remove_file(&path("d/new"));
            let _ = site.tree.create_dirs(&path("d/sub"));
        }
        (opened, refused)
    });

    assert!(opened + refused > 0, "the racer was alone");
    assert_eq!(listed(&site.outside), ["f"]);
    assert_eq!(host::read(site.outside.join("f")).unwrap(), b"secret");
}

#[test]
fn a_tree_keeps_its_root_when_the_path_to_it_changes() {
    let site = Site::new();
    host::write(site.root.join("f"), "inside").unwrap();
    host::rename(&site.root, site.root.with_extension("moved")).unwrap();
    symlink(&site.outside, &site.root).unwrap();

    let mut bytes = [0; 6];
    site.tree.open_read(&path("f")).unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"inside");
}

#[test]
fn a_root_must_be_a_directory_that_exists() {
    let site = Site::new();
    let missing = OsTree::open(site.root.join("x")).unwrap_err();
    let file = OsTree::open(site.outside.join("f")).unwrap_err();

    assert!(matches!(missing, RootError::Missing { .. }), "{missing:?}");
    assert!(matches!(file, RootError::NotDirectory { .. }), "{file:?}");
    assert_eq!(file.to_string(), format!("{}/f is not a directory", site.outside.display()));
}

#[test]
fn a_hard_link_shows_in_the_number_of_names() {
    let site = Site::new();
    host::hard_link(site.outside.join("f"), site.root.join("f")).unwrap();

    assert_eq!(site.tree.metadata(&path("f")).unwrap().nlink, 2);
}

#[test]
fn a_link_and_an_unlink_stand_in_for_a_rename_that_never_replaces() {
    let site = Site::new();
    host::write(site.root.join("a"), "a").unwrap();
    host::write(site.root.join("b"), "b").unwrap();
    let (root, _) = site.tree.walk.parent(&path("a")).unwrap();
    let rename =
        |from, to| walk::link_then_unlink((&root, OsStr::new(from)), (&root, OsStr::new(to)));

    assert_eq!(rename("a", "b"), Err(Errno::EXIST));
    assert_eq!(rename("a", "c"), Ok(()));
    assert_eq!(listed(&site.root), ["b", "c"]);
    assert_eq!(host::read(site.root.join("c")).unwrap(), b"a");
}

#[test]
fn a_direct_handle_takes_aligned_blocks_and_refuses_others() {
    let site = Site::new();
    let file = site.tree.create_new(&path("a"), 0o600, Caching::Direct).unwrap();
    let mut block = AlignedBuf::new(2 * BUFFER_ALIGNMENT);
    block.fill(7);
    file.write_all_at(&block, 0).unwrap();
    // The unaligned tail goes through a buffered handle.
    let tail = site.tree.open_write(&path("a"), Caching::Buffered).unwrap();
    assert_eq!(tail.direct_alignment(), None);
    tail.write_all_at(b"end", 2 * BUFFER_ALIGNMENT as u64).unwrap();
    tail.sync_data().unwrap();

    let mut read = AlignedBuf::new(4 * BUFFER_ALIGNMENT);
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 2 * BUFFER_ALIGNMENT + 3);
    assert_eq!(read[..2 * BUFFER_ALIGNMENT], block[..]);
    assert_eq!(&read[2 * BUFFER_ALIGNMENT..][..3], b"end");

    // `None` only where the file system of the temporary directory cannot do it.
    if let Some(alignment) = file.direct_alignment() {
        let unaligned = Cause::Unaligned { alignment };
        assert_eq!(alignment, BUFFER_ALIGNMENT);
        assert_eq!(file.write_all_at(&block[1..], 0).unwrap_err().cause, unaligned);
        assert_eq!(file.write_all_at(&block[..100], 0).unwrap_err().cause, unaligned);
        assert_eq!(file.write_all_at(&block, 512).unwrap_err().cause, unaligned);
        assert_eq!(file.read_at(&mut read[1..], 0).unwrap_err().cause, unaligned);
    }
}

#[test]
fn a_listing_holds_odd_names_and_every_kind() {
    let site = Site::new();
    let odd = OsStr::from_bytes(b"\xff\n");
    host::write(site.root.join(odd), "").unwrap();
    symlink("x", site.root.join("link")).unwrap();

    let page = site.tree.read_dir(&RelPath::root(), None, 9).unwrap();
    let expected = [
        Entry { name: "link".into(), kind: FileKind::Symlink },
        Entry { name: odd.to_owned(), kind: FileKind::Regular },
    ];
    assert_eq!(page, expected);
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn listed(dir: &Path) -> Vec<String> {
    let names = host::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

const SWAPS: u32 = 20_000;

#[test]
fn a_tree_with_a_umask_of_its_own_does_not_ask_that_of_the_process() {
    let site = Site::new();
    let tree = OsTree::open(&site.root).unwrap().with_umask(0o002);
    tree.create_dirs(&path("a/b")).unwrap();
    tree.create_new(&path("a/b/f"), 0o600, Caching::Buffered).unwrap();

    let mode = |text: &str| tree.metadata(&path(text)).unwrap().mode;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/f")), (0o775, 0o775, 0o664));
}
