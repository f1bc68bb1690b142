//! A relay that issues identities and greets, takes origins of any job, and knows nothing else.

use skyspray_certs::enroll::{
    BINDING_LABEL, ChannelBinding, EnrollRequest, EnrollResponse, Grant, Message as _,
    RenewRequest, RenewResponse, VerifiedRenewal,
};
use skyspray_certs::renewal::{IssuedIdentity, RenewalDecision, decide_renewal};
use skyspray_certs::tls::{relay_data_config, relay_enroll_config};
use skyspray_certs::{
    EnrollToken, IdentityGeneration, PublicKey, RelayAddress, RelayIdentity, Term, TokenHash,
    TrustDomain,
};
use skyspray_link::endpoint::{Listener, UdpSocket};
use skyspray_link::request::Exchange;
use skyspray_link::seam::{Clock as _, ManualClock};
use skyspray_link::session::{Accepted, CloseCode, Session, SessionError};
use skyspray_link::tls_clock::tls_clock;
use skyspray_wire::ids::Epoch;
use skyspray_wire::message::{Origins, RecordOrigins, Reply, Request, Welcome};
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;

pub(crate) struct FakeRelay {
    pub(super) clock: Arc<ManualClock>,
    shared: Arc<Shared>,
    data: RelayAddress,
    enroll: RelayAddress,
    _tasks: JoinSet<()>,
}

struct Shared {
    clock: Arc<ManualClock>,
    identity: RelayIdentity,
    data: RelayAddress,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// Tokens not used yet.
    tokens: Vec<TokenHash>,
    bound: Option<PublicKey>,
    issued: Option<IssuedIdentity>,
    asked: Vec<&'static str>,
    answers_to_lose: u32,
    origins: Vec<Origins>,
    /// Whether a greeting is answered only once the next request is there.
    greets_late: bool,
    /// What is said to be spoken; `None` for what the edge wants.
    version: Option<u16>,
    /// With what requests are refused that it does not know; `None` for an unknown job.
    refuses: Option<RefusalCode>,
    /// How many it refused so.
    refused: u32,
}

/// The lease of every job.
const EPOCH: Epoch = Epoch(2);

fn rng() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

fn agent() -> AgentName {
    AgentName::parse("edge-1").unwrap()
}

fn listener(tls: rustls::ServerConfig) -> (Listener, RelayAddress) {
    let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = Listener::try_new(socket, tls).unwrap();
    let address = listener.local_address().unwrap().to_string();
    (listener, RelayAddress::parse(&address).unwrap())
}

impl FakeRelay {
    pub(super) fn start() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let domain = TrustDomain::parse("sky.example").unwrap();
        let identity = RelayIdentity::create(domain, start, &rng()).unwrap();
        let (credentials, tls) = (identity.credentials(), tls_clock(clock.clone()));
        let agents = [identity.agent_authority.certificate().clone()];
        let (data, address) =
            listener(relay_data_config(&credentials, &agents, tls.clone()).unwrap());
        let (enroll, enroll_address) = listener(relay_enroll_config(&credentials, tls).unwrap());
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            identity,
            data: address.clone(),
            record: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(data, shared.clone()));
        tasks.spawn(serve(enroll, shared.clone()));
        Self { clock, shared, data: address, enroll: enroll_address, _tasks: tasks }
    }

    pub(super) fn token(&self) -> String {
        let identity = &self.shared.identity;
        let domain = identity.trust_domain().clone();
        let address = self.enroll.clone();
        let token = EnrollToken::create(address, domain, identity.pin(), agent(), &rng()).unwrap();
        self.shared.record.lock().unwrap().tokens.push(token.hash());
        token.to_line().to_string()
    }

    pub(super) fn address(&self) -> RelayAddress {
        self.data.clone()
    }

    /// The next answers about identities are lost on the way.
    pub(super) fn lose_answers(&self, count: u32) {
        self.shared.record.lock().unwrap().answers_to_lose = count;
    }

    /// From now on a greeting is answered only once the next request is there.
    pub(super) fn greet_late(&self) {
        self.shared.record.lock().unwrap().greets_late = true;
    }

    /// From now on the relay says that it speaks `version`.
    pub(super) fn speak(&self, version: u16) {
        self.shared.record.lock().unwrap().version = Some(version);
    }

    /// From now on requests that it does not know are refused with `code`.
    pub(crate) fn refuse(&self, code: RefusalCode) {
        self.shared.record.lock().unwrap().refuses = Some(code);
    }

    /// How many requests it did not know.
    pub(crate) fn refused(&self) -> u32 {
        self.shared.record.lock().unwrap().refused
    }

    /// The epoch under which origins are taken.
    pub(crate) fn epoch(&self) -> Epoch {
        EPOCH
    }

    /// The pages of origins taken.
    pub(crate) fn origins(&self) -> Vec<Origins> {
        self.shared.record.lock().unwrap().origins.clone()
    }

    /// What was asked about identities.
    pub(super) fn asked(&self) -> Vec<&'static str> {
        self.shared.record.lock().unwrap().asked.clone()
    }
}

async fn serve(listener: Listener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    while let Some(handshake) = listener.accept().await {
        let shared = shared.clone();
        sessions.spawn(async move {
            let Ok(session) = handshake.complete().await else { return };
            // Ends with the session, from whichever side.
            let _ = shared.answer(&session).await;
            session.close(CloseCode::Done);
        });
    }
}

