//! Whether a run that stopped while its file got its name had given it.

use super::*;
use crate::landing::ZoneName;
use skyspray_link::seam::files::{MemoryTree, Tree as _};

struct Rig {
    tree: MemoryTree,
    target: LandingPath,
    staging: RelPath,
}

impl Rig {
    fn new() -> Self {
        let tree = MemoryTree::new(1 << 20);
        let zone = ZoneName::parse("z").unwrap();
        let path = RelPath::parse("out").unwrap();
        let target = LandingPath { zone, tree: Arc::new(tree.clone()), path };
        let staging = staging_path(&target, JobId([1; 16]));
        Self { tree, target, staging }
    }

    fn create(&self, path: &RelPath, bytes: &[u8]) -> Fingerprint {
        let file = self.tree.create_new(path, 0o600, Caching::Buffered).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.metadata().unwrap().fingerprint()
    }

    fn bytes_placed(&self, placing: Option<Fingerprint>) -> Option<u64> {
        let state = DesprayState { placing, ..DesprayState::default() };
        placed_before(&self.target, &self.staging, &state).unwrap().map(|size| size.bytes)
    }
}

#[test]
fn the_staged_file_under_its_name_is_placed() {
    let rig = Rig::new();
    let staged = rig.create(&rig.staging, b"hello");
    assert_eq!(rig.bytes_placed(Some(staged)), None, "it is staged still");

    rig.tree.rename(&rig.staging, &rig.target.path, Replace::Never).unwrap();

    assert_eq!(rig.bytes_placed(Some(staged)), Some(5));
    assert_eq!(rig.bytes_placed(None), None, "it was not about to be placed");
}

#[test]
fn another_file_of_the_same_length_under_its_name_is_not_what_was_staged() {
    let rig = Rig::new();
    let staged = rig.create(&rig.staging, b"hello");
    rig.create(&rig.target.path, b"other");
    rig.tree.remove_file(&rig.staging).unwrap();

    assert_eq!(rig.bytes_placed(Some(staged)), None);
}
