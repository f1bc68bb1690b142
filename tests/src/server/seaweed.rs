//! SeaweedFS: an S3 server that keeps objects on disk, checks signatures and speaks TLS.

use super::ca::TestCa;
use super::daemon::{Daemon, Running, on_free_ports};
use super::http::Endpoint;
use super::program::{cached, free_ports, random_word, write};
use super::s3::S3;
use crate::error::HarnessError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The bucket that shows whether the server stores anything.
const PROBE: &str = "harness-probe";

/// A running server, or one that was killed and may be started again.
#[derive(Debug)]
pub struct Seaweed {
    // Ends before its directory goes.
    running: Option<Running>,
    daemon: Daemon,
    account: S3,
    dir: TempDir,
}

impl Seaweed {
    /// Starts one without buckets; with `tls` it speaks only that, with a certificate for
    /// 127.0.0.1 and localhost.
    ///
    /// # Errors
    ///
    /// It is not installed or does not start.
    pub fn start(tls: Option<&TestCa>) -> Result<Self, HarnessError> {
        let program = cached("weed", "venv/bin")?;
        on_free_ports(|| {
            let dir = tempfile::tempdir().map_err(HarnessError::file("a temporary directory"))?;
            let ports: [u16; 8] = free_ports()?;
            let (access, secret) = (random_word()?, random_word()?);
            write(&dir.path().join("s3.json"), &identities(&access, &secret))?;
            let arguments = arguments(dir.path(), &ports, tls)?;
            let log = dir.path().join("weed.log");
            let daemon = Daemon::new(program.clone(), arguments, log);
            let endpoint = Endpoint::new(ports[6], tls)?;
            let account = S3::new(endpoint, (&access, &secret), tls.map(TestCa::pem));
            let mut server = Self { running: None, daemon, account, dir };
            server.restart().map(|()| server)
        })
    }

    /// Access to it.
    pub fn s3(&self) -> &S3 {
        &self.account
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Running::id)
    }

    /// The directory of all it keeps; gone after it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Stops it where it stands; connections stay open and nobody answers.
    pub fn pause(&self) {
        self.running.as_ref().map(Running::pause).unwrap_or_default();
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.running.as_ref().map(Running::resume).unwrap_or_default();
    }

    /// Kills it without a word. What it acknowledged stays.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on its ports, and waits until it stores.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self) -> Result<(), HarnessError> {
        self.kill();
        let mut running = self.daemon.start()?;
        // An open port says little: it answers before anything can be stored.
        let ready = running.wait_until(|| self.stores());
        ready.map_err(|deaf| running.error(deaf))?;
        self.running = Some(running);
        Ok(())
    }

    fn stores(&self) -> bool {
        let made = self.account.request("PUT", &format!("/{PROBE}"), &[], b"");
        if !made.is_ok_and(|made| made.status == 200 || made.status == 409) {
            return false;
        }
        let stored = self.account.put(PROBE, "probe", b"probe");
        let emptied = stored.and_then(|()| self.account.delete(PROBE, "probe"));
        // Its volumes go with the bucket.
        let path = format!("/{PROBE}");
        emptied.is_ok() && self.account.request("DELETE", &path, &[], b"").is_ok()
    }
}

fn identities(access: &str, secret: &str) -> String {
    format!(
        r#"{{"identities":[{{"name":"t","credentials":[{{"accessKey":"{access}","secretKey":"{secret}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
    )
}

fn arguments(
    dir: &Path,
    ports: &[u16; 8],
    tls: Option<&TestCa>,
) -> Result<Vec<OsString>, HarnessError> {
    let set = |name: &str, value: &PathBuf| {
        let mut argument = OsString::from(format!("-{name}="));
        argument.push(value);
        argument
    };
    let mut arguments = vec![set("logdir", &dir.to_owned())];
    arguments.extend(crate::args![
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        // Each bucket takes seven volumes, made as they fill.
        "-master.volumeSizeLimitMB=256",
        "-volume.max=500",
        "-filer",
        "-s3",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]);
    let names = ["master", "volume", "filer", "s3"];
    for (name, pair) in names.iter().zip(ports.chunks_exact(2)) {
        arguments.push(format!("-{name}.port={}", pair[0]).into());
        arguments.push(format!("-{name}.port.grpc={}", pair[1]).into());
    }
    arguments.push(set("dir", &dir.to_owned()));
    arguments.push(set("s3.config", &dir.join("s3.json")));
    arguments.push(set("filer.localSocket", &dir.join("filer.sock")));
    arguments.push(set("s3.localSocket", &dir.join("s3.sock")));
    if let Some(ca) = tls {
        let files = ca.issue(dir, &["127.0.0.1", "localhost"])?;
        arguments.push(set("s3.cert.file", &files.certificate));
        arguments.push(set("s3.key.file", &files.key));
    }
    Ok(arguments)
}
