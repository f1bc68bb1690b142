//! ministack: an S3 server that starts at once and keeps objects in memory, with an STS that takes
//! web identities. It does not check signatures.

use super::daemon::{Daemon, Running, on_free_ports};
use super::http::Endpoint;
use super::program::{cached, free_ports, random_word};
use super::s3::S3;
use crate::error::HarnessError;
use tempfile::TempDir;

/// A running server.
#[derive(Debug)]
pub struct Ministack {
    // Ends before its directory goes.
    running: Running,
    account: S3,
    port: u16,
    _dir: TempDir,
}

impl Ministack {
    /// Starts one without buckets.
    ///
    /// # Errors
    ///
    /// It is not installed or does not start.
    pub fn start() -> Result<Self, HarnessError> {
        let program = cached("ministack", "venv/bin")?;
        on_free_ports(|| {
            let dir = tempfile::tempdir().map_err(HarnessError::file("a temporary directory"))?;
            let [port] = free_ports()?;
            let log = dir.path().join("ministack.log");
            let mut daemon = Daemon::new(program.clone(), Vec::new(), log);
            daemon.environment = vec![
                ("BIND_HOST", "127.0.0.1".into()),
                ("GATEWAY_PORT", port.to_string().into()),
                ("SERVICES", "s3,sts,iam".into()),
                ("SFTP_ENABLED", "false".into()),
                ("IOT_MTLS_ENABLED", "false".into()),
                ("TMPDIR", dir.path().into()),
                ("HOME", dir.path().into()),
            ];
            let key = (random_word()?, random_word()?);
            let account = S3::new(Endpoint::new(port, None)?, (&key.0, &key.1), None);
            let mut running = daemon.start()?;
            let ready = running.wait_until(|| account.create_bucket("harness-probe").is_ok());
            ready.map_err(|deaf| running.error(deaf))?;
            account.request("DELETE", "/harness-probe", &[], b"")?;
            Ok(Self { running, account, port, _dir: dir })
        })
    }

    /// Access to it. Any key will do.
    pub fn s3(&self) -> &S3 {
        &self.account
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Stops it where it stands; connections stay open and nobody answers.
    pub fn pause(&self) {
        self.running.pause();
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.running.resume();
    }
}
