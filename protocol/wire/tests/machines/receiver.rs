//! Every way a sender can be wrong, with the exact error and refusal.

use skyspray_wire::chunk::{ChunkHeader, ChunkHeaderError, Encoding};
use skyspray_wire::digest::{ChunkValue, Digest, PartTree, TreeError};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use skyspray_wire::message::{Ack, PartInfo, PartRuns, PartSeal};
use skyspray_wire::receiver::{Admission, Effect, ReceiveError, Receiver};
use skyspray_wire::refusal::{RefusalCode, Remedy};

const PART: PartIndex = PartIndex(1);
const BODY: [u8; 1024] = [5; 1024];

fn size() -> ChunkSize {
    ChunkSize::try_new(1024).unwrap()
}

fn receiver() -> Receiver {
    Receiver::new(JobId([1; 16]), Epoch(3), size(), 2)
}

fn header(chunk: u64, length: u32) -> ChunkHeader {
    ChunkHeader {
        job: JobId([1; 16]),
        epoch: Epoch(3),
        part: PART,
        offset: chunk * 1024,
        raw_length: length,
        wire_length: length,
        encoding: Encoding::Raw,
        subtree: [0; 32],
    }
}

fn seal(length: u64, body: &[u8]) -> PartSeal {
    let (digest, crc32) = (Digest::of(body), crc32fast::hash(body));
    PartSeal { part: PART, length, digest, crc32, records: None, header: 0, footer: 0 }
}

/// Admits and stores a chunk of `PART` filled like [`BODY`].
fn store(receiver: &mut Receiver, chunk: u64, length: u32) {
    let index = ChunkIndex(chunk);
    assert_eq!(receiver.handle_header(&header(chunk, length)), Ok(Admission::Write(index)));
    let value = ChunkValue::of(size(), index, &BODY[..length as usize]);
    receiver.handle_stored(PART, index, value);
}

fn sync(receiver: &mut Receiver) {
    assert_eq!(receiver.begin_sync(), [PART]);
    receiver.handle_durable().unwrap();
    receiver.handle_recorded().unwrap();
}

fn effects(receiver: &mut Receiver) -> Vec<Effect> {
    std::iter::from_fn(|| receiver.poll_effect()).collect()
}

fn ack(chunk: u64) -> Effect {
    Effect::Ack(Ack { part: PART, chunk: ChunkIndex(chunk) })
}

fn assert_refused(error: &ReceiveError, code: RefusalCode, detail: &str) {
    let refusal = error.refusal();
    assert_eq!((refusal.code, refusal.detail.as_str()), (code, detail));
}

#[test]
fn a_chunk_is_acknowledged_when_it_is_recorded_and_not_before() {
    let mut receiver = receiver();
    store(&mut receiver, 0, 1024);
    assert_eq!(receiver.handle_header(&header(0, 1024)), Ok(Admission::Arriving));
    assert_eq!(receiver.begin_sync(), [PART]);
    store(&mut receiver, 1, 1024);
    assert_eq!(effects(&mut receiver), []);

    let changed = receiver.handle_durable().unwrap();

    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].1.runs().next(), Some(0..1));
    assert_eq!(changed[0].1.bytes(), 1024);
    assert_eq!(effects(&mut receiver), []);
    assert_eq!(receiver.handle_header(&header(0, 1024)), Ok(Admission::Arriving));

    receiver.handle_recorded().unwrap();

    assert_eq!(effects(&mut receiver), [ack(0)]);
    assert_eq!(receiver.handle_header(&header(0, 1024)), Ok(Admission::Durable(ChunkIndex(0))));
    assert_eq!(receiver.handle_header(&header(1, 1024)), Ok(Admission::Arriving));
    let runs = vec![(0, 1)];
    assert_eq!(receiver.held().collect::<Vec<_>>(), [PartRuns { part: PART, runs }]);
}

#[test]
fn a_failed_sync_or_a_dropped_body_makes_chunks_wanted_again() {
    let mut receiver = receiver();
    store(&mut receiver, 0, 1024);
    assert_eq!(receiver.begin_sync(), [PART]);
    receiver.handle_sync_failed();

    assert_eq!(receiver.handle_durable(), Ok(vec![]));
    assert_eq!(receiver.handle_header(&header(0, 1024)), Ok(Admission::Write(ChunkIndex(0))));
    receiver.handle_dropped(PART, ChunkIndex(0));
    assert_eq!(receiver.handle_header(&header(0, 1024)), Ok(Admission::Write(ChunkIndex(0))));
    assert_eq!(receiver.begin_sync(), []);
    assert_eq!(effects(&mut receiver), []);
}

