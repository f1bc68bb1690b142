//! What is held of a read job: enough to go on in another session or process.

use serde::{Deserialize, Serialize};
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::{ChunkSize, PartIndex};
use skyspray_wire::limits::PAGE_MAX;
use skyspray_wire::message::{PartInfo, PartRuns};
use skyspray_wire::receiver::{ReceiveError, Receiver};
use skyspray_wire::refusal::Refusal;
use std::collections::BTreeMap;

/// The durable chunks of a read job, part by part.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct ReadState {
    /// Chunks of each part that is whole; parts without any are left out.
    whole: BTreeMap<PartIndex, u64>,
    /// Parts of which some chunks are held.
    begun: BTreeMap<PartIndex, PartTree>,
    bytes: u64,
    chunk_size: Option<ChunkSize>,
}

impl ReadState {
    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Parts of which some chunks are held, but not all.
    pub(super) fn begun(&self) -> &BTreeMap<PartIndex, PartTree> {
        &self.begun
    }

    /// Parts of which chunks are held, those that are whole first.
    pub(super) fn parts(&self) -> impl Iterator<Item = PartIndex> {
        self.whole.keys().chain(self.begun.keys()).copied()
    }

    /// Whether chunks of this size can be added to what is held.
    pub(super) fn fits(&self, chunk_size: ChunkSize) -> bool {
        self.chunk_size.is_none_or(|held| held == chunk_size)
    }

    /// Takes up a part of which an earlier process held `tree`.
    pub(super) fn restore_part(&mut self, part: PartIndex, tree: PartTree) {
        self.chunk_size = Some(tree.chunk_size());
        self.bytes += tree.bytes();
        self.begun.insert(part, tree);
    }

    /// Notes what is durable of a part of `length` bytes; whether that is all of it.
    pub(super) fn note(&mut self, part: PartIndex, tree: PartTree, length: u64) -> bool {
        self.chunk_size = Some(tree.chunk_size());
        let before = self.begun.remove(&part).map_or(0, |earlier| earlier.bytes());
        self.bytes = self.bytes - before + tree.bytes();
        let is_whole = tree.bytes() == length;
        if is_whole {
            self.whole.insert(part, tree.chunk_size().count(length));
        } else {
            self.begun.insert(part, tree);
        }
        is_whole
    }

    /// Forgets the chunks of a part that is not whole; whether there were any.
    pub(super) fn forget(&mut self, part: PartIndex) -> bool {
        let Some(tree) = self.begun.remove(&part) else { return false };
        self.bytes -= tree.bytes();
        true
    }

    /// Tells a new machine what is held.
    pub(super) fn restore(&self, machine: &mut Receiver) {
        self.whole.keys().for_each(|&part| machine.handle_resumed_complete(part));
        for (&part, tree) in &self.begun {
            machine.handle_resumed(part, tree.clone());
        }
    }

    /// The chunks held, in part order. Of more ranges than fit a page the longest are named: what is
    /// not named comes again and is dropped.
    pub(super) fn runs(&self) -> Vec<PartRuns> {
        let whole = self.whole.iter().map(|(&part, &chunks)| (part, (0, chunks)));
        let begun = self
            .begun
            .iter()
            .flat_map(|(&part, tree)| tree.runs().map(move |run| (part, (run.start, run.end))));
        let mut runs: Vec<(PartIndex, (u64, u64))> = whole.chain(begun).collect();
        if runs.len() > PAGE_MAX {
            runs.sort_by_key(|&(_, (start, end))| std::cmp::Reverse(end - start));
            runs.truncate(PAGE_MAX);
        }
        runs.sort_unstable();
        let mut parts: Vec<PartRuns> = Vec::new();
        for (part, run) in runs {
            match parts.last_mut() {
                Some(last) if last.part == part => last.runs.push(run),
                _ => parts.push(PartRuns { part, runs: vec![run] }),
            }
        }
        parts
    }
}

