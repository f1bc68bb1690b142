//! The identities of the two sides, as an installation keeps them, and the TLS configurations that
//! come of them.

use super::CeilingError;
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, ServerConfig};
use skyspray_certs::authority::Term;
use skyspray_certs::edge_identity::PendingEnrollment;
use skyspray_certs::identity::IdentityGeneration;
use skyspray_certs::store::{EdgeStore, RelayStore};
use skyspray_certs::tls::{edge_data_config, relay_data_config};
use skyspray_certs::token::EnrollToken;
use skyspray_certs::{RelayAddress, RelayIdentity, TrustDomain};
use skyspray_link::seam::{Clock as _, SystemClock};
use skyspray_wire::name::AgentName;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Makes a relay and an edge that is enrolled there, and stores them below `directory`.
pub(super) fn create(directory: &Path) -> Result<(), CeilingError> {
    let rng = ring::rand::SystemRandom::new();
    let now = SystemClock.now();
    let domain = TrustDomain::parse("ceiling.test").map_err(CeilingError::identity)?;
    let address = RelayAddress::parse("relay.test:4433").map_err(CeilingError::identity)?;
    let agent = AgentName::parse("edge").map_err(CeilingError::identity)?;
    let relay = RelayIdentity::create(domain.clone(), now, &rng).map_err(CeilingError::identity)?;
    let token = EnrollToken::create(address.clone(), domain, relay.pin(), agent.clone(), &rng)
        .map_err(CeilingError::identity)?;
    let pending = PendingEnrollment::create(&token, &rng).map_err(CeilingError::identity)?;
    let term = Term { now, life: Duration::from_hours(24) };
    let key = *pending.session_key.public_key();
    let leaf = relay
        .agent_authority
        .issue_agent_leaf(&agent, &key, term, &rng)
        .map_err(CeilingError::identity)?;
    let edge = pending
        .accept(relay.grant(&leaf, IdentityGeneration(1), vec![address]))
        .map_err(CeilingError::identity)?;
    EdgeStore::create(&directory.join("edge"))?.save(&edge)?;
    RelayStore::create(&directory.join("relay"))?.save(&relay)?;
    Ok(())
}

/// The configuration of the receiver.
pub(super) fn relay(directory: &Path) -> Result<ServerConfig, CeilingError> {
    let relay = RelayStore::open(&directory.join("relay"))?.load()?;
    let agents = [relay.agent_authority.certificate().clone()];
    relay_data_config(&relay.credentials(), &agents, Arc::new(DefaultTimeProvider))
        .map_err(CeilingError::tls)
}

/// The configuration of the sender, and the name of the relay it connects to.
pub(super) fn edge(directory: &Path) -> Result<(ClientConfig, String), CeilingError> {
    let edge = EdgeStore::open(&directory.join("edge"))?.load()?;
    let config = edge_data_config(&edge.credentials(), Arc::new(DefaultTimeProvider))
        .map_err(CeilingError::tls)?;
    Ok((config, edge.trust_domain.relay_name()))
}
