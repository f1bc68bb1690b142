//! Who is who: the two certificate authorities, the identities they issue, how an edge enrolls and
//! renews, the TLS configurations of both sides, and receipt signatures.
//!
//! The crate decides nothing about rights and keeps no state but the private directories of
//! [`store`]. Time is a parameter everywhere; randomness is a [`ring::rand::SecureRandom`].

pub mod address;
pub mod authority;
pub mod edge_identity;
pub mod enroll;
pub mod identity;
pub mod key;
pub mod pem;
pub mod receipt;
pub mod relay_identity;
pub mod renewal;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod token;
pub mod trust_domain;
mod verify;

pub use address::RelayAddress;
pub use authority::{Agents, Authority, IssuedLeaf, Relays, Term};
pub use edge_identity::{EdgeIdentity, PendingEnrollment};
pub use identity::{AgentIdentity, IdentityError, IdentityGeneration, RelayCertificate, Serial};
pub use key::{KeyHash, PrivateKey, PublicKey};
pub use relay_identity::RelayIdentity;
pub use token::{EnrollToken, TokenHash};
pub use trust_domain::TrustDomain;
