//! An rsync daemon: no encryption, no login.

use super::{listening, made, write};
use crate::bench::BenchError;
use crate::process::Process;
use std::path::Path;

/// What the daemon calls its only directory.
const MODULE: &str = "bench";

/// A running daemon.
pub(in crate::bench) struct Rsyncd {
    process: Process,
    port: u16,
}

impl Rsyncd {
    /// Starts one that keeps its settings in `root/rsyncd` and what it receives in `target`.
    pub(in crate::bench) fn start(root: &Path, target: &Path) -> Result<Self, BenchError> {
        let dir = made(root.join("rsyncd"))?;
        let log = dir.join("rsyncd.log");
        let (process, port) = listening("rsync", &log, |port| {
            let config = dir.join("rsyncd.conf");
            write(&config, &config_text(target))?;
            let mut words = crate::args!["--daemon", "--no-detach", "--config", &config];
            words.extend(crate::args!["--address", "127.0.0.1", "--port", &port.to_string()]);
            words.extend(crate::args!["--log-file", &log]);
            Ok(words)
        })?;
        Ok(Self { process, port })
    }

    /// Its process id.
    pub(in crate::bench) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where to send to.
    pub(in crate::bench) fn url(&self) -> String {
        format!("rsync://127.0.0.1:{}/{MODULE}/", self.port)
    }
}

fn config_text(target: &Path) -> String {
    // As root it would else become nobody, who may not write here.
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    format!(
        "use chroot = no\n[{MODULE}]\npath = {}\nread only = no\nuid = {}\ngid = {}\n",
        target.display(),
        user.as_raw(),
        group.as_raw()
    )
}