#[test]
fn a_part_is_complete_when_sealed_and_whole_in_either_order() {
    let mut before = receiver();
    assert_eq!(before.handle_seal(&seal(100, &BODY[..100])), Ok(false));
    let incomplete = ReceiveError::Incomplete { part: PART, length: 100, durable: 0 };
    assert_eq!(before.incomplete(PART), Some(incomplete));
    store(&mut before, 0, 100);
    sync(&mut before);
    assert_eq!(effects(&mut before), [ack(0), Effect::PartComplete(PART)]);
    assert_eq!(before.incomplete(PART), None);

    let mut after = receiver();
    store(&mut after, 0, 100);
    sync(&mut after);
    assert_eq!(after.incomplete(PART), None);
    assert_eq!(after.handle_seal(&seal(100, &BODY[..100])), Ok(true));
    assert_eq!(effects(&mut after), [ack(0), Effect::PartComplete(PART)]);
    assert_eq!(after.handle_seal(&seal(100, &BODY[..100])), Ok(true));
    assert_eq!(effects(&mut after), []);
    assert_eq!(after.handle_header(&header(0, 100)), Ok(Admission::Durable(ChunkIndex(0))));
    assert_eq!(after.held().count(), 0);
}

#[test]
fn an_announced_part_needs_only_the_digests_that_are_known() {
    let info = |digest| PartInfo {
        length: 100,
        digest,
        crc32: None,
        records: None,
        modified_ns: None,
        header: 0,
        footer: 0,
    };
    let mut receiver = receiver();
    assert_eq!(
        receiver.handle_announced(PartIndex(0), &PartInfo { length: 0, ..info(None) }),
        Ok(true)
    );
    assert_eq!(receiver.handle_announced(PART, &info(None)), Ok(false));
    store(&mut receiver, 0, 100);
    sync(&mut receiver);

    assert_eq!(
        effects(&mut receiver),
        [Effect::PartComplete(PartIndex(0)), ack(0), Effect::PartComplete(PART)]
    );
    assert_eq!(receiver.handle_commit(2), Ok(()));
    assert_eq!(effects(&mut receiver), [Effect::Commit]);
    assert_eq!(receiver.handle_commit(2), Ok(()));
    assert_eq!(effects(&mut receiver), []);
}

#[test]
fn another_epoch_is_refused_whether_older_or_newer() {
    for found in [2, 4] {
        let header = ChunkHeader { epoch: Epoch(found), ..header(0, 1024) };
        let error = receiver().handle_header(&header).unwrap_err();

        assert_eq!(error, ReceiveError::StaleEpoch { found, current: 3 });
        let detail = format!("chunk of epoch {found}, the lease is at epoch 3");
        assert_refused(&error, RefusalCode::EpochStale, &detail);
    }
}

#[test]
fn a_part_the_job_does_not_have_is_refused() {
    let part = PartIndex(2);
    let unknown = ReceiveError::UnknownPart { part, parts: 2 };
    let header = ChunkHeader { part, ..header(0, 1024) };
    let mut receiver = receiver();

    assert_eq!(receiver.handle_header(&header), Err(unknown.clone()));
    assert_eq!(receiver.handle_seal(&PartSeal { part, ..seal(0, b"") }), Err(unknown.clone()));
    assert_refused(&unknown, RefusalCode::Malformed, "part 3 of a job of 2 parts");

    receiver.handle_parts(3);
    receiver.handle_parts(1);
    assert_eq!(receiver.handle_header(&header), Ok(Admission::Write(ChunkIndex(0))));
}

#[test]
fn a_part_sealed_with_more_header_and_footer_than_bytes_is_refused() {
    let sealed = |header, footer| PartSeal { header, footer, ..seal(100, &BODY[..100]) };
    let mut receiver = receiver();

    let error = receiver.handle_seal(&sealed(u32::MAX, 1)).unwrap_err();
    let detail = "part 2 of 100 bytes has a header of 4294967295 and a footer of 1";
    assert_refused(&error, RefusalCode::Malformed, detail);
    let (part, length) = (seal(100, &BODY[..100]).part, 100);
    assert_eq!(
        receiver.handle_seal(&sealed(60, 41)),
        Err(ReceiveError::NoRoom { part, header: 60, footer: 41, length })
    );
    // The chunk is still to come.
    assert_eq!(receiver.handle_seal(&sealed(60, 40)), Ok(false));
}

#[test]
fn a_header_that_fits_no_chunk_of_the_job_is_refused() {
    let unaligned = ChunkHeader { offset: 1000, ..header(0, 1024) };
    let source = ChunkHeaderError::Offset { offset: 1000, size: 1024 };
    let error = receiver().handle_header(&unaligned).unwrap_err();
    assert_eq!(error, ReceiveError::Header { part: PART, source });
    assert_refused(&error, RefusalCode::Malformed, "chunk of part 2");

    let source = ChunkHeaderError::Length { raw: 1025, wire: 1025 };
    let error = receiver().handle_header(&header(0, 1025)).unwrap_err();
    assert_eq!(error, ReceiveError::Header { part: PART, source });
}

