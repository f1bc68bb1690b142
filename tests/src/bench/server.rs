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

/// How long a server may take until it listens.
const READY: Duration = Duration::from_secs(10);

/// A port that was free may be taken when the server asks for it.
const ATTEMPTS: u32 = 5;

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
