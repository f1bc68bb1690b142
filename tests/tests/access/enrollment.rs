//! Tokens: single use, short life, one relay.

use skyspray_tests::check::assert_says;
use skyspray_tests::edge::Edge;
use skyspray_tests::pair::Pair;
use skyspray_tests::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const REJECTED: &str = "the enrollment token is unknown, expired or already used";

#[test]
fn a_token_enrolls_once() {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.serve().unwrap();
    let token = pair.relay.add_agent("metal-1", &["--allow", "push:data"]).unwrap();
    let first = pair.edge.enroll(&token, &[]).unwrap();
    assert_eq!(first.code, 0, "{first:#?}");

    let thief = Edge::new(pair.root.path(), "thief").unwrap();
    let second = thief.enroll(&token, &[]).unwrap();

    assert_says(&second, 4, REJECTED);
    let first = pair.run(skyspray_tests::args!["list", "data"]);
    assert_says(&first, 4, "the policy does not allow this");
}

#[test]
fn an_expired_token_is_refused() {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.serve().unwrap();
    let token = pair.relay.add_agent("metal-1", &["--ttl", "1s"]).unwrap();
    wait::pass(Duration::from_millis(1500));

    let output = pair.edge.enroll(&token, &[]).unwrap();

    assert_says(&output, 4, REJECTED);
}

#[test]
fn a_token_of_another_relay_is_not_sent_to_this_one() {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.serve().unwrap();
    let token = pair.relay.add_agent("metal-1", &[]).unwrap();
    // Another relay on the same ports: the token leads to it, but its authority is not the one
    // that the token pins.
    let mut impostor = Pair::prepare().unwrap();
    let settings = fs::read_to_string(pair.relay.dir.join("relay.toml")).unwrap();
    pair.relay.stop().unwrap();
    let plane = pair.relay.plane.display().to_string();
    let settings = settings.replace(&plane, &impostor.relay.plane.display().to_string());
    fs::write(impostor.relay.dir.join("relay.toml"), settings).unwrap();
    impostor.relay.serve().unwrap();

    let output = pair.edge.enroll(&token, &[]).unwrap();

    assert_eq!(output.code, 4, "{output:#?}");
}

#[test]
fn a_damaged_token_is_refused_before_anything_is_sent() {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.serve().unwrap();
    let token = pair.relay.add_agent("metal-1", &[]).unwrap();
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let mut damaged = token.clone();
    damaged.replace_range(middle..=middle, other);

    let output = pair.edge.enroll(&damaged, &[]).unwrap();

    assert_says(&output, 2, "token is damaged: copy the whole line again");
    assert_eq!(pair.edge.enroll(&token, &[]).unwrap().code, 0);
}

#[test]
fn the_keys_of_an_edge_are_closed_to_others_and_refused_when_they_are_not() {
    let pair = Pair::start();
    let identity = skyspray_tests::check::files_below(&pair.edge.dir)
        .unwrap()
        .into_iter()
        .find(|path| path.ends_with("identity.toml"))
        .map(|path| pair.edge.dir.join(path))
        .expect("an enrolled edge has an identity");
    let mode = fs::metadata(&identity).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).unwrap();
    let output = pair.run(skyspray_tests::args!["list", "data"]);

    assert_ne!(output.code, 0, "{output:#?}");
    assert!(output.text().contains("has mode 0644, expected 0600 or stricter"), "{output:#?}");
}
