//! nginx as what stands between clients and servers: a TLS front, a Google-like front of an S3
//! server, and a UDP load balancer before relays.

use super::ca::TestCa;
use super::daemon::{Daemon, Running, on_free_ports};
use super::http::{Endpoint, Request, Response};
use super::program::{free_ports, installed, write};
use crate::error::HarnessError;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Where Debian keeps the part of nginx that balances UDP.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A running nginx, all of it one process.
#[derive(Debug)]
struct Nginx {
    // Ends before its directory goes.
    running: Running,
    port: u16,
    dir: TempDir,
}

impl Nginx {
    fn start(
        config: impl Fn(u16, &Path) -> Result<String, HarnessError>,
        answers: impl Fn(u16) -> bool,
    ) -> Result<Self, HarnessError> {
        let program = installed("nginx", [])?;
        on_free_ports(|| {
            let dir = tempfile::tempdir().map_err(HarnessError::file("a temporary directory"))?;
            let [port] = free_ports()?;
            let (file, log) = (dir.path().join("nginx.conf"), dir.path().join("nginx.log"));
            let pid = dir.path().join("nginx.pid");
            let text = config(port, dir.path())?;
            let stream = Path::new(STREAM_MODULE).is_file() && text.contains("stream {");
            let module =
                if stream { format!("load_module {STREAM_MODULE};\n") } else { String::new() };
            let head = format!(
                "{module}daemon off;\nmaster_process off;\npid \"{}\";\nerror_log stderr warn;\n\
                 events {{ worker_connections 4096; }}\n",
                pid.display()
            );
            write(&file, &(head + &text))?;
            let arguments = crate::args!["-p", dir.path(), "-c", &file, "-e", &log];
            let mut running = Daemon::new(program.clone(), arguments, log).start()?;
            let ready = running.wait_until(|| answers(port));
            ready.map_err(|deaf| running.error(deaf))?;
            Ok(Self { running, port, dir })
        })
    }
}

/// The settings of an nginx for HTTP that keeps its files in `dir`.
fn http(dir: &Path, server: &str) -> String {
    let dir = dir.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths: Vec<_> =
        paths.iter().map(|name| format!("{name}_temp_path \"{dir}/{name}\";\n")).collect();
    format!("http {{\naccess_log off;\n{}{server}\n}}\n", paths.concat())
}

/// A front for an HTTP server.
#[derive(Debug)]
pub struct HttpProxy {
    nginx: Nginx,
    endpoint: Endpoint,
}

impl HttpProxy {
    /// Ends TLS before the server on `upstream`, a port of 127.0.0.1, which sees `host` as the
    /// name that was asked for.
    ///
    /// # Errors
    ///
    /// nginx is not installed or does not start.
    pub fn tls(ca: &TestCa, upstream: u16, host: &str) -> Result<Self, HarnessError> {
        Self::start(Some(ca), |port, dir| {
            let files = ca.issue(dir, &["127.0.0.1", "localhost"])?;
            let (certificate, key) = (files.certificate.display(), files.key.display());
            let server = format!(
                "server {{ listen 127.0.0.1:{port} ssl;\nssl_protocols TLSv1.2 TLSv1.3;\nssl_certificate \"{certificate}\";\n\
                 ssl_certificate_key \"{key}\";\nclient_max_body_size 0;\nlocation / {{\n\
                 proxy_pass http://127.0.0.1:{upstream};\nproxy_request_buffering off;\n\
                 proxy_set_header Host \"{host}\"; }} }}"
            );
            Ok(http(dir, &server))
        })
    }

    /// Lets the client for Google's store talk to the S3 server on `upstream`, a port of
    /// 127.0.0.1 that checks no signatures. Create-only writes work; generations, copies that must
    /// not overwrite, and metadata do not.
    ///
    /// # Errors
    ///
    /// nginx is not installed or does not start.
    pub fn google(upstream: u16) -> Result<Self, HarnessError> {
        Self::start(None, |port, dir| {
            let server = format!(
                "map $http_x_goog_if_generation_match $create {{ \"0\" \"*\"; \
                 default $http_if_none_match; }}\n\
                 server {{ listen 127.0.0.1:{port};\nclient_max_body_size 0;\nlocation / {{\n\
                 proxy_pass http://127.0.0.1:{upstream};\nproxy_request_buffering off;\n\
                 proxy_set_header Authorization \"\";\nproxy_set_header If-None-Match $create;\n\
                 proxy_set_header x-amz-copy-source $http_x_goog_copy_source;\n\
                 proxy_set_header x-amz-copy-source-if-match \
                 $http_x_goog_copy_source_if_match; }} }}"
            );
            Ok(http(dir, &server))
        })
    }

