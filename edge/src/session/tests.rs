//! An edge and a relay that only knows identities, over UDP on this host, on a clock that the test
//! moves.

mod relay;

use super::*;
use crate::cli::EnrollArgs;
use crate::context::Context;
use crate::enroll::{EnrollError, enroll};
use crate::exit::{Exit, Explain as _};
use crate::output::{Manner, ProgressMode, Reporter};
use crate::stop;
use relay::FakeRelay;
use skyspray_certs::IdentityGeneration;
use skyspray_link::seam::{ManualClock, SystemRandom};
use skyspray_wire::ids::JobId;
use skyspray_wire::refusal::RefusalCode;
use std::io::{self, Write};

const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct Edge {
    root: tempfile::TempDir,
    directories: Directories,
    clock: Arc<ManualClock>,
}

impl Edge {
    fn new(clock: &Arc<ManualClock>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::locate(Some(&root.path().join("edge")));
        Self { root, directories, clock: Arc::clone(clock) }
    }

    fn host(&self) -> Host {
        Host {
            clock: self.clock.clone(),
            random: Arc::new(SystemRandom),
            sockets: SocketFactory::system(),
            cwd: self.root.path().to_owned(),
            stop: stop::channel().1,
        }
    }

    async fn enroll(&self, token: &str) -> Result<Exit, EnrollError> {
        let token_file = self.root.path().join("token");
        std::fs::write(&token_file, token).unwrap();
        let args = EnrollArgs { token_file, landing_zones: Vec::new(), force: false };
        enroll(&args, &self.directories, &self.host(), &silent()).await
    }

    pub(crate) fn connector(&self) -> Connector {
        let config = EdgeConfig::load(&self.directories).unwrap();
        Connector::open(&self.directories, &config, &self.host()).unwrap()
    }

    pub(crate) fn context(&self) -> Context {
        Context::open(self.directories.clone(), silent(), self.host())
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn stored_generation(&self) -> IdentityGeneration {
        EdgeStore::open(&self.directories.identity()).unwrap().load().unwrap().generation
    }
}

fn silent() -> Reporter {
    let nowhere: (Box<dyn Write + Send>, Box<dyn Write + Send>) =
        (Box::new(io::sink()), Box::new(io::sink()));
    Reporter::with_streams(Manner::default(), ProgressMode::None, nowhere)
}

/// A relay and an edge that is enrolled there.
pub(crate) async fn enrolled() -> (FakeRelay, Edge) {
    let relay = FakeRelay::start();
    let edge = Edge::new(&relay.clock);
    edge.enroll(&relay.token()).await.unwrap();
    (relay, edge)
}

#[tokio::test]
async fn an_edge_enrolls_once_and_is_welcomed_under_its_name() {
    let (relay, edge) = enrolled().await;

    assert!(!edge.root.path().join("token").exists(), "a used token is removed");
    let session = edge.connector().connect().await.unwrap();
    assert_eq!(session.welcome().agent.as_str(), "edge-1");
    assert!(session.skew_ms().abs() <= 1000, "{}", session.skew_ms());
    session.close().await;

    let again = edge.enroll(&relay.token()).await.unwrap_err();
    assert_eq!((again.exit(), &*again.code()), (Exit::Usage, "already-enrolled"));
}

#[tokio::test]
async fn an_answer_to_the_enrollment_that_is_lost_is_asked_for_again() {
    let relay = FakeRelay::start();
    let edge = Edge::new(&relay.clock);
    relay.lose_answers(1);

    edge.enroll(&relay.token()).await.unwrap();

    assert_eq!(relay.asked(), ["join", "recover"]);
    edge.connector().connect().await.unwrap().close().await;
}

#[tokio::test]
async fn an_enrollment_that_was_cut_off_is_finished_by_the_next_run() {
    let relay = FakeRelay::start();
    let edge = Edge::new(&relay.clock);
    relay.lose_answers(2);
    let token = relay.token();
    let lost = edge.enroll(&token).await.unwrap_err();
    assert_eq!(lost.exit(), Exit::Temporary);

    edge.enroll(&token).await.unwrap();

    assert_eq!(relay.asked(), ["join", "recover", "join", "recover"]);
}

#[tokio::test]
async fn an_identity_is_renewed_on_a_session_late_in_its_life_and_not_before() {
    let (relay, edge) = enrolled().await;
    relay.clock.advance(16 * HOUR);
    edge.connector().connect().await.unwrap().close().await;
    assert_eq!(edge.stored_generation(), IdentityGeneration(1));

    relay.clock.advance(6 * HOUR);
    edge.connector().connect().await.unwrap().close().await;

    assert_eq!(edge.stored_generation(), IdentityGeneration(2));
    assert_eq!(relay.asked(), ["join", "renew"]);
    edge.connector().connect().await.unwrap().close().await;
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_ends_no_session_and_is_repeated_with_the_same_key() {
    let (relay, edge) = enrolled().await;
    relay.clock.advance(22 * HOUR);
    relay.lose_answers(1);
    let connector = edge.connector();
    connector.connect().await.unwrap().close().await;
    assert_eq!(edge.stored_generation(), IdentityGeneration(1));

    connector.connect().await.unwrap().close().await;

    assert_eq!(edge.stored_generation(), IdentityGeneration(2));
    assert_eq!(relay.asked(), ["join", "renew", "renew"]);
}

#[tokio::test]
async fn an_expired_identity_is_recovered_with_the_bound_key() {
    let (relay, edge) = enrolled().await;
    relay.clock.advance(48 * HOUR);

    edge.connector().connect().await.unwrap().close().await;

    assert_eq!(edge.stored_generation(), IdentityGeneration(2));
    assert_eq!(relay.asked(), ["join", "recover"]);
}

#[tokio::test]
async fn another_relay_is_not_trusted_but_does_not_stand_in_the_way_of_the_right_one() {
    let (relay, edge) = enrolled().await;
    let other = FakeRelay::start();
    let config = |addresses: &[&FakeRelay]| {
        let addresses = addresses.iter().map(|relay| relay.address()).collect();
        EdgeConfig { relay_addresses: addresses, ..EdgeConfig::load(&edge.directories).unwrap() }
    };
    let connector = |relays: &[&FakeRelay]| {
        Connector::open(&edge.directories, &config(relays), &edge.host()).unwrap()
    };

    let refused = connector(&[&other]).connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::RelayNotTrusted { .. }), "{refused}");
    assert_eq!(refused.exit(), Exit::Refused);

