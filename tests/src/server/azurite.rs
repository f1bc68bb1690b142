//! Azurite: an Azure Blob server that checks keys and speaks TLS.
//!
//! It saves what it holds every few seconds: one that is killed loses blocks that were not
//! committed. Only [`Azurite::stop`] ends it without loss.

use super::ca::TestCa;
use super::daemon::{Daemon, Running, on_free_ports};
use super::http::{Endpoint, Request, Response};
use super::program::{cached, free_ports, random};
use super::s3::{done, elements, encode, mac};
use super::time::Stamp;
use crate::error::HarnessError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use std::fmt;
use std::path::Path;
use tempfile::TempDir;

/// The account every server here has, with a key of its own.
pub const ACCOUNT: &str = "testaccount";

/// The release of the protocol that requests of the harness speak.
const VERSION: &str = "2021-12-02";

/// A running server, or one that was stopped and may be started again.
#[derive(Debug)]
pub struct Azurite {
    // Ends before its directory goes.
    running: Option<Running>,
    daemon: Daemon,
    account: Blobs,
    dir: TempDir,
}

/// An account at a server. Access to it does not go through the product.
#[derive(Clone)]
pub struct Blobs {
    endpoint: Endpoint,
    key: [u8; 64],
    ca_pem: Option<String>,
}

impl Azurite {
    /// Starts one without containers; with `tls` it speaks only that, with a certificate for
    /// 127.0.0.1 and localhost.
    ///
    /// # Errors
    ///
    /// It is not installed or does not start.
    pub fn start(tls: Option<&TestCa>) -> Result<Self, HarnessError> {
        let program = cached("azurite-blob", "npm/node_modules/.bin")?;
        on_free_ports(|| {
            let dir = tempfile::tempdir().map_err(HarnessError::file("a temporary directory"))?;
            let [port] = free_ports()?;
            let mut key = [0; 64];
            random(&mut key)?;
            let mut arguments = crate::args!["--silent", "--disableTelemetry", "-l", dir.path()];
            arguments.extend(crate::args!["--blobHost", "127.0.0.1"]);
            arguments.extend(crate::args!["--blobPort", &port.to_string()]);
            if let Some(ca) = tls {
                let files = ca.issue(dir.path(), &["127.0.0.1", "localhost"])?;
                arguments.extend(crate::args!["--cert", &files.certificate, "--key", &files.key]);
            }
            let ca_pem = tls.map(|ca| ca.pem().to_owned());
            let account = Blobs { endpoint: Endpoint::new(port, tls)?, key, ca_pem };
            let log = dir.path().join("azurite.log");
            let mut daemon = Daemon::new(program.clone(), arguments, log);
            let accounts = format!("{ACCOUNT}:{}", account.access_key());
            daemon.environment = vec![("AZURITE_ACCOUNTS", accounts.into())];
            let mut server = Self { running: None, daemon, account, dir };
            server.restart().map(|()| server)
        })
    }

    /// Access to it.
    pub fn blobs(&self) -> &Blobs {
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

    /// Asks it to save all it holds and end, and waits.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub fn stop(&mut self) -> Result<(), HarnessError> {
        self.running.take().map_or(Ok(()), |running| running.end(Signal::TERM))
    }

    /// Starts it again on its port, and waits until it stores.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self) -> Result<(), HarnessError> {
        self.stop()?;
        let mut running = self.daemon.start()?;
        let path = "/harness-probe";
        let container = [("restype", "container")];
        let ready = running.wait_until(|| {
            let made = self.account.request("PUT", path, &container, b"");
            made.is_ok_and(|made| made.status == 201 || made.status == 409)
        });
        ready.map_err(|deaf| running.error(deaf))?;
        self.account.expect("DELETE", path, &container, b"")?;
        self.running = Some(running);
        Ok(())
    }
}

impl Blobs {
    /// The URL of the account; containers are its paths.
    pub fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.endpoint.url())
    }

    /// The key of the account, base64.
    pub fn access_key(&self) -> String {
        STANDARD.encode(self.key)
    }

    /// The certificate of the CA to trust, PEM, where the server speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The same server with the key of another account.
    #[must_use]
    pub fn with_key_of(&self, other: &Self) -> Self {
        Self { key: other.key, ..self.clone() }
    }

    /// Makes a container.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn create_container(&self, container: &str) -> Result<(), HarnessError> {
        let query = [("restype", "container")];
        self.expect("PUT", &format!("/{container}"), &query, b"").map(drop)
    }

    /// Stores a blob.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn put(&self, container: &str, name: &str, body: &[u8]) -> Result<(), HarnessError> {
        self.expect("PUT", &format!("/{container}/{name}"), &[], body).map(drop)
    }

    /// The bytes of a blob; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn get(&self, container: &str, name: &str) -> Result<Option<Vec<u8>>, HarnessError> {
        match self.request("GET", &format!("/{container}/{name}"), &[], b"")? {
            response if response.status == 404 => Ok(None),
            response => done("GET", name, response).map(|response| Some(response.body)),
        }
    }

    /// Removes a blob.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn delete(&self, container: &str, name: &str) -> Result<(), HarnessError> {
        self.expect("DELETE", &format!("/{container}/{name}"), &[], b"").map(drop)
    }

    /// The names that begin with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn list(&self, container: &str, prefix: &str) -> Result<Vec<String>, HarnessError> {
        let mut names = Vec::new();
        let mut marker = String::new();
        loop {
            let fixed = [("comp", "list"), ("restype", "container"), ("prefix", prefix)];
            let mut query = fixed.to_vec();
            if !marker.is_empty() {
                query.push(("marker", &marker));
            }
            let text = self.expect("GET", &format!("/{container}"), &query, b"")?.text();
            names.extend(elements(&text, "Name"));
            match elements(&text, "NextMarker").into_iter().find(|next| !next.is_empty()) {
                Some(next) => marker = next,
                None => return Ok(names),
            }
        }
    }

    fn expect(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HarnessError> {
        done(method, path, self.request(method, path, query, body)?)
    }

    /// Sends a signed request for a path below the account that is not yet encoded, and hands on
    /// any answer. A body makes a block blob.
    ///
    /// # Errors
    ///
    /// The server is not reached.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HarnessError> {
        let date = Stamp::now().http_date();
        let path = format!("/{ACCOUNT}{}", encode(path, true));
        let mut query = query.to_vec();
        query.sort_unstable();
        let blob = method == "PUT" && query.is_empty();
        let mut headers = vec![("x-ms-date", date), ("x-ms-version", VERSION.to_owned())];
        if blob {
            headers.insert(0, ("x-ms-blob-type", "BlockBlob".to_owned()));
        }
        let length = if body.is_empty() { String::new() } else { body.len().to_string() };
        let mut text = format!("{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n");
        for (name, value) in &headers {
            text.push_str(&format!("{name}:{value}\n"));
        }
        text.push_str(&format!("/{ACCOUNT}{path}"));
        for (name, value) in &query {
            text.push_str(&format!("\n{name}:{value}"));
        }
        let signature = STANDARD.encode(mac(&self.key, text.as_bytes()));
        headers.push(("Authorization", format!("SharedKey {ACCOUNT}:{signature}")));
        let pairs = query.iter().map(|(name, value)| format!("{name}={}", encode(value, false)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        self.endpoint.send(&Request { method, target: &target, headers, body })
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}