/// Compares a part, once it is whole, with the digests the relay stated. Nothing may count as whole
/// before this: the machine compares only what was recorded already.
pub(super) fn check_if_whole(
    part: PartIndex,
    tree: &PartTree,
    info: &PartInfo,
) -> Result<(), Refusal> {
    let Some((found, crc32)) = tree.root(info.length) else { return Ok(()) };
    let error = match (info.digest, info.crc32) {
        (Some(stated), _) if stated != found => {
            ReceiveError::DigestMismatch { part, found, stated }
        }
        (_, Some(stated)) if stated != crc32 => {
            ReceiveError::CrcMismatch { part, found: crc32, stated }
        }
        _ => return Ok(()),
    };
    Err(error.refusal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::digest::{ChunkValue, Digest};
    use skyspray_wire::ids::{ChunkIndex, Epoch, JobId};
    use skyspray_wire::refusal::RefusalCode;

    fn size() -> ChunkSize {
        ChunkSize::try_new(1024).unwrap()
    }

    fn tree(chunks: &[u64]) -> PartTree {
        let mut tree = PartTree::new(size());
        for &chunk in chunks {
            let chunk = ChunkIndex(chunk);
            tree.insert(chunk, &ChunkValue::of(size(), chunk, &[7; 1024])).unwrap();
        }
        tree
    }

    fn part_runs(part: u32, runs: &[(u64, u64)]) -> PartRuns {
        PartRuns { part: PartIndex(part), runs: runs.to_vec() }
    }

    #[test]
    fn a_part_is_whole_when_all_its_bytes_are_held() {
        let mut state = ReadState::default();
        assert!(!state.note(PartIndex(1), tree(&[0]), 2048));
        assert_eq!(state.bytes(), 1024);

        assert!(state.note(PartIndex(1), tree(&[0, 1]), 2048));
        assert!(!state.note(PartIndex(0), tree(&[1, 3, 4]), 9000));

        assert_eq!(state.bytes(), 5 * 1024);
        assert_eq!(state.runs(), [part_runs(0, &[(1, 2), (3, 5)]), part_runs(1, &[(0, 2)])]);
    }

    #[test]
    fn a_whole_part_must_have_the_digest_and_the_crc_that_were_stated() {
        let info = |digest, crc32| PartInfo {
            length: 2048,
            digest,
            crc32,
            records: None,
            modified_ns: None,
            header: 0,
            footer: 0,
        };
        let (right, crc32) = tree(&[0, 1]).root(2048).unwrap();
        let check = |chunks: &[u64], info| {
            check_if_whole(PartIndex(0), &tree(chunks), &info).map_err(|refusal| refusal.code)
        };
        let wrong = Some(Digest::of(b"x"));

        assert_eq!(check(&[0, 1], info(Some(right), Some(crc32))), Ok(()));
        assert_eq!(check(&[0, 1], info(None, None)), Ok(()), "nothing was stated");
        assert_eq!(check(&[0, 1], info(wrong, None)), Err(RefusalCode::DigestMismatch));
        assert_eq!(
            check(&[0, 1], info(Some(right), Some(!crc32))),
            Err(RefusalCode::DigestMismatch)
        );
        assert_eq!(check(&[1], info(wrong, None)), Ok(()), "it is not whole");
    }

    #[test]
    fn what_is_forgotten_of_a_part_is_not_named_or_counted() {
        let mut state = ReadState::default();
        state.note(PartIndex(0), tree(&[0, 1]), 9000);
        state.note(PartIndex(1), tree(&[0, 1]), 2048);

        assert!(state.forget(PartIndex(0)));
        assert!(!state.forget(PartIndex(0)));
        assert!(!state.forget(PartIndex(1)), "a whole part stays");

        assert_eq!(state.bytes(), 2048);
        assert_eq!(state.runs(), [part_runs(1, &[(0, 2)])]);
    }

    #[test]
    fn a_machine_told_of_it_holds_the_same() {
        let mut state = ReadState::default();
        state.note(PartIndex(0), tree(&[0, 1]), 2048);
        state.note(PartIndex(2), tree(&[5]), 9000);
        let mut machine = Receiver::new(JobId([1; 16]), Epoch(1), size(), 3);

        state.restore(&mut machine);

        assert_eq!(machine.complete_parts().iter().collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!(machine.held().collect::<Vec<_>>(), [part_runs(2, &[(5, 6)])]);
    }

    #[test]
    fn of_too_many_ranges_the_longest_are_named() {
        let mut state = ReadState::default();
        for part in 0..PAGE_MAX as u32 {
            state.note(PartIndex(part), tree(&[0]), 1024);
        }
        state.note(PartIndex(9000), tree(&[0, 1, 2]), 3072);

        let runs = state.runs();
        assert_eq!(runs.len(), PAGE_MAX);
        assert_eq!(runs.last(), Some(&part_runs(9000, &[(0, 3)])));
        assert_eq!(runs[0], part_runs(0, &[(0, 1)]));
    }

    #[test]
    fn it_survives_the_journal_and_another_chunk_size_does_not_fit() {
        let mut state = ReadState::default();
        assert!(state.fits(ChunkSize::FILE_PLANE));
        state.note(PartIndex(2), tree(&[5]), 9000);

        let bytes = postcard::to_stdvec(&state).unwrap();
        assert_eq!(postcard::from_bytes::<ReadState>(&bytes).unwrap(), state);
        assert!(state.fits(size()));
        assert!(!state.fits(ChunkSize::FILE_PLANE));
    }
}
