//! Where the programs of the servers are, free ports and random words.

use crate::error::HarnessError;
use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;

/// The path of a program that a Debian package brings: on `PATH`, in the directories the path of a
/// plain user may lack, or in one of `further`.
pub(super) fn installed(
    name: &'static str,
    further: impl IntoIterator<Item = PathBuf>,
) -> Result<PathBuf, HarnessError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let places = env::split_paths(&path).chain(system).chain(further);
    let mut found = places.map(|place| place.join(name)).filter(|path| path.is_file());
    found.next().ok_or(HarnessError::ServerMissing { program: name })
}

/// The path of a program that is below the directory of the test tools, `relative` to it.
pub(super) fn cached(name: &'static str, relative: &str) -> Result<PathBuf, HarnessError> {
    let path = cache().map(|cache| cache.join(relative).join(name));
    path.filter(|path| path.is_file()).ok_or(HarnessError::ServerMissing { program: name })
}

/// The directory of the test tools, as `.ci/install-test-tools` chooses it.
pub(super) fn cache() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = |parent: PathBuf| parent.join("skyspray-test-tools");
    set("SKYSPRAY_TEST_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(named))
        .or_else(|| set("HOME").map(|home| named(home.join(".cache"))))
}

/// Different TCP ports that are free on the loopback address. Somebody may take one before it is
/// used, so a start that fails tries again with others.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N], HarnessError> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let bound = TcpListener::bind(("127.0.0.1", 0));
        let listener = bound.map_err(HarnessError::file("127.0.0.1:0"))?;
        let address = listener.local_addr().map_err(HarnessError::file("127.0.0.1:0"))?;
        *port = address.port();
        held.push(listener);
    }
    Ok(ports)
}

/// 16 random bytes as hexadecimal digits, for names and secrets.
pub(super) fn random_word() -> Result<String, HarnessError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fills a slice with random bytes.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), HarnessError> {
    const SOURCE: &str = "/dev/urandom";
    let mut source = File::open(SOURCE).map_err(HarnessError::file(SOURCE))?;
    source.read_exact(bytes).map_err(HarnessError::file(SOURCE))
}

/// Writes a file of a server's directory.
pub(super) fn write(path: &std::path::Path, text: &str) -> Result<(), HarnessError> {
    fs::write(path, text).map_err(HarnessError::file(path))
}
