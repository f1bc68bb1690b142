//! A PostgreSQL server with an empty database for each caller.
//!
//! Its databases collate as `en-US` does, not by bytes, as those of most installations do. Nothing
//! is synced to disk: a test ends the server, never the machine below it.

use super::ca::{ServerFiles, TestCa};
use super::daemon::{Daemon, Farewell, Running, on_free_ports};
use super::program::{cache, free_ports, installed, random_word, write};
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::Launch;
use crate::wait::PATIENCE;
use rustix::process::{Signal, geteuid};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tempfile::TempDir;

/// The user a server of root runs as, because it refuses root.
const USER: &str = "postgres";

/// The superuser comes through the socket, whose directory nobody else may enter; everybody else
/// comes over TCP with a password.
const ACCESS: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// As [`ACCESS`], over TLS alone.
const ACCESS_TLS: &str = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

/// A running server, or one that was stopped and may be started again.
#[derive(Debug)]
pub struct Postgres {
    // Ends before its directory goes.
    running: Option<Running>,
    programs: PathBuf,
    port: u16,
    tls: Option<ServerFiles>,
    dir: TempDir,
}

/// A database of one test and the role that owns it, which may do nothing else.
#[derive(Clone)]
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// Its name, which is that of its owner as well.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://…` with the owner's password.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The server that tests of this process share. The last one to let go of it ends it.
///
/// # Errors
///
/// As for [`Postgres::start`].
pub fn shared() -> Result<Arc<Postgres>, HarnessError> {
    // A lock, because tests of one process run in several threads.
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Ok(server);
    }
    let server = Arc::new(Postgres::start()?);
    *shared = Arc::downgrade(&server);
    Ok(server)
}

impl Postgres {
    /// Starts a server without databases.
    ///
    /// # Errors
    ///
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self, HarnessError> {
        Self::start_with(None)
    }

    /// As [`Postgres::start`], reached over TLS alone, with a certificate of `ca` for 127.0.0.1.
    ///
    /// # Errors
    ///
    /// As for [`Postgres::start`], or the certificate cannot be made.
    pub fn start_tls(ca: &TestCa) -> Result<Self, HarnessError> {
        Self::start_with(Some(ca))
    }

    fn start_with(ca: Option<&TestCa>) -> Result<Self, HarnessError> {
        let initdb = installed("initdb", debian_places())?;
        let initdb = initdb.canonicalize().map_err(HarnessError::file(&initdb))?;
        let programs = initdb.parent().unwrap_or(Path::new("/")).to_owned();
        let dir = tempfile::tempdir().map_err(HarnessError::file("a temporary directory"))?;
        let mut server = Self { running: None, programs, port: 0, tls: None, dir };
        server.prepare()?;
        if let Some(ca) = ca {
            server.protect(ca)?;
        }
        on_free_ports(|| {
            let [port] = free_ports()?;
            server.port = port;
            server.restart()
        })?;
        Ok(server)
    }

