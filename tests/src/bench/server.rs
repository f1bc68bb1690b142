//! The servers of the peers: an sshd and an nginx of our own, on ports the system chose, with keys
//! made for this run. They end with the run.

use super::BenchError;
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::{Launch, Process, tail};
use crate::wait;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name the SSH configuration of the clients gives the sshd.
pub(super) const SSH_HOST: &str = "bench";

/// Where an sshd of root locks up what talks to strangers; made by whatever starts it at boot.
const SEPARATION_DIR: &str = "/run/sshd";

/// How long a server may take until it listens.
const READY: Duration = Duration::from_secs(10);

/// A port that was free may be taken when the server asks for it.
const ATTEMPTS: u32 = 5;

/// An sshd for the user that runs the bench.
pub(super) struct Sshd {
    process: Process,
    client_config: PathBuf,
    _empty: Option<EmptyDir>,
}

impl Sshd {
    /// Starts one that keeps all it needs in `dir`.
    pub(super) fn start(dir: &Path) -> Result<Self, BenchError> {
        let keygen = program("ssh-keygen")?;
        for key in ["host_key", "user_key"] {
            let path = dir.join(key);
            let arguments = crate::args!["-q", "-t", "ed25519", "-N", "", "-f", &path];
            run(&keygen, arguments, &dir.join("keygen.log"))?;
        }
        program("ssh")?;
        let root = rustix::process::geteuid().is_root();
        let empty = if root { EmptyDir::make(SEPARATION_DIR)? } else { None };
        let process = listening("sshd", &dir.join("sshd.log"), |port| {
            let config = dir.join("sshd_config");
            write(&config, &sshd_config(dir, port))?;
            write(&dir.join("ssh_config"), &ssh_config(dir, port))?;
            // Without -D it leaves, without -e it logs elsewhere.
            Ok(crate::args!["-D", "-e", "-f", &config])
        })?;
        let client_config = dir.join("ssh_config");
        Ok(Self { process: process.0, client_config, _empty: empty })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What `ssh -F` takes to reach it as [`SSH_HOST`].
    pub(super) fn client_config(&self) -> &Path {
        &self.client_config
    }
}

/// A directory outside our own that was made for the run and is removed with it.
struct EmptyDir(&'static str);

impl EmptyDir {
    /// Makes the directory; `None` when it is there already.
    fn make(path: &'static str) -> Result<Option<Self>, HarnessError> {
        match fs::create_dir(path) {
            Ok(()) => Ok(Some(Self(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(HarnessError::File { path: path.into(), source }),
        }
    }
}

impl Drop for EmptyDir {
    fn drop(&mut self) {
        // Somebody else may use it by now.
        let _ = fs::remove_dir(self.0);
    }
}

fn sshd_config(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    let root = rustix::process::geteuid().is_root();
    // The account of root may be locked for passwords, which only PAM tells apart from closed.
    let pam = if root { "yes" } else { "no" };
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey \"{dir}/host_key\"\n\
         AuthorizedKeysFile \"{dir}/user_key.pub\"\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUsePAM {pam}\n\
         StrictModes no\nPidFile none\nUseDNS no\nPrintMotd no\n"
    )
}

fn ssh_config(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "Host {SSH_HOST}\nHostName 127.0.0.1\nPort {port}\nIdentityFile \"{dir}/user_key\"\n\
         IdentitiesOnly yes\nUserKnownHostsFile \"{dir}/known_hosts\"\n\
         StrictHostKeyChecking accept-new\nBatchMode yes\nLogLevel ERROR\n"
    )
}

/// An nginx that takes uploads over TLS 1.3 from clients with a certificate.
pub(super) struct Nginx {
    process: Process,
    port: u16,
    dir: PathBuf,
}

impl Nginx {
    /// Starts one that keeps all it needs in `dir` and what is uploaded in `target`.
    pub(super) fn start(dir: &Path, target: &Path) -> Result<Self, BenchError> {
        make_keys(dir)?;
        let log = dir.join("nginx.log");
        let (process, port) = listening("nginx", &log, |port| {
            let config = dir.join("nginx.conf");
            write(&config, &nginx_config(dir, target, port))?;
            Ok(crate::args!["-p", dir, "-c", &config, "-e", &log])
        })?;
        Ok(Self { process, port, dir: dir.to_owned() })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where `ca.pem`, `client.pem` and `client.key` are.
    pub(super) fn keys(&self) -> &Path {
        &self.dir
    }

    /// Where to upload a file of this name to.
    pub(super) fn url(&self, name: &str) -> String {
        format!("https://127.0.0.1:{}/{name}", self.port)
    }
}

/// One process, so that its times are all there are. The cipher is OpenSSL's choice: AES-256-GCM.
fn nginx_config(dir: &Path, target: &Path, port: u16) -> String {
    let (dir, target) = (dir.display(), target.display());
    format!(
        "daemon off;\nmaster_process off;\npid \"{dir}/nginx.pid\";\nerror_log stderr warn;\n\
         events {{}}\nhttp {{\n  access_log off;\n  client_body_temp_path \"{target}/.uploads\";\n  \
         proxy_temp_path \"{dir}/proxy\";\n  fastcgi_temp_path \"{dir}/fastcgi\";\n  \
         uwsgi_temp_path \"{dir}/uwsgi\";\n  scgi_temp_path \"{dir}/scgi\";\n  server {{\n    \
         listen 127.0.0.1:{port} ssl;\n    ssl_protocols TLSv1.3;\n    \
         ssl_certificate \"{dir}/server.pem\";\n    ssl_certificate_key \"{dir}/server.key\";\n    \
         ssl_client_certificate \"{dir}/ca.pem\";\n    ssl_verify_client on;\n    \
         root \"{target}\";\n    client_max_body_size 0;\n    client_body_buffer_size 1m;\n    \
         dav_methods PUT;\n  }}\n}}\n"
    )
}

/// Makes a CA and a certificate for each side.
fn make_keys(dir: &Path) -> Result<(), BenchError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "bench CA");
    write(&dir.join("ca.pem"), &ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);
    for (file, name) in [("server", "127.0.0.1"), ("client", "client.bench.invalid")] {
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        write(&dir.join(format!("{file}.pem")), &leaf.pem())?;
        let path = dir.join(format!("{file}.key"));
        write(&path, &key.serialize_pem())?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, private).map_err(HarnessError::file(&path))?;
    }
    Ok(())
}

/// The path of a program; the servers live where the path of a plain user may not lead.
pub(super) fn program(name: &'static str) -> Result<PathBuf, BenchError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let further = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = env::split_paths(&path).chain(further).map(|place| place.join(name));
    places.find(|path| path.is_file()).ok_or(BenchError::Missing { name })
}

/// Starts a server with the arguments that `prepare` has for a port, and waits until it listens.
fn listening(
    name: &'static str,
    log: &Path,
    mut prepare: impl FnMut(u16) -> Result<Vec<OsString>, HarnessError>,
) -> Result<(Process, u16), BenchError> {
    let program = program(name)?;
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let arguments = prepare(port)?;
        let launch =
            Launch { prefix: Vec::new(), program: program.clone(), arguments, log: log.to_owned() };
        let mut process = Process::start(&launch)?;
        let listens = wait::poll(READY, || {
            if process.has_ended() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true)
        });
        if listens == Some(true) {
            return Ok((process, port));
        }
    }
    Err(BenchError::Deaf { name, log: tail(log) })
}

fn free_port() -> Result<u16, HarnessError> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(HarnessError::file("127.0.0.1:0"))?.port())
}

fn run(program: &Path, arguments: Vec<OsString>, log: &Path) -> Result<(), HarnessError> {
    let program = program.to_owned();
    let launch = Launch { prefix: Vec::new(), program, arguments, log: log.to_owned() };
    Output::of(&launch, wait::PATIENCE, &|| false)?.done().map(drop)
}

fn write(path: &Path, text: &str) -> Result<(), HarnessError> {
    fs::write(path, text).map_err(HarnessError::file(path))
}