    fn start(
        ca: Option<&TestCa>,
        config: impl Fn(u16, &Path) -> Result<String, HarnessError>,
    ) -> Result<Self, HarnessError> {
        let ask = Request { method: "GET", target: "/", headers: Vec::new(), body: b"" };
        // An answer of the server behind it, whatever it is: only nginx says 502.
        let answers = |port| {
            let answer = Endpoint::new(port, ca).and_then(|endpoint| endpoint.send(&ask));
            answer.is_ok_and(|answer| answer.status != 502)
        };
        let nginx = Nginx::start(config, answers)?;
        Ok(Self { endpoint: Endpoint::new(nginx.port, ca)?, nginx })
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.nginx.running.id()
    }

    /// Asks through it, and hands on any answer. The target is encoded.
    ///
    /// # Errors
    ///
    /// It is not reached.
    pub fn request(
        &self,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HarnessError> {
        let headers = headers.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        self.endpoint.send(&Request { method, target, headers, body })
    }
}

/// What decides where a new client of a load balancer goes. A client keeps its target until it
/// was silent for long, or its target fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spread {
    /// Its address: all clients of this machine go to one target.
    Address,
    /// Its address and port: a new socket may go elsewhere, the same one never does.
    AddressAndPort,
    /// Nothing.
    Random,
}

/// How a load balancer treats its targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Balance {
    /// Where new clients go.
    pub spread: Spread,
    /// How long a client may be silent, in both directions, until it is a new one.
    pub idle: Duration,
    /// For how long, in whole seconds, a target that failed once gets no new clients; zero never
    /// counts a failure.
    pub avoid: Duration,
}

/// A UDP load balancer.
#[derive(Debug)]
pub struct UdpBalancer {
    nginx: Nginx,
}

impl UdpBalancer {
    /// Starts one before these targets.
    ///
    /// # Errors
    ///
    /// nginx is not installed or does not start.
    pub fn start(targets: &[SocketAddr], balance: Balance) -> Result<Self, HarnessError> {
        let spread = match balance.spread {
            Spread::Address => "hash $remote_addr consistent;",
            Spread::AddressAndPort => "hash $remote_addr$remote_port consistent;",
            Spread::Random => "random;",
        };
        let failures = match balance.avoid {
            Duration::ZERO => "max_fails=0".to_owned(),
            avoid => format!("max_fails=1 fail_timeout={}s", avoid.as_secs().max(1)),
        };
        let servers: Vec<_> =
            targets.iter().map(|target| format!("server {target} {failures};\n")).collect();
        let (servers, idle) = (servers.concat(), balance.idle.as_millis());
        let nginx = Nginx::start(
            |port, _| {
                Ok(format!(
                    "stream {{\nupstream relays {{\n{spread}\n{servers}}}\nserver {{ listen \
                     127.0.0.1:{port} udp; proxy_pass relays; proxy_timeout {idle}ms; }} }}\n"
                ))
            },
            is_bound,
        )?;
        Ok(Self { nginx })
    }

    /// Starts one with the settings of `deploy/nginx.conf` before two relays, whose listeners for
    /// sessions and for enrollment these are.
    ///
    /// # Errors
    ///
    /// The file is not there, or nginx is not installed or does not start.
    pub fn deployed(relays: &[(SocketAddr, SocketAddr); 2]) -> Result<Self, HarnessError> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nginx.conf");
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let nginx = Nginx::start(
            |port, _| {
                let [other] = free_ports()?;
                let mut text = text
                    .replace("listen 4433 udp", &format!("listen 127.0.0.1:{port} udp"))
                    .replace("listen 4434 udp", &format!("listen 127.0.0.1:{other} udp"));
                for (n, (data, enroll)) in relays.iter().enumerate() {
                    text = text
                        .replace(&format!("relay-{n}.example.net:4433"), &data.to_string())
                        .replace(&format!("relay-{n}.example.net:4434"), &enroll.to_string());
                }
                Ok(text)
            },
            is_bound,
        )?;
        Ok(Self { nginx })
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.nginx.port).into()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.nginx.running.id()
    }

    /// Stops it where it stands: packets wait, and are lost once its buffer is full.
    pub fn pause(&self) {
        self.nginx.running.pause();
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.nginx.running.resume();
    }

    /// The directory of all it keeps; gone after it.
    pub fn dir(&self) -> &Path {
        self.nginx.dir.path()
    }
}

/// Whether somebody holds this UDP port of 127.0.0.1. What is sent to a bound socket waits in it,
/// and asking by binding it would take it from the server.
fn is_bound(port: u16) -> bool {
    let wanted = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(&wanted))
}