#[test]
fn a_chunk_that_is_no_slice_of_a_sealed_part_is_refused() {
    // A part of 2048 bytes has two full chunks and nothing else.
    for (chunk, chunk_length) in [(2, 1), (1, 1023), (0, 1), (1 << 40, 1024)] {
        let mut receiver = receiver();
        assert_eq!(receiver.handle_seal(&seal(2048, b"")), Ok(false));

        let error = receiver.handle_header(&header(chunk, chunk_length)).unwrap_err();

        let (part, offset) = (PART, chunk * 1024);
        assert_eq!(error, ReceiveError::BeyondEnd { part, offset, chunk_length, length: 2048 });
        let detail =
            format!("chunk of {chunk_length} bytes at {offset} in part 2, which has 2048 bytes");
        assert_refused(&error, RefusalCode::Malformed, &detail);
    }
}

#[test]
fn a_seal_that_chunks_on_their_way_contradict_is_refused_and_they_may_still_end() {
    let (part, chunk_length) = (PART, 1024);
    for stored in [false, true] {
        let mut receiver = receiver();
        if stored {
            store(&mut receiver, 3, 1024);
        } else {
            receiver.handle_header(&header(3, 1024)).unwrap();
        }

        let error = receiver.handle_seal(&seal(0, b"")).unwrap_err();

        assert_eq!(error, ReceiveError::BeyondEnd { part, offset: 3072, chunk_length, length: 0 });
        if !stored {
            let value = ChunkValue::of(size(), ChunkIndex(3), &BODY);
            receiver.handle_stored(PART, ChunkIndex(3), value);
        }
        sync(&mut receiver);
        assert_eq!(effects(&mut receiver), [ack(3)]);
    }
}

#[test]
fn a_seal_that_durable_chunks_contradict_is_refused() {
    for (length, expected) in [(0, 0), (1024, 0), (1025, 1), (2047, 1023)] {
        let mut receiver = receiver();
        store(&mut receiver, 1, 1024);
        sync(&mut receiver);

        let error = receiver.handle_seal(&seal(length, b"")).unwrap_err();

        let source = TreeError::Length { chunk: ChunkIndex(1), found: 1024, expected };
        assert_eq!(error, ReceiveError::Misfit { part: PART, source });
        assert_refused(&error, RefusalCode::Malformed, "part 2");
    }
}

#[test]
fn a_short_chunk_inside_a_part_is_refused_and_nothing_of_the_sync_is_acknowledged() {
    let mut receiver = receiver();
    store(&mut receiver, 0, 1024);
    store(&mut receiver, 1, 1000);
    store(&mut receiver, 2, 1024);
    assert_eq!(receiver.begin_sync(), [PART]);

    let error = receiver.handle_durable().unwrap_err();

    let source = TreeError::ShortInside { chunk: ChunkIndex(1), length: 24 };
    assert_eq!(error, ReceiveError::Misfit { part: PART, source });
    assert_refused(&error, RefusalCode::Malformed, "part 2");
    assert_eq!(effects(&mut receiver), []);
}

#[test]
fn a_wrong_digest_is_refused_at_the_seal_and_at_the_sync() {
    let (found, stated) = (Digest::of(&BODY[..100]), Digest::of(b"other"));
    let wrong = PartSeal { digest: stated, ..seal(100, &BODY[..100]) };
    let expected = ReceiveError::DigestMismatch { part: PART, found, stated };

    let mut at_seal = receiver();
    store(&mut at_seal, 0, 100);
    sync(&mut at_seal);
    assert_eq!(at_seal.handle_seal(&wrong), Err(expected.clone()));
    assert_eq!(effects(&mut at_seal), [ack(0)]);

    let mut at_sync = receiver();
    assert_eq!(at_sync.handle_seal(&wrong), Ok(false));
    store(&mut at_sync, 0, 100);
    assert_eq!(at_sync.begin_sync(), [PART]);
    assert_eq!(at_sync.handle_durable().map(|changed| changed.len()), Ok(1));
    assert_eq!(at_sync.handle_recorded(), Err(expected.clone()));
    assert_eq!(effects(&mut at_sync), []);

    let detail = format!("part 2 has digest {found}, {stated} was stated");
    assert_refused(&expected, RefusalCode::DigestMismatch, &detail);
    assert_eq!(expected.refusal().code.remedy(), Remedy::Report);
}