    /// Makes a database that is its own.
    ///
    /// # Errors
    ///
    /// The server does not run.
    pub fn new_database(&self) -> Result<Database, HarnessError> {
        let (name, password) = (format!("t{}", &random_word()?[..16]), random_word()?);
        self.execute(&format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{password}';\n\
             CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8' \
             LOCALE_PROVIDER icu ICU_LOCALE 'en-US';\n"
        ))?;
        let port = self.port;
        let url = format!("postgres://{name}:{password}@127.0.0.1:{port}/{name}");
        Ok(Database { name, url })
    }

    /// Runs statements as the superuser, outside all databases of tests.
    ///
    /// # Errors
    ///
    /// The server does not run, or a statement fails.
    pub fn execute(&self, statements: &str) -> Result<Vec<String>, HarnessError> {
        // In a file, because every user of the machine sees arguments.
        let script = tempfile::Builder::new().suffix(".sql").tempfile_in(self.dir.path());
        let script = script.map_err(HarnessError::file(self.dir.path()))?;
        write(script.path(), statements)?;
        let (host, port) = (self.socket(), self.port.to_string());
        let mut arguments = crate::args!["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
        arguments.extend(crate::args!["-h", &host, "-p", &port, "-U", USER, "-d", "postgres"]);
        arguments.extend(crate::args!["-f", script.path()]);
        Ok(self.run("psql", arguments, false)?.lines)
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Running::id)
    }

    /// The directory of all it keeps; gone after it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash of it does: sessions break, and its next start recovers.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub fn stop_immediate(&mut self) -> Result<(), HarnessError> {
        self.running.take().map_or(Ok(()), |running| running.end(Signal::QUIT))
    }

    /// Starts it again on its port, with all that was committed.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self) -> Result<(), HarnessError> {
        self.stop_immediate()?;
        let mut arguments = crate::args!["-D", &self.data(), "-p", &self.port.to_string()];
        let sockets = format!("unix_socket_directories={}", self.socket().display());
        for setting in [
            sockets.as_str(),
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            "fsync=off",
            "full_page_writes=off",
            // Leaves nothing outside the data directory.
            "dynamic_shared_memory_type=mmap",
            "log_min_messages=warning",
        ] {
            arguments.extend(crate::args!["-c", setting]);
        }
        if let Some(files) = &self.tls {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            for setting in [
                "ssl=on".to_owned(),
                format!("ssl_cert_file={certificate}"),
                format!("ssl_key_file={key}"),
            ] {
                arguments.extend(crate::args!["-c", &setting]);
            }
        }
        let program = self.programs.join("postgres");
        let mut daemon = Daemon::new(program, arguments, self.dir.path().join("postgres.log"));
        daemon.user = other_user();
        daemon.farewell = Farewell::Quit;
        let mut running = daemon.start()?;
        let (state, id) = (self.data().join("postmaster.pid"), running.id());
        let ready = running.wait_until(|| says_ready(&state, id) && answers(self.port));
        ready.map_err(|deaf| running.error(deaf))?;
        self.running = Some(running);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("home/data")
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Makes the data directory, from a copy of an earlier one where there is one: that takes a
    /// fifth of the time.
    fn prepare(&self) -> Result<(), HarnessError> {
        let home = self.socket();
        fs::create_dir(&home).map_err(HarnessError::file(&home))?;
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(HarnessError::file(path))
        };
        mode(&home, 0o700)?;
        if other_user().is_some() {
            // The server passes through to its own directory.
            mode(self.dir.path(), 0o711)?;
            self.run("chown", crate::args![&format!("{USER}:{USER}"), &home], false)?;
        }
        let version = self.run("initdb", crate::args!["--version"], false)?.lines.join(" ");
        let version = version.split_whitespace().nth(2).unwrap_or("unknown").to_owned();
        let template = cache().map(|cache| cache.join(format!("postgres-{version}")));
        if let Some(template) = template.as_ref().filter(|template| template.is_dir()) {
            self.copy(template, &self.data())?;
        } else {
            let mut arguments = crate::args!["-D", &self.data(), "-U", USER, "-A", "trust"];
            arguments.extend(crate::args!["-E", "UTF8", "--no-locale", "--no-sync"]);
            arguments.extend(crate::args!["--wal-segsize=1"]);
            self.run("initdb", arguments, true)?;
            if let Some(template) = template {
                self.keep(&template)?;
            }
        }
        write(&self.data().join("pg_hba.conf"), ACCESS)
    }

    /// Takes nobody any more who does not come over TLS.
    fn protect(&mut self, ca: &TestCa) -> Result<(), HarnessError> {
        let files = ca.issue(&self.socket(), &["127.0.0.1"])?;
        if other_user().is_some() {
            let owner = format!("{USER}:{USER}");
            self.run("chown", crate::args![&owner, &files.certificate, &files.key], false)?;
        }
        self.tls = Some(files);
        write(&self.data().join("pg_hba.conf"), ACCESS_TLS)
    }

    /// Keeps a copy of the fresh data directory for later starts.
    fn keep(&self, template: &Path) -> Result<(), HarnessError> {
        let parent = template.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).map_err(HarnessError::file(parent))?;
        let copy = parent.join(format!(".postgres-{}", random_word()?));
        self.copy(&self.data(), &copy)?;
        if fs::rename(&copy, template).is_err() {
            // Another process was first.
            fs::remove_dir_all(&copy).map_err(HarnessError::file(&copy))?;
        }
        Ok(())
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<(), HarnessError> {
        self.run("cp", crate::args!["-a", "--reflink=auto", from, to], false).map(drop)
    }

    /// Runs a program of PostgreSQL, or of the system, to its end.
    fn run(
        &self,
        name: &str,
        arguments: Vec<OsString>,
        as_user: bool,
    ) -> Result<Output, HarnessError> {
        let own = self.programs.join(name);
        let program = if own.is_file() { own } else { name.into() };
        let prefix = match other_user().filter(|_| as_user) {
            Some(user) => {
                crate::args!["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
            }
            None => Vec::new(),
        };
        let log = self.dir.path().join("commands.log");
        Output::of(&Launch { prefix, program, arguments, log }, PATIENCE, &|| false)?.done()
    }
}

/// Where Debian keeps the programs of each major version, the newest first.
fn debian_places() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut places: Vec<_> = versions.map(|entry| entry.path()).collect();
    places.sort_by_key(|path| std::cmp::Reverse(number(path)));
    places.into_iter().map(|place| place.join("bin")).collect()
}

fn other_user() -> Option<&'static str> {
    geteuid().is_root().then_some(USER)
}

/// Whether the server with this process id wrote that it is ready.
fn says_ready(state: &Path, id: u32) -> bool {
    let text = fs::read_to_string(state).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(id.to_string().as_str())
        && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

/// Whether it answers the question for TLS, with which a session may begin.
fn answers(port: u16) -> bool {
    const QUESTION: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&QUESTION)?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer[0])
    };
    matches!(ask(), Ok(b'N' | b'S'))
}
