//! Verification, receipts and what the catalogue shows.

use skyspray_tests::args;
use skyspray_tests::check::{assert_says, stored_parts};
use skyspray_tests::data::random_file;
use skyspray_tests::pair::Pair;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// A pair that holds `t::file`, 5 MB in 3 parts, and the source.
fn sprayed() -> (Pair, PathBuf) {
    let pair = Pair::start();
    let source = pair.edge.file("source.bin");
    random_file(&source, 5_000_000, 21).expect("the source can be written");
    pair.done(pair.spray_bytes(&source, "t::file", 3));
    (pair, source)
}

#[test]
fn verification_finds_a_sound_file_sound_from_both_sides() {
    let (pair, source) = sprayed();

    pair.done(args!["verify", "data:t::file", &source]);
    let relay = pair.relay.admin(args!["file", "verify", "data:t::file"]).unwrap();

    assert_eq!(relay.code, 0, "{relay:#?}");
}

#[test]
fn the_relay_finds_one_flipped_bit_and_names_the_part() {
    let (pair, _) = sprayed();
    let part = &stored_parts(&pair.relay.plane, "t::file").unwrap()[1];
    let file = fs::File::options().read(true).write(true).open(part).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1_000_000).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 1_000_000).unwrap();

    let verified = pair.relay.admin(args!["file", "verify", "data:t::file"]).unwrap();

    assert_says(&verified, 6, "part 2");
}

#[test]
fn the_edge_finds_a_local_file_that_is_not_what_was_sent() {
    let (pair, source) = sprayed();
    let file = fs::File::options().write(true).open(&source).unwrap();
    file.write_all_at(b"other bytes", 4_000_000).unwrap();

    let verified = pair.run(args!["verify", "data:t::file", &source]);

    assert_eq!(verified.code, 6, "{verified:#?}");
}

#[test]
fn a_damaged_part_is_not_exported() {
    let (pair, _) = sprayed();
    let part = &stored_parts(&pair.relay.plane, "t::file").unwrap()[0];
    let file = fs::File::options().write(true).open(part).unwrap();
    file.write_all_at(b"damaged", 77).unwrap();
    let back = pair.edge.file("back.bin");

    let exported = pair.run(args!["despray", "data:t::file", &back]);

    assert_eq!(exported.code, 6, "{exported:#?}");
    assert!(!back.exists(), "a damaged file appeared in the landing zone");
}

#[test]
fn a_receipt_is_checked_without_a_relay_and_a_changed_one_is_refused() {
    let (mut pair, _) = sprayed();
    pair.relay.stop().unwrap();
    let [receipt] = &pair.edge.receipts()[..] else { panic!("not one receipt") };

    let good = pair.run(args!["receipt", "check", receipt]);
    assert_eq!(good.code, 0, "{good:#?}");
    assert!(good.text().contains("t::file"), "{good:#?}");

    let text = fs::read_to_string(receipt).unwrap();
    let changed = text.replacen("t::file", "t::life", 1);
    assert_ne!(changed, text, "the receipt does not name what it is about");
    fs::write(receipt, changed).unwrap();
    let bad = pair.run(args!["receipt", "check", receipt]);
    assert_eq!(bad.code, 6, "{bad:#?}");
}

#[test]
fn list_and_describe_show_what_was_committed() {
    let (pair, _) = sprayed();

    let listed = pair.done(args!["list", "data:t"]);
    assert!(listed.text().contains("t::file"), "{listed:#?}");
    let described = pair.done(args!["describe", "data:t::file"]);
    assert!(described.text().contains("5000000"), "{described:#?}");
    let missing = pair.run(args!["describe", "data:t::nothing"]);
    assert_says(&missing, 3, "it does not exist");
}

#[test]
fn a_removed_file_is_gone_from_the_catalogue_and_the_plane() {
    let (pair, _) = sprayed();

    let removed = pair.relay.admin(args!["file", "remove", "data:t::file"]).unwrap();

    assert_eq!(removed.code, 0, "{removed:#?}");
    skyspray_tests::check::assert_nothing_visible(&pair, "t::file");
}

#[test]
fn the_audit_trail_is_whole_after_work() {
    let (pair, _) = sprayed();

    let verified = pair.relay.admin(args!["audit", "verify"]).unwrap();

    assert_eq!(verified.code, 0, "{verified:#?}");
}

#[test]
fn the_relay_drains_on_sigterm_and_ends_with_0() {
    let (mut pair, source) = sprayed();

    assert_eq!(pair.relay.stop().unwrap(), 0, "{}", pair.relay.log_tail());

    pair.relay.serve().unwrap();
    skyspray_tests::check::assert_returns(&pair, "t::file", &source);
}
