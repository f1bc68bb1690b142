//! Which failure is told as what.

use super::*;
use skyspray_wire::refusal::RefusalCode;
use std::net::SocketAddr;

fn address() -> RelayAddress {
    RelayAddress::parse("relay.test:4433").unwrap()
}

fn dialled(source: SessionError) -> ConnectError {
    let address_found: SocketAddr = "10.0.0.1:4433".parse().unwrap();
    handshake_fault(&address(), EndpointError::Handshake { address: address_found, source })
}

fn handshake(reason: &str) -> SessionError {
    SessionError::Handshake { reason: reason.to_owned() }
}

fn told(error: &ConnectError) -> (Exit, String) {
    (error.exit(), error.code().into_owned())
}

#[test]
fn silence_is_told_with_the_port_to_open() {
    let peer = "10.0.0.1:4433".parse().unwrap();
    let error = handshake_fault(&address(), EndpointError::Unreachable { address: peer });

    assert_eq!(error.to_string(), "no answer over UDP from relay relay.test:4433 within 8 s");
    assert_eq!(told(&error), (Exit::Temporary, "relay-unreachable".into()));
    assert_eq!(
        error.advice().unwrap(),
        "check that the relay runs and that UDP port 4433 is open from here to it"
    );
    assert!(error.is_passing());
}

#[test]
fn a_relay_this_edge_does_not_believe_is_final() {
    let error = dialled(handshake("the cryptographic handshake failed: error 48: UnknownIssuer"));

    assert_eq!(told(&error), (Exit::Refused, "relay-not-trusted".into()));
    assert!(!error.is_passing());
}

#[test]
fn a_relay_that_breaks_the_handshake_off_may_be_tried_again() {
    let error =
        dialled(handshake("aborted by peer: the server refused to accept a new connection"));

    assert_eq!(told(&error), (Exit::Temporary, "relay-turned-away".into()));
}

#[test]
fn an_end_before_the_welcome_means_that_the_edge_was_not_accepted() {
    for source in [
        handshake("aborted by peer: the cryptographic handshake failed: error 45"),
        SessionError::Closed(CloseCode::Revoked),
        SessionError::Closed(CloseCode::Refused),
    ] {
        let error = greeting_fault(&address(), source.into());
        assert_eq!(told(&error), (Exit::Refused, "not-accepted".into()));
    }
    for source in [
        SessionError::Closed(CloseCode::Draining),
        SessionError::Lost { reason: "timed out".into() },
        SessionError::Silent { seconds: 5 },
    ] {
        let error = greeting_fault(&address(), source.into());
        assert_eq!(told(&error), (Exit::Temporary, "relay-turned-away".into()));
    }
}

#[test]
fn a_refusal_keeps_its_number_and_says_itself_whether_it_passes() {
    let refused = |code| greeting_fault(&address(), Refusal::new(code, "").into());

    let final_one = refused(RefusalCode::VersionUnsupported);
    assert_eq!(told(&final_one), (Exit::Refused, "refused-101".into()));
    assert!(!final_one.is_passing());
    assert!(refused(RefusalCode::SessionsExceeded).is_passing());
}

#[test]
fn giving_up_tells_what_the_last_attempt_would_have_advised() {
    let last = Box::new(ConnectError::Unreachable { address: address() });
    let error = ConnectError::GaveUp { seconds: 60, source: last };

    assert_eq!(error.to_string(), "no session for 60 s");
    assert_eq!(
        error.advice().unwrap(),
        "check that the relay runs and that UDP port 4433 is open from here to it; \
         the same command goes on where this one stopped"
    );
    assert!(!error.is_passing());
}

#[test]
fn a_session_cut_for_a_revoked_agent_is_final_and_other_ends_are_not() {
    assert_eq!(SessionError::Closed(CloseCode::Revoked).exit(), Exit::Refused);
    assert_eq!(SessionError::Closed(CloseCode::Draining).exit(), Exit::Temporary);
    assert_eq!(SessionError::StreamEnded.exit(), Exit::Temporary);
    let unexpected = RequestError::Unexpected;
    assert_eq!((unexpected.exit(), &*unexpected.code()), (Exit::Internal, "protocol"));
}
