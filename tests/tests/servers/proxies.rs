//! nginx: the TLS front of an STS, the Google-like front, the UDP load balancer.

use skyspray_tests::server::ca::TestCa;
use skyspray_tests::server::ministack::Ministack;
use skyspray_tests::server::nginx::{Balance, HttpProxy, Spread, UdpBalancer};
use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::Duration;

fn gone(id: u32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn an_sts_behind_tls_takes_a_web_identity() {
    let ca = TestCa::new().unwrap();
    let server = Ministack::start().unwrap();
    let sts = HttpProxy::tls(&ca, server.port(), "sts.us-east-1.amazonaws.com").unwrap();
    assert!(sts.url().starts_with("https://127.0.0.1:"));
    let target = "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=s\
                  &RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Frelay&WebIdentityToken=token";
    let answer = sts.request(("POST", target), &[], b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("<SessionToken>"), "{}", answer.text());
    let id = sts.id();
    drop(sts);
    assert!(gone(id));
}

#[test]
fn a_google_like_front_creates_once() {
    let server = Ministack::start().unwrap();
    server.s3().create_bucket("plane").unwrap();
    let google = HttpProxy::google(server.port()).unwrap();
    let bearer = ("Authorization", "Bearer token");
    let create = [bearer, ("x-goog-if-generation-match", "0")];
    let first = google.request(("PUT", "/plane/k"), &create, b"first").unwrap();
    assert_eq!(first.status, 200, "{}", first.text());
    let second = google.request(("PUT", "/plane/k"), &create, b"second").unwrap();
    assert_eq!(second.status, 412, "{}", second.text());
    let stored = google.request(("GET", "/plane/k"), &[bearer], b"").unwrap();
    assert_eq!(stored.text(), "first");
}

/// A target that answers each packet with its own name.
fn target(name: u8) -> std::net::SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback can be used");
    let address = socket.local_addr().expect("loopback can be used");
    thread::spawn(move || {
        let mut packet = [0; 16];
        while let Ok((_, client)) = socket.recv_from(&mut packet) {
            socket.send_to(&[name], client).expect("loopback can be used");
        }
    });
    address
}

#[test]
fn a_udp_client_stays_with_its_target_and_others_go_elsewhere() {
    let targets = [target(1), target(2), target(3)];
    let balance = Balance {
        spread: Spread::AddressAndPort,
        idle: Duration::from_secs(60),
        avoid: Duration::from_secs(60),
    };
    let balancer = UdpBalancer::start(&targets, balance).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let ask = || {
            let mut answer = [0];
            client.send_to(b"?", balancer.address()).unwrap();
            client.recv(&mut answer).unwrap();
            answer[0]
        };
        let first = ask();
        assert_eq!(ask(), first);
        seen.insert(first);
    }
    assert_eq!(seen, BTreeSet::from([1, 2, 3]));
    let (id, dir) = (balancer.id(), balancer.dir().to_owned());
    drop(balancer);
    assert!(gone(id));
    assert!(!dir.exists());
}
