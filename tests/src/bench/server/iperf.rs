//! An iperf3 that takes bytes over TCP and forgets them.

use super::{Place, listening_at, made};
use crate::bench::BenchError;
use crate::process::Process;
use std::path::Path;

/// A running server.
pub(in crate::bench) struct Iperf {
    process: Process,
    port: u16,
}

impl Iperf {
    /// Starts one that logs to `root/iperf`.
    pub(in crate::bench) fn start(root: &Path) -> Result<Self, BenchError> {
        Self::start_at(root, &Place::loopback())
    }

    /// As [`Iperf::start`], at another place.
    pub(in crate::bench) fn start_at(root: &Path, place: &Place) -> Result<Self, BenchError> {
        let log = made(root.join("iperf"))?.join("iperf3.log");
        let (process, port) = listening_at(place, "iperf3", &log, |port| {
            Ok(crate::args!["-s", "-B", place.host, "-p", &port.to_string()])
        })?;
        Ok(Self { process, port })
    }

    /// Its process id.
    pub(in crate::bench) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens.
    pub(in crate::bench) fn port(&self) -> u16 {
        self.port
    }
}