impl Shared {
    async fn answer(&self, session: &Session) -> Result<(), SessionError> {
        let is_enrollment = session.peer_certificates().is_empty();
        loop {
            let Accepted::Request(mut exchange) = session.accept().await?.identify().await? else {
                return Err(SessionError::StreamEnded);
            };
            if is_enrollment {
                self.enroll(session, &mut exchange).await?;
            } else {
                self.request(session, &mut exchange).await?;
            }
            exchange.finish();
        }
    }

    async fn enroll(&self, session: &Session, to: &mut Exchange) -> Result<(), SessionError> {
        let bytes: Vec<u8> = to.receive_request().await?;
        let binding = ChannelBinding::new(session.export_keying_material(BINDING_LABEL)?);
        let granted = match EnrollRequest::decode(&bytes).unwrap() {
            EnrollRequest::Join(join) => {
                self.note("join");
                let join = join.verify(&binding).unwrap();
                self.join(&join.token, join.bound_key, &join.session_key)
            }
            EnrollRequest::Recover(recover) => {
                self.note("recover");
                let bound = self.record.lock().unwrap().bound.unwrap();
                self.renew(recover.verify(&bound, &binding).unwrap())
            }
        };
        self.lose_or(session)?;
        let response = match granted {
            Ok(grant) => EnrollResponse::Granted(Box::new(grant)),
            Err(refusal) => EnrollResponse::Refused(refusal),
        };
        to.send(&*response.encode().unwrap()).await
    }

    async fn request(&self, session: &Session, to: &mut Exchange) -> Result<(), SessionError> {
        match to.receive_request().await? {
            Request::Hello(hello) => {
                let (late, version) = {
                    let record = self.record.lock().unwrap();
                    (record.greets_late, record.version.unwrap_or(hello.newest))
                };
                let next = if late { Some(session.accept().await?) } else { None };
                let since = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let welcome = Welcome {
                    version,
                    features: 0,
                    software: "fake".into(),
                    agent: agent(),
                    time_ms: i64::try_from(since.as_millis()).unwrap(),
                    data_streams: 4,
                };
                to.send(&Reply::Welcome(welcome)).await?;
                let Some(next) = next else { return Ok(()) };
                let Accepted::Request(mut next) = next.identify().await? else {
                    return Err(SessionError::StreamEnded);
                };
                Box::pin(self.request(session, &mut next)).await?;
                next.finish();
                Ok(())
            }
            Request::Renew(bytes) => {
                self.note("renew");
                let RenewRequest::Renew(renew) = RenewRequest::decode(&bytes).unwrap();
                let binding = ChannelBinding::new(session.export_keying_material(BINDING_LABEL)?);
                let granted = self.renew(renew.verify(&agent(), &binding).unwrap());
                self.lose_or(session)?;
                let response = match granted {
                    Ok(grant) => RenewResponse::Granted(Box::new(grant)),
                    Err(refusal) => RenewResponse::Refused(refusal),
                };
                to.send(&Reply::Renewed(response.encode().unwrap().to_vec())).await
            }
            Request::RecordOrigins(RecordOrigins { epoch: EPOCH, origins, .. }) => {
                self.record.lock().unwrap().origins.push(origins);
                to.send(&Reply::Done).await
            }
            Request::RecordOrigins(_) => {
                to.send(&Reply::Refused(Refusal::new(RefusalCode::EpochStale, ""))).await
            }
            _ => {
                let code = {
                    let mut record = self.record.lock().unwrap();
                    record.refused += 1;
                    record.refuses.unwrap_or(RefusalCode::JobUnknown)
                };
                to.send(&Reply::Refused(Refusal::new(code, ""))).await
            }
        }
    }

    fn note(&self, what: &'static str) {
        self.record.lock().unwrap().asked.push(what);
    }

    fn lose_or(&self, session: &Session) -> Result<(), SessionError> {
        let mut record = self.record.lock().unwrap();
        if record.answers_to_lose == 0 {
            return Ok(());
        }
        record.answers_to_lose -= 1;
        session.close(CloseCode::Draining);
        Err(SessionError::StreamEnded)
    }

    fn join(
        &self,
        token: &TokenHash,
        bound: PublicKey,
        session_key: &PublicKey,
    ) -> Result<Grant, Refusal> {
        let mut record = self.record.lock().unwrap();
        let Some(at) = record.tokens.iter().position(|known| known == token) else {
            return Err(Refusal::new(RefusalCode::TokenRejected, ""));
        };
        record.tokens.remove(at);
        record.bound = Some(bound);
        Ok(self.issue(&mut record, IdentityGeneration(1), session_key))
    }

    fn renew(&self, asked: VerifiedRenewal) -> Result<Grant, Refusal> {
        let mut record = self.record.lock().unwrap();
        let issued = record.issued.unwrap();
        let generation = match decide_renewal(issued, asked.generation, &asked.session_key) {
            RenewalDecision::Advance(generation) => generation,
            RenewalDecision::Repeat => issued.generation,
            RenewalDecision::Diverged => return Err(Refusal::new(RefusalCode::AgentCloned, "")),
        };
        Ok(self.issue(&mut record, generation, &asked.session_key))
    }

    fn issue(&self, record: &mut Record, generation: IdentityGeneration, key: &PublicKey) -> Grant {
        record.issued = Some(IssuedIdentity { generation, key_hash: key.hash() });
        let term = Term { now: self.clock.now(), life: Duration::from_hours(24) };
        let authority = &self.identity.agent_authority;
        let leaf = authority.issue_agent_leaf(&agent(), key, term, &rng()).unwrap();
        self.identity.grant(&leaf, generation, vec![self.data.clone()])
    }
}
