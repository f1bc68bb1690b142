//! How files are sorted into pages, and how the command ends.

use super::local::Destination;
use super::*;
use crate::landing::ZoneName;
use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree as _};

fn destination(tree: &MemoryTree) -> Destination {
    let zone = ZoneName::parse("z").unwrap();
    let at = LandingPath { zone, tree: Arc::new(tree.clone()), path: RelPath::root() };
    Destination { at, strip: Some(0), job: JobId([1; 16]) }
}

fn entry(name: &str, bytes: u64) -> Entry {
    Entry { kind: EntryKind::File, name: name.into(), bytes, parts: 1, committed_ms: 0 }
}

#[test]
fn files_are_fetched_compared_or_refused_by_what_is_there() {
    let tree = MemoryTree::new(1000);
    for name in ["same", "other"] {
        let path = RelPath::parse(name).unwrap();
        tree.create_new(&path, 0o600, Caching::Buffered).unwrap().set_len(5).unwrap();
    }
    let batch = [entry("free", 5), entry("other", 6), entry("same", 5)];
    let names = |files: &[PullFile]| -> Vec<String> {
        files.iter().map(|file| file.path.to_string()).collect()
    };

    let careful = Sorted::of(&batch, &destination(&tree), false);
    assert_eq!(names(&careful.fetch), ["free"]);
    assert_eq!(names(&careful.compare), ["same"]);
    assert_eq!(careful.failed.len(), 1);
    assert_eq!(careful.failed[0].to_string(), "z:other exists already");

    let bold = Sorted::of(&batch, &destination(&tree), true);
    assert_eq!(names(&bold.fetch), ["free", "other"]);
    assert_eq!(names(&bold.compare), ["same"]);
    assert!(bold.failed.is_empty());
}

#[test]
fn a_page_holds_what_fits_a_request() {
    let tree = MemoryTree::new(1000);
    let file = |name: &str| destination(&tree).prepare(&entry(name, 1), &mut None).unwrap();
    let short = (0..600).map(|n| file(&format!("f{n}"))).collect();
    let lengths: Vec<usize> = pages(short).iter().map(Vec::len).collect();
    assert_eq!(lengths, [256, 256, 88]);

    let segment = "x".repeat(200);
    let long = format!("{segment}/{segment}/{segment}/{segment}");
    let paged = pages((0..100).map(|_| file(&long)).collect());
    assert_eq!(paged.iter().map(Vec::len).collect::<Vec<_>>(), [51, 49]);
    assert!(pages(Vec::new()).is_empty());
}

#[test]
fn one_file_that_fails_says_why_and_of_several_it_is_some() {
    let counts = |files, skipped, failed| Counts {
        files,
        skipped,
        failed,
        bytes: 0,
        failed_with: Some(Exit::Mismatch),
    };

    assert_eq!(counts(3, 1, 0).exit(), Exit::Done);
    assert_eq!(counts(0, 0, 1).exit(), Exit::Mismatch);
    assert_eq!(counts(0, 0, 2).exit(), Exit::SomeFailed);
    assert_eq!(counts(1, 0, 1).exit(), Exit::SomeFailed);
    assert_eq!(counts(0, 1, 1).exit(), Exit::SomeFailed);
}
