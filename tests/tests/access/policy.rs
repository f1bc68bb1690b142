//! The relay's policy: agent × plane × operation × scope, deny by default.

use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_visible, assert_says, assert_stored};
use skyspray_tests::data::{random_file, sparse_file};
use skyspray_tests::http::Http;
use skyspray_tests::pair::{AGENT, Pair};
use std::fs;
use std::time::{Duration, Instant};

const FORBIDDEN: &str = "the policy does not allow this";

/// A pair whose edge has this rule alone.
fn allowed(rule: &str) -> Pair {
    let mut pair = Pair::prepare().expect("a pair can be made");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll(rule).expect("the edge enrolls");
    pair
}

#[test]
fn an_unknown_plane_is_refused() {
    let pair = Pair::start();
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    let output = pair.run(args!["spray", &source, "lake:t::file"]);

    // To an agent without a rule for it, a plane that is not there looks like one it may not use.
    assert_eq!(output.code, 4, "{output:#?}");
    let said = output.text();
    assert!(said.contains("there is no such plane") || said.contains(FORBIDDEN), "{said}");
}

#[test]
fn a_plane_that_is_not_there_is_named_to_an_agent_that_may_use_all() {
    let pair = allowed("push,pull,list:*");
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    let output = pair.run(args!["spray", &source, "lake:t::file"]);

    assert_says(&output, 4, "there is no such plane");
}

#[test]
fn a_scope_that_is_not_allowed_is_refused_and_its_neighbour_with_the_same_beginning_too() {
    let pair = allowed("push,pull,list:data:ingest::acme");
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    for target in ["data:other::file", "data:ingest::acme2::file", "data:ingest::file"] {
        assert_says(&pair.run(args!["spray", &source, target]), 4, FORBIDDEN);
    }
    assert_nothing_visible(&pair, "other::file");

    pair.done(args!["spray", &source, "data:ingest::acme::file"]);
    assert_stored(&pair, "ingest::acme::file", &source, 1);
}

#[test]
fn each_operation_needs_its_own_right() {
    let pair = allowed("push:data");
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();
    pair.done(args!["spray", &source, "data:t::file"]);

    let back = pair.edge.file("back.csv");
    assert_says(&pair.run(args!["despray", "data:t::file", &back]), 4, FORBIDDEN);
    assert_says(&pair.run(args!["list", "data:t"]), 4, FORBIDDEN);
    let again = args!["spray", &source, "data:t::file", "--overwrite"];
    assert_says(&pair.run(again), 4, FORBIDDEN);
    assert!(!back.exists());
}

/// The directory of a part is called by its number, as a scope may be.
#[test]
fn a_part_is_read_by_its_path_only_by_who_may_read_its_file() {
    let mut pair = Pair::prepare().expect("a pair can be made");
    pair.relay.listen_http("127.0.0.1:0");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list:data").expect("the edge enrolls");
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\nb\n").unwrap();
    pair.done(args!["spray", &source, "data:t::file", "--parts", "2"]);
    pair.done(args!["push", &source, "data:t/1/"]);
    let (part, pushed) = ("t/1/file._1_of_2", "t/1/a.csv");
    let status = |rule: &str, name: &str, path: &str| {
        let token = Some(pair.relay.add_api_token(name, rule));
        let http = Http { address: pair.relay.http_address(), token };
        http.get(&format!("/v1/planes/data/files/{path}"), &[]).status
    };
    let back = pair.edge.file("back");
    let pull = |path: &str| pair.run(args!["pull", &format!("data:{path}"), &back]);

    assert_eq!([status("pull:data", "a", part), status("pull:data:t", "b", part)], [200, 200]);
    assert_eq!(pull(part).code, 0);
    fs::remove_file(&back).unwrap();
    let rule = "pull,list:data:t::1";
    let narrowed = pair.relay.admin(args!["agent", "allow", AGENT, rule]).unwrap();
    assert_eq!(narrowed.code, 0, "{narrowed:#?}");

    assert_eq!(status("pull:data:t::1", "c", part), 403);
    assert_eq!(status("pull:data:t::1", "d", pushed), 200);
    assert_says(&pull(part), 4, FORBIDDEN);
    assert!(!back.exists());
    assert_eq!(pull(pushed).code, 0);
}

#[test]
fn a_revoked_agent_is_refused() {
    let pair = Pair::start();
    let revoked = pair.relay.admin(args!["agent", "revoke", AGENT]).unwrap();
    assert_eq!(revoked.code, 0, "{revoked:#?}");
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    let output = pair.run(args!["spray", &source, "data:t::file"]);

    assert_says(&output, 4, "this agent is not enrolled here or was revoked");
    assert_nothing_visible(&pair, "t::file");
}

#[test]
fn a_revocation_cuts_a_running_spray_within_seconds() {
    let pair = Pair::start();
    let source = pair.edge.file("zeros.bin");
    sparse_file(&source, 16 << 30).unwrap();
    let before = pair.relay.process().used().written_bytes;
    let mut running = pair.begin(pair.spray_bytes(&source, "t::file", 4));
    assert!(pair.wait_written(before, 4 << 20, &mut running), "the spray ended too early");

    let began = Instant::now();
    pair.relay.admin(args!["agent", "revoke", AGENT]).unwrap().done().unwrap();
    let output = running.finish_within(Duration::from_secs(10), &|| false).unwrap();

    assert_says(&output, 4, "revoked");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_nothing_visible(&pair, "t::file");
}

#[test]
fn rights_that_are_taken_away_during_a_spray_prevent_its_commit() {
    let pair = Pair::start();
    let source = pair.edge.file("source.bin");
    random_file(&source, 256 << 20, 81).unwrap();
    let before = pair.relay.process().used().written_bytes;
    let mut running = pair.begin(pair.spray_bytes(&source, "t::file", 4));
    assert!(pair.wait_written(before, 1 << 20, &mut running), "the spray ended too early");

    let narrowed = pair.relay.admin(args!["agent", "allow", AGENT, "list:data"]).unwrap();
    assert_eq!(narrowed.code, 0, "{narrowed:#?}");

    assert_says(&running.finish().unwrap(), 4, FORBIDDEN);
    assert_nothing_visible(&pair, "t::file");
}
