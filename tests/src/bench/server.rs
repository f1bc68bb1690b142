//! The servers of the peers: instances of our own, on ports the system chose, with keys made for
//! this run. They end with the workload.

pub(super) mod iperf;
pub(super) mod keys;
pub(super) mod nginx;
pub(super) mod rsyncd;
pub(super) mod sshd;
pub(super) mod store;

use super::BenchError;
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::{Launch, Process, tail};
use crate::wait;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where servers listen that are on no path.
const LOOPBACK: &str = "127.0.0.1";

/// How long a server may take until it listens.
const READY: Duration = Duration::from_secs(10);

/// A port that was free may be taken when the server asks for it.
const ATTEMPTS: u32 = 5;

/// Where a server runs, and where clients find it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The address it listens on.
    pub(super) host: &'static str,
    /// What runs it there; empty where nothing has to.
    pub(super) prefix: Vec<OsString>,
}

impl Place {
    /// The loopback address of this host.
    pub(super) fn loopback() -> Self {
        Self { host: LOOPBACK, prefix: Vec::new() }
    }
}

/// The path of a program: on `PATH`, where servers live that the path of a plain user may lack, or
/// where `.ci/install-bench-tools` puts what no distribution has.
pub(super) fn program(name: &'static str) -> Result<PathBuf, BenchError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let further = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let places = env::split_paths(&path).chain(further).chain(tools());
    let mut found = places.map(|place| place.join(name)).filter(|path| path.is_file());
    found.next().ok_or(BenchError::Missing { name })
}

/// The programs that `.ci/install-bench-tools` builds.
fn tools() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = |parent: PathBuf| parent.join("skyspray-bench-tools");
    let tools = set("SKYSPRAY_BENCH_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(named))
        .or_else(|| set("HOME").map(|home| named(home.join(".cache"))));
    tools.map(|tools| tools.join("bin"))
}

/// Starts a server on the loopback address; see [`listening_at`].
fn listening(
    name: &'static str,
    log: &Path,
    prepare: impl FnMut(u16) -> Result<Vec<OsString>, HarnessError>,
) -> Result<(Process, u16), BenchError> {
    listening_at(&Place::loopback(), name, log, prepare)
}

/// Starts a server with the arguments that `prepare` has for a port, and waits until it listens.
fn listening_at(
    place: &Place,
    name: &'static str,
    log: &Path,
    mut prepare: impl FnMut(u16) -> Result<Vec<OsString>, HarnessError>,
) -> Result<(Process, u16), BenchError> {
    let program = program(name)?;
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let arguments = prepare(port)?;
        let (prefix, log) = (place.prefix.clone(), log.to_owned());
        let launch = Launch { prefix, program: program.clone(), arguments, log };
        let mut process = Process::start(&launch)?;
        let listens = wait::poll(READY, || {
            if process.has_ended() {
                return Some(false);
            }
            listens(place, &process, port).then_some(true)
        });
        if listens == Some(true) {
            return Ok((process, port));
        }
    }
    Err(BenchError::Deaf { name, log: tail(log) })
}

/// Whether a server takes connections; of one in another network its sockets tell.
fn listens(place: &Place, process: &Process, port: u16) -> bool {
    if place.prefix.is_empty() {
        return TcpStream::connect((place.host, port)).is_ok();
    }
    let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", process.id()));
    sockets.is_ok_and(|sockets| is_listed(&sockets, port))
}

/// Whether a socket listens on a port, by `/proc/PID/net/tcp`.
fn is_listed(sockets: &str, port: u16) -> bool {
    /// `TCP_LISTEN` of Linux.
    const LISTEN: &str = "0A";
    let end = format!(":{port:04X}");
    sockets.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().is_some_and(|local| local.ends_with(&end));
        local && words.nth(1) == Some(LISTEN)
    })
}

fn free_port() -> Result<u16, HarnessError> {
    let bound = TcpListener::bind((LOOPBACK, 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(HarnessError::file("127.0.0.1:0"))?.port())
}

fn run(program: &Path, arguments: Vec<OsString>, log: &Path) -> Result<(), HarnessError> {
    let program = program.to_owned();
    let launch = Launch { prefix: Vec::new(), program, arguments, log: log.to_owned() };
    Output::of(&launch, wait::PATIENCE, &|| false)?.done().map(drop)
}

/// Writes a file of a server's directory.
fn write(path: &Path, text: &str) -> Result<(), HarnessError> {
    fs::write(path, text).map_err(HarnessError::file(path))
}

/// Writes a file that only its user can read, from its first byte on.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), HarnessError> {
    write(path, "")?;
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, private).map_err(HarnessError::file(path))?;
    write(path, text)
}

/// Makes a directory and all above it.
pub(super) fn made(path: PathBuf) -> Result<PathBuf, HarnessError> {
    fs::create_dir_all(&path).map_err(HarnessError::file(&path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_listens_on_the_port_is_a_server() {
        let sockets = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
                       0: 02004D0A:0016 00000000:0000 0A 00000000:00000000\n   \
                       1: 02004D0A:1F90 01004D0A:0016 01 00000000:00000000\n";

        assert!(is_listed(sockets, 22));
        assert!(!is_listed(sockets, 8080), "it is connected");
        assert!(!is_listed(sockets, 23));
    }
}
