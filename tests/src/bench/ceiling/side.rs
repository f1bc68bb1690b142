//! The two sides of a ceiling, each a process of this program, and what they tell the one that
//! started them: a line of JSON each, on stdout.

use super::{Ceiling, CeilingError, Turn, quic, tcp};
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Where a receiver listens.
#[derive(Debug, Deserialize, Serialize)]
struct Listening {
    address: SocketAddr,
}

/// What a receiver got.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Received {
    pub(super) bytes: u64,
    pub(super) cpu_seconds: f64,
}

/// What a sender sent.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Sent {
    bytes: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// Time and CPU time from a moment on.
pub(super) struct Stopwatch {
    began: Instant,
    cpu_seconds: f64,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), cpu_seconds: cpu_seconds() }
    }

    /// What sending `bytes` since then took.
    pub(super) fn sent(self, bytes: u64) -> Sent {
        let seconds = self.began.elapsed().as_secs_f64();
        Sent { bytes, seconds, cpu_seconds: cpu_seconds() - self.cpu_seconds }
    }
}

/// CPU time of this process so far, all of its threads.
pub(super) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Tells where this side listens.
pub(super) fn announce(address: SocketAddr) {
    say(&Listening { address });
}

fn say(what: &impl Serialize) {
    let line = serde_json::to_string(what).expect("numbers and addresses are JSON");
    let mut stdout = std::io::stdout().lock();
    // The one that listens is gone together with what it would do with this.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Is the receiver.
pub(super) fn receive(ceiling: Ceiling, directory: &Path) -> Result<(), CeilingError> {
    let received = match ceiling {
        Ceiling::Quic => quic::receive(directory),
        _ => tcp::receive(directory, ceiling == Ceiling::Tls),
    }?;
    say(&received);
    Ok(())
}

/// Is the sender of so many bytes to this address.
pub(super) fn send(
    ceiling: Ceiling,
    directory: &Path,
    order: (SocketAddr, u64),
) -> Result<(), CeilingError> {
    let sent = match ceiling {
        Ceiling::Quic => quic::send(directory, order),
        _ => tcp::send(directory, ceiling == Ceiling::Tls, order),
    }?;
    say(&sent);
    Ok(())
}

/// A side as the one that started it sees it. Killed when it is not needed any more.
struct Side {
    ceiling: Ceiling,
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Side {
    fn start(
        ceiling: Ceiling,
        role: &str,
        (directory, more): (&Path, &[String]),
    ) -> Result<Self, CeilingError> {
        let failed = |source| CeilingError::Start { ceiling: ceiling.name(), source };
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args([role, ceiling.name()])
            .arg(directory)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let said = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Ok(Self { ceiling, child, said })
    }

    /// The next line it says.
    fn hear<T: DeserializeOwned>(&mut self) -> Result<T, CeilingError> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line.is_empty() {
            return Err(CeilingError::Side { ceiling: self.ceiling.name() });
        }
        serde_json::from_str(&line)
            .map_err(|_| CeilingError::Unsaid { ceiling: self.ceiling.name(), said: line })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Fails for a side that has ended, which is what most have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `bytes` once from one process to another.
pub(super) fn turn(ceiling: Ceiling, directory: &Path, bytes: u64) -> Result<Turn, CeilingError> {
    let mut receiver = Side::start(ceiling, "--receive", (directory, &[]))?;
    let Listening { address } = receiver.hear()?;
    let order = [address.to_string(), bytes.to_string()];
    let mut sender = Side::start(ceiling, "--send", (directory, &order))?;
    let sent: Sent = sender.hear()?;
    let received: Received = receiver.hear()?;
    if sent.bytes != received.bytes {
        let (ceiling, sent, received) = (ceiling.name(), sent.bytes, received.bytes);
        return Err(CeilingError::Short { ceiling, sent, received });
    }
    Ok(Turn {
        bytes,
        seconds: sent.seconds,
        sender_cpu_seconds: sent.cpu_seconds,
        receiver_cpu_seconds: received.cpu_seconds,
    })
}
