//! The identity of a relay while it serves: taken from its directory or from what replicas share, and
//! its own certificate kept alive.

mod reset_key;

use crate::admin::{AdminError, load_identity};
use crate::config::{RelayDir, RelaySettings};
use crate::state::Relay;
use reset_key::ResetKey;
use skyspray_certs::authority::RELAY_LEAF_LIFE;
use skyspray_certs::store::RelayStore;
use skyspray_certs::tls::{TlsError, relay_data_config, relay_enroll_config};
use skyspray_certs::{RelayIdentity, Term};
use skyspray_link::endpoint::{EndpointError, Listener};
use skyspray_link::replica::ListenerSecrets;
use skyspray_link::seam::Clock;
use skyspray_link::tls_clock::tls_clock;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::interval;

/// How often the relay looks whether its own certificate should be renewed.
const LEAF_INTERVAL: Duration = Duration::from_secs(3600);

/// What the listeners' keys are derived from, for each of them: two endpoints with one reset key end
/// each other's sessions for anybody who asks.
const DATA: &str = "listener for sessions";

/// See [`DATA`].
const ENROLL: &str = "listener for enrollment";

/// The identity to begin with.
///
/// # Errors
///
/// It is missing, damaged, or open to others.
pub(crate) fn at_start(
    dir: &RelayDir,
    settings: &RelaySettings,
    now: SystemTime,
) -> Result<RelayIdentity, AdminError> {
    let mut identity = load_identity(dir, settings, now)?;
    if is_due(&identity, now) {
        renew(dir, settings, &mut identity, now);
    }
    Ok(identity)
}

/// The two listeners of the relay in `dir` with this identity.
///
/// # Errors
///
/// The identity does not fit TLS, the sockets cannot be used, or nothing can be kept in `dir`.
pub(crate) fn listeners(
    dir: &RelayDir,
    identity: &RelayIdentity,
    (data, enroll): (skyspray_link::endpoint::UdpSocket, skyspray_link::endpoint::UdpSocket),
    clock: &Arc<dyn Clock>,
) -> Result<(Listener, Listener), crate::serve::ServeError> {
    let reset = ResetKey::keep(&dir.state())?;
    let (data_tls, enroll_tls) = configurations(identity, clock)?;
    let listen = |socket, tls, listener: &str| {
        let (reset, tokens) = (reset.derive(listener), identity.shared_secret(listener));
        Listener::try_replica(socket, tls, ListenerSecrets { reset: &reset, tokens: &tokens })
    };
    Ok((listen(data, data_tls, DATA)?, listen(enroll, enroll_tls, ENROLL)?))
}

fn configurations(
    identity: &RelayIdentity,
    clock: &Arc<dyn Clock>,
) -> Result<(rustls::ServerConfig, rustls::ServerConfig), TlsError> {
    let tls = tls_clock(Arc::clone(clock));
    let authorities = [identity.agent_authority.certificate().clone()];
    let credentials = identity.credentials();
    let data = relay_data_config(&credentials, &authorities, Arc::clone(&tls))?;
    Ok((data, relay_enroll_config(&credentials, tls)?))
}

/// Why a renewed certificate is not used.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Load(#[from] AdminError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Renews the relay's own certificate in time, for sessions that begin from then on.
pub(crate) async fn keep(dir: RelayDir, relay: Arc<Relay>, listeners: (Listener, Listener)) {
    let mut ticks = interval(LEAF_INTERVAL);
    loop {
        ticks.tick().await;
        // What is in use counts: the stored one is older where it cannot be replaced.
        if !is_due(&relay.identity(), relay.clock.now()) {
            continue;
        }
        match take_new(&dir, &relay, &listeners) {
            Ok(()) => tracing::info!("certificate renewed"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the certificate is not renewed");
            }
        }
    }
}

fn take_new(
    dir: &RelayDir,
    relay: &Relay,
    listeners: &(Listener, Listener),
) -> Result<(), KeepError> {
    let now = relay.clock.now();
    let mut identity = load_identity(dir, &relay.settings, now)?;
    if is_due(&identity, now) {
        renew(dir, &relay.settings, &mut identity, now);
    }
    let (data, enroll) = configurations(&identity, &relay.clock)?;
    listeners.0.reconfigure(data)?;
    listeners.1.reconfigure(enroll)?;
    *relay.identity.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    Ok(())
}

/// Whether half of the life of the leaf is over.
fn is_due(identity: &RelayIdentity, now: SystemTime) -> bool {
    identity.certificate().map_or(true, |leaf| {
        leaf.validity.not_after.duration_since(now).unwrap_or_default() < RELAY_LEAF_LIFE / 2
    })
}

