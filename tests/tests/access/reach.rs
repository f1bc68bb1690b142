//! Relays that cannot be reached.

use skyspray_tests::args;
use skyspray_tests::check::assert_says;
use skyspray_tests::pair::Pair;
use skyspray_tests::server::udp_switch::UdpSwitch;
use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

#[test]
fn blocked_udp_is_said_within_ten_seconds() {
    let pair = Pair::start();
    // Takes every packet and answers none, as a firewall that drops does.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    pair.edge.configure("addresses", &format!("[\"{address}\"]"));
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    let output = pair.run(args!["spray", &source, "data:t::file"]);

    assert_says(&output, 5, &format!("no answer over UDP from relay {address} within 8 s"));
    assert!(output.took < Duration::from_secs(10), "said after {:?}", output.took);
}

#[test]
fn a_relay_that_is_down_is_said_within_ten_seconds_and_the_command_can_be_repeated() {
    let mut pair = Pair::start();
    pair.relay.kill();
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();
    let command = args!["spray", &source, "data:t::file"];

    let output = pair.run(command.clone());
    assert_eq!(output.code, 5, "{output:#?}");
    assert!(output.took < Duration::from_secs(10), "said after {:?}", output.took);

    pair.relay.serve().unwrap();
    pair.done(command);
}

/// A balancer has given the first dial to a relay that is gone, and gives the next one, from another
/// port, to one that is there.
#[test]
fn a_dial_that_is_lost_gets_company_from_another_port() {
    let pair = Pair::start();
    let relay = pair.relay.listeners().data.parse().expect("an address and a port");
    let switch = UdpSwitch::start(relay);
    switch.lose_clients(1);
    pair.edge.configure("addresses", &format!("[\"{}\"]", switch.address()));
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    let output = pair.done(args!["spray", &source, "data:t::file"]);

    assert!(output.took < Duration::from_secs(6), "done after {:?}", output.took);
}
