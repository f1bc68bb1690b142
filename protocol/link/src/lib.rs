//! QUIC endpoints and the drivers that move chunks between the sans-IO machines of
//! `skyspray_wire` and the host, with the seams through which the host is reached.
//!
//! The only crate that names quinn. What chunks mean, where they come from and where they rest is
//! the caller's business: it gives a [`feed::Feed`] to send from and a [`receive::Sink`] to
//! receive into.

pub mod backoff;
pub mod codec;
pub mod congestion;
mod effort;
pub mod endpoint;
pub mod feed;
pub mod mtu;
pub mod receive;
pub mod replica;
pub mod request;
pub mod seam;
pub mod send;
pub mod session;
mod socket;
pub mod tls_clock;