/// Makes a new leaf, and stores it where the identity is this relay's own. A leaf that cannot be
/// stored is used all the same: the next start makes another one.
fn renew(dir: &RelayDir, settings: &RelaySettings, identity: &mut RelayIdentity, now: SystemTime) {
    let term = Term { now, life: RELAY_LEAF_LIFE };
    if let Err(error) = identity.renew_leaf(term, &ring::rand::SystemRandom::new()) {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "no certificate for this relay was issued");
        return;
    }
    if settings.identity_dir.is_some() {
        return;
    }
    let stored = RelayStore::open(&dir.identity()).and_then(|store| store.save_leaf(identity));
    if let Err(error) = stored {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the renewed certificate is kept in memory alone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;
    use ring::rand::SystemRandom;
    use skyspray_certs::tls::edge_enroll_config;
    use skyspray_certs::trust_domain::TrustDomain;
    use skyspray_link::endpoint::{DIAL_DEADLINE, Dialler, UdpSocket};
    use skyspray_link::mtu::Mtu;
    use skyspray_link::seam::ManualClock;
    use skyspray_link::session::{Session, SessionError};
    use skyspray_tests::server::udp_switch::UdpSwitch;
    use skyspray_tests::wait;
    use std::net::SocketAddr;
    use std::ops::RangeInclusive;
    use std::path::Path;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    const START: Duration = Duration::from_secs(1_800_000_000);

    /// A relay's directory whose identity was made at [`START`], and that time.
    fn made(more: &str) -> (tempfile::TempDir, RelayDir, RelaySettings, SystemTime) {
        let root = tempfile::tempdir().unwrap();
        let dir = RelayDir::new(root.path());
        let text = format!(
            "public_name = \"relay.example\"\ntrust_domain = \"skyspray.internal\"\n\
             listen = \"0.0.0.0:4433\"\nenroll_listen = \"0.0.0.0:4434\"\n{more}"
        );
        let settings =
            RelaySettings::parse(&text, &dir.config_file(), &Overrides::default()).unwrap();
        let start = SystemTime::UNIX_EPOCH + START;
        let domain = TrustDomain::parse("skyspray.internal").unwrap();
        let identity = RelayIdentity::create(domain, start, &SystemRandom::new()).unwrap();
        RelayStore::create(&dir.identity()).unwrap().save(&identity).unwrap();
        (root, dir, settings, start)
    }

    fn stored_leaf(dir: &RelayDir) -> Vec<u8> {
        std::fs::read(dir.identity().join("relay.pem")).unwrap()
    }

    #[test]
    fn a_leaf_is_renewed_and_stored_when_half_of_its_life_is_over() {
        let (_root, dir, settings, start) = made("");
        let before = stored_leaf(&dir);

        at_start(&dir, &settings, start + RELAY_LEAF_LIFE / 3).unwrap();
        assert_eq!(stored_leaf(&dir), before);
        let late = start + RELAY_LEAF_LIFE * 2 / 3;
        let identity = at_start(&dir, &settings, late).unwrap();

        assert_ne!(stored_leaf(&dir), before);
        assert!(!is_due(&identity, late));
        assert!(!is_due(&load_identity(&dir, &settings, late).unwrap(), late));
    }

    #[test]
    fn a_leaf_that_cannot_be_stored_is_renewed_all_the_same() {
        let (_root, dir, settings, start) = made("");
        let before = stored_leaf(&dir);
        // Stands where the new file would be written first.
        std::fs::create_dir(dir.identity().join(".relay.pem.new")).unwrap();
        let late = start + RELAY_LEAF_LIFE * 2;

        let identity = at_start(&dir, &settings, late).unwrap();

        assert!(!is_due(&identity, late));
        assert_eq!(stored_leaf(&dir), before);
    }

    #[test]
    fn what_replicas_share_is_read_and_never_written() {
        let (root, dir, settings, start) = made("identity_dir = \"shared\"\n");
        let shared = root.path().join("shared");
        std::fs::rename(dir.identity(), &shared).unwrap();
        std::fs::remove_file(shared.join("relay.pem")).unwrap();
        let names = |dir: &Path| {
            let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
            let mut found: Vec<_> = entries
                .map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()))
                .collect();
            found.sort();
            found
        };
        let before = names(&shared);
        let late = start + RELAY_LEAF_LIFE * 2;

        let one = at_start(&dir, &settings, late).unwrap();
        let two = at_start(&dir, &settings, late).unwrap();

        assert!(!is_due(&one, late));
        assert_ne!(one.leaf, two.leaf, "each process has a leaf of its own");
        assert_eq!(one.shared_secret(DATA), two.shared_secret(DATA));
        assert_eq!(names(&shared), before);
        assert!(!dir.identity().exists());
    }

    /// A relay with this identity that listens for enrollment at a port of its own.
    fn listening(dir: &RelayDir, identity: &RelayIdentity) -> (Listener, SocketAddr) {
        std::fs::create_dir_all(dir.state()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + START));
        let socket = || UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (_, enroll) = listeners(dir, identity, (socket(), socket()), &clock).unwrap();
        let address = enroll.local_address().unwrap();
        (enroll, address)
    }

    /// Takes sessions for as long as they want to stay.
    fn serve(listener: &Listener) -> JoinSet<()> {
        let (listener, mut serving) = (listener.clone(), JoinSet::new());
        serving.spawn(async move {
            let mut sessions = Vec::new();
            while let Some(handshake) = listener.accept().await {
                sessions.extend(handshake.complete().await.ok());
            }
        });
        serving
    }

    async fn dial(identity: &RelayIdentity, to: SocketAddr) -> (Dialler, Session) {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        dial_from(socket, identity, to).await
    }

    async fn dial_from(
        socket: UdpSocket,
        identity: &RelayIdentity,
        to: SocketAddr,
    ) -> (Dialler, Session) {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + START));
        let tls = edge_enroll_config(&[identity.pin()], identity.trust_domain(), tls_clock(clock))
            .unwrap();
        let dialler = Dialler::try_new(socket).unwrap();
        let name = identity.trust_domain().relay_name();
        let session = dialler.dial(to, &name, tls).await.unwrap();
        (dialler, session)
    }

    /// The longest packets that relay and edge come to on a path that carries all of them, with these
    /// bounds.
    async fn longest(relay: Mtu, edge: Mtu, expected: [RangeInclusive<u16>; 2]) {
        let (_root, [dir, _], identity) = replicas();
        std::fs::create_dir_all(dir.state()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + START));
        let socket = || UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let sockets = (socket(), socket().with_mtu(relay));
        let (_, listener) = listeners(&dir, &identity, sockets, &clock).unwrap();
        let address = listener.local_address().unwrap();
        let accepting = async { listener.accept().await.unwrap().complete().await.unwrap() };
        let dialling = dial_from(socket().with_mtu(edge), &identity, address);
        let (accepted, (_dialler, dialled)) = tokio::join!(accepting, dialling);

        wait::until("packets grew", wait::PATIENCE, || {
            expected[0].contains(&accepted.path().mtu) && expected[1].contains(&dialled.path().mtu)
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn packets_grow_to_the_bound_that_was_set_on_both_sides() {
        let within = |bound: Mtu| bound.bytes() - 20..=bound.bytes();
        let (default, jumbo) = (Mtu::default(), Mtu::MAX);
        longest(jumbo, jumbo, [within(jumbo), within(jumbo)]).await;
        longest(default, default, [within(default), within(default)]).await;
        // A peer that was told nothing takes what fits into Ethernet.
        longest(default, jumbo, [within(default), 1453..=1472]).await;
    }

    /// Directories of two replicas, and the identity they share.
    fn replicas() -> (tempfile::TempDir, [RelayDir; 2], RelayIdentity) {
        let (root, dir, settings, start) = made("");
        let identity = load_identity(&dir, &settings, start).unwrap();
        let dirs = ["one", "two"].map(|name| RelayDir::new(root.path().join(name)));
        (root, dirs, identity)
    }

    #[tokio::test]
    async fn an_edge_that_proved_its_address_to_one_replica_has_proved_it_to_all() {
        let (_root, [one, two], identity) = replicas();
        let ((one, first), (two, second)) =
            (listening(&one, &identity), listening(&two, &identity));
        let (_one, _two) = (serve(&one), serve(&two));
        // Its first packet goes to one replica, all others to the other.
        let switch = UdpSwitch::start(first);
        switch.turn_after(1, second);

        let dialled = timeout(DIAL_DEADLINE, dial(&identity, switch.address())).await;

        dialled.expect("the second replica takes the proof the first one gave");
        assert!(switch.answers_of(first) > 0, "the first replica asked for a proof");
    }

    #[tokio::test]
    async fn only_the_next_process_of_a_relay_ends_the_sessions_of_the_one_before() {
        let (_root, [one, two], identity) = replicas();
        let ((old, first), (other, second)) =
            (listening(&one, &identity), listening(&two, &identity));
        let (_old, _other) = (serve(&old), serve(&other));
        let switch = UdpSwitch::start(first);
        let (_dialler, session) = dial(&identity, switch.address()).await;

        // What the edge still sends comes to a replica that knows nothing of the session.
        switch.turn(second);
        session.open_request().await.unwrap();
        while switch.packets_to(second) == 0 {
            tokio::task::yield_now().await;
        }
        // No packet comes to the old process any more, nor from it.
        let (new, third) = listening(&one, &identity);
        let _new = serve(&new);
        switch.turn(third);
        // Whatever was sent anew meanwhile has the same answer.
        let _ = session.open_request().await;

        let ended = timeout(Duration::from_secs(20), session.closed()).await;
        let ended = ended.expect("the edge is told that its session is gone");
        assert!(
            matches!(&ended, SessionError::Lost { reason } if reason.contains("reset")),
            "{ended}"
        );
        // Once it has answered somebody else it has seen all that came to it.
        dial(&identity, second).await;
        assert_eq!(switch.answers_of(second), 0, "a replica ended a session of another");
    }
}