#[test]
fn a_wrong_crc_is_refused_although_the_digest_is_right() {
    let found = crc32fast::hash(&BODY[..100]);
    let mut receiver = receiver();
    store(&mut receiver, 0, 100);
    sync(&mut receiver);

    let error =
        receiver.handle_seal(&PartSeal { crc32: 7, ..seal(100, &BODY[..100]) }).unwrap_err();

    assert_eq!(error, ReceiveError::CrcMismatch { part: PART, found, stated: 7 });
    let detail = format!("part 2 has CRC-32 {found:08x}, 00000007 was stated");
    assert_refused(&error, RefusalCode::DigestMismatch, &detail);
}

#[test]
fn a_commit_needs_every_part_and_the_right_number() {
    let mut receiver = receiver();
    assert_eq!(receiver.handle_seal(&seal(0, b"")), Ok(true));
    for (stated, complete) in [(2, 1), (1, 1), (3, 1)] {
        let error = receiver.handle_commit(stated).unwrap_err();

        assert_eq!(error, ReceiveError::PartsMissing { stated, complete, parts: 2 });
        let detail = format!("commit of {stated} parts, 1 of 2 are complete");
        assert_refused(&error, RefusalCode::Incomplete, &detail);
    }
    assert_eq!(effects(&mut receiver), [Effect::PartComplete(PART)]);
}

#[test]
fn a_job_waits_for_chunks_only_of_parts_that_are_sealed() {
    let mut receiver = receiver();
    let missing = |stated, complete| Err(ReceiveError::PartsMissing { stated, complete, parts: 2 });
    assert_eq!(receiver.handle_seal(&seal(1024, &BODY)), Ok(false));
    assert_eq!(receiver.awaits_chunks(2), missing(2, 0), "part 1 is not sealed");
    let empty = PartSeal { part: PartIndex(0), ..seal(0, b"") };
    assert_eq!(receiver.handle_seal(&empty), Ok(true));

    assert_eq!(receiver.awaits_chunks(2), Ok(true));
    assert_eq!(receiver.awaits_chunks(3), missing(3, 1));
    store(&mut receiver, 0, 1024);
    assert_eq!(receiver.awaits_chunks(2), Ok(true), "stored is not durable");
    sync(&mut receiver);
    assert_eq!(receiver.awaits_chunks(2), Ok(false));
}

#[test]
fn a_damaged_body_and_a_missing_one_are_worth_another_try() {
    let corrupt = ReceiveError::Corrupt { part: PART, chunk: ChunkIndex(4) };
    let detail = "chunk 4 of part 2 does not have the digest of its header";
    assert_refused(&corrupt, RefusalCode::ChunkCorrupt, detail);
    assert_eq!(corrupt.refusal().code.remedy(), Remedy::Retry);

    let incomplete = ReceiveError::Incomplete { part: PART, length: 9, durable: 1 };
    let detail = "part 2 sealed with 9 bytes, 1 are durable";
    assert_refused(&incomplete, RefusalCode::Incomplete, detail);
    assert_eq!(incomplete.refusal().code.remedy(), Remedy::Retry);
}

#[test]
fn a_resumed_part_goes_on_where_it_was() {
    let mut tree = PartTree::new(size());
    tree.insert(ChunkIndex(0), &ChunkValue::of(size(), ChunkIndex(0), &BODY)).unwrap();
    let mut receiver = Receiver::new(JobId([1; 16]), Epoch(4), size(), 0);
    receiver.handle_resumed(PART, tree);
    receiver.handle_resumed_complete(PartIndex(0));
    let header = |chunk, length| ChunkHeader { epoch: Epoch(4), ..header(chunk, length) };

    assert_eq!(receiver.handle_header(&header(0, 1024)), Ok(Admission::Durable(ChunkIndex(0))));
    assert_eq!(receiver.handle_header(&header(1, 9)), Ok(Admission::Write(ChunkIndex(1))));
    assert_eq!(receiver.complete_parts().iter().collect::<Vec<_>>(), [(0, 1)]);
    let body = ChunkValue::of(size(), ChunkIndex(1), &BODY[..9]);
    receiver.handle_stored(PART, ChunkIndex(1), body);
    sync(&mut receiver);
    assert_eq!(receiver.handle_seal(&seal(1033, &[5; 1033])), Ok(true));
    assert_eq!(receiver.handle_commit(2), Ok(()));
}

#[test]
#[should_panic(expected = "only admitted chunks are stored")]
fn storing_what_was_not_admitted_is_a_bug_of_the_driver() {
    let value = ChunkValue::of(size(), ChunkIndex(0), &BODY);
    receiver().handle_stored(PART, ChunkIndex(0), value);
}