    let session = connector(&[&other, &relay]).connect().await.unwrap();
    assert_eq!(*session.address(), relay.address());
    session.close().await;
}

#[tokio::test]
async fn an_edge_the_relay_does_not_take_is_told_so() {
    let (relay, edge) = enrolled().await;
    // The edge's clock is behind: to it, its identity is still good.
    let behind = Edge { clock: Arc::new(ManualClock::new(relay.clock.now())), ..edge };
    relay.clock.advance(48 * HOUR);

    let refused = behind.connector().connect().await.unwrap_err();

    assert!(matches!(refused, ConnectError::NotAccepted { .. }), "{refused}");
    assert_eq!(refused.exit(), Exit::Refused);
}

#[tokio::test]
async fn clocks_that_differ_are_seen() {
    let (relay, edge) = enrolled().await;
    let behind = Edge { clock: Arc::new(ManualClock::new(relay.clock.now())), ..edge };
    relay.clock.advance(Duration::from_secs(90));

    let session = behind.connector().connect().await.unwrap();

    assert_eq!(session.skew_ms(), 90_000);
    session.close().await;
}

#[tokio::test]
async fn the_first_request_goes_with_the_greeting_and_is_answered_after_it() {
    let (relay, edge) = enrolled().await;
    relay.greet_late();

    let (session, mut answer) =
        edge.connector().connect_asking(&Request::Abort(JobId([1; 16]))).await.unwrap();

    assert_eq!(session.welcome().agent.as_str(), "edge-1");
    let refused = answer.reply().await.unwrap_err();
    let known = matches!(&refused, RequestError::Refused(no) if no.code == RefusalCode::JobUnknown);
    assert!(known, "{refused}");
    session.close().await;
}

#[tokio::test]
async fn what_a_relay_answers_that_speaks_another_version_is_not_handed_on() {
    let (relay, edge) = enrolled().await;
    relay.speak(VERSION_NEWEST + 1);

    let error = edge.connector().connect_asking(&Request::Abort(JobId([1; 16]))).await.unwrap_err();

    let version = VERSION_NEWEST + 1;
    assert!(matches!(error, ConnectError::Version { found } if found == version), "{error}");
}

/// F9: a farewell is no failure. As many sessions in vain would be a minute and a half apart.
#[tokio::test]
async fn sessions_that_end_with_a_farewell_follow_each_other_without_back_off() {
    let (_relay, edge) = enrolled().await;
    let connector = edge.connector();
    let mut reconnect = Reconnect::new(&connector, PATIENCE);
    let began = tokio::time::Instant::now();

    for _ in 0..8 {
        reconnect.session().await.unwrap().close().await;
        reconnect.moved();
    }

    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn relays_that_only_say_farewell_do_not_keep_a_job_for_ever() {
    let (_relay, edge) = enrolled().await;
    let connector = edge.connector();
    let mut reconnect = Reconnect::new(&connector, Duration::ZERO);
    reconnect.session().await.unwrap().close().await;
    reconnect.moved();

    let error = reconnect.session().await.unwrap_err();

    assert!(matches!(error, ConnectError::NoProgress { seconds: 0 }), "{error}");
}
