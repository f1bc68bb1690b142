//! The rustls configurations of both sides: TLS 1.3 only, ring only, one protocol name each.
//!
//! No tickets, no resumption and no early data, because a resumed session skips the check of the
//! peer's certificate. Build a configuration anew whenever an identity or authority changes.

use crate::identity::IdentityError;
use crate::key::{KeyHash, PrivateKey};
use crate::trust_domain::TrustDomain;
use crate::verify::{ALGORITHMS, AgentVerifier, Anchors, RelayTrust, RelayVerifier};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::CertificateDer;
use skyspray_wire::limits::{ALPN_DATA, ALPN_ENROLL};
use std::sync::Arc;
use thiserror::Error;

/// Why a configuration could not be built: always the fault of the identity it was given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No authority or pin to trust, so no peer could ever be accepted.
    #[error("there is no authority to trust")]
    TrustEmpty,
    /// One of the authorities is unusable.
    #[error("authority is not usable")]
    Authority(#[from] IdentityError),
    /// rustls refuses the certificate and key, usually because they do not belong together.
    #[error("certificate and key are not usable")]
    Credentials(#[from] rustls::Error),
}

/// What a relay shows to edges.
#[derive(Clone, Debug)]
pub struct RelayCredentials {
    /// The relay's leaf.
    pub leaf: CertificateDer<'static>,
    /// The leaf's key.
    pub key: PrivateKey,
    /// The relay authority that issued the leaf; presented on the enrollment listener.
    pub authority: CertificateDer<'static>,
    /// The installation's trust domain.
    pub trust_domain: TrustDomain,
}

/// What an edge shows to relays, and whom it believes.
#[derive(Clone, Debug)]
pub struct EdgeCredentials {
    /// The agent's leaf.
    pub leaf: CertificateDer<'static>,
    /// The leaf's key.
    pub key: PrivateKey,
    /// The relay authorities; two while one replaces the other.
    pub relay_authorities: Vec<CertificateDer<'static>>,
    /// The installation's trust domain.
    pub trust_domain: TrustDomain,
}

/// Configuration of the relay's data listener: every client must be an agent.
///
/// # Errors
///
/// No or unusable `agent_authorities`, or credentials that do not belong together.
pub fn relay_data_config(
    relay: &RelayCredentials,
    agent_authorities: &[CertificateDer<'_>],
    clock: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, TlsError> {
    let anchors = trusted(agent_authorities)?;
    let trust_domain = relay.trust_domain.clone();
    let config = ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AgentVerifier { anchors, trust_domain }))
        .with_single_cert(vec![relay.leaf.clone()], relay.key.to_rustls())?;
    Ok(harden_relay(config, ALPN_DATA))
}

/// Configuration of the relay's enrollment listener: clients have no certificate yet, and the
/// authority is presented so that a token's pin can be checked.
///
/// # Errors
///
/// Credentials that do not belong together.
pub fn relay_enroll_config(
    relay: &RelayCredentials,
    clock: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, TlsError> {
    let chain = vec![relay.leaf.clone(), relay.authority.clone()];
    let config = ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, relay.key.to_rustls())?;
    Ok(harden_relay(config, ALPN_ENROLL))
}

/// Configuration of an edge's data sessions. Connect with [`TrustDomain::relay_server_name`].
///
/// # Errors
///
/// No or unusable relay authorities, or credentials that do not belong together.
pub fn edge_data_config(
    edge: &EdgeCredentials,
    clock: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, TlsError> {
    let trust = RelayTrust::Anchors(trusted(&edge.relay_authorities)?);
    let config = edge_builder(trust, &edge.trust_domain, clock)?
        .with_client_auth_cert(vec![edge.leaf.clone()], edge.key.to_rustls())?;
    Ok(harden_edge(config, ALPN_DATA))
}

/// Configuration of an edge that enrolls or recovers: it has no certificate to show and believes
/// the authority the relay presents if its key has one of the `pins`. Connect with
/// [`TrustDomain::relay_server_name`].
///
/// # Errors
///
/// No pin.
pub fn edge_enroll_config(
    pins: &[KeyHash],
    trust_domain: &TrustDomain,
    clock: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, TlsError> {
    if pins.is_empty() {
        return Err(TlsError::TrustEmpty);
    }
    let trust = RelayTrust::Pins(pins.to_vec());
    let config = edge_builder(trust, trust_domain, clock)?.with_no_client_auth();
    Ok(harden_edge(config, ALPN_ENROLL))
}

fn trusted(authorities: &[CertificateDer<'_>]) -> Result<Anchors, TlsError> {
    let anchors = Anchors::from_certificates(authorities)?;
    if anchors.is_empty() { Err(TlsError::TrustEmpty) } else { Ok(anchors) }
}

fn edge_builder(
    trust: RelayTrust,
    trust_domain: &TrustDomain,
    clock: Arc<dyn TimeProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TlsError> {
    let verifier = RelayVerifier { trust, trust_domain: trust_domain.clone() };
    Ok(ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// ring with AES-128-GCM first: the cheapest per byte where the processor has AES, and the suite
/// QUIC needs anyway.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![ring::kx_group::X25519, ring::kx_group::SECP256R1],
        signature_verification_algorithms: ALGORITHMS,
        ..ring::default_provider()
    })
}

fn harden_relay(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    assert!(!config.ticketer.enabled(), "rustls makes no tickets unless told to");
    config
}

fn harden_edge(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

#[cfg(test)]
mod tests;
