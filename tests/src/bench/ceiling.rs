//! The ceilings: what this machine allows from memory to nowhere. Bytes over the product's own QUIC
//! endpoints, over TLS 1.3 on TCP and over plain TCP, each side a process of its own, and BLAKE3
//! over memory; in turns, round after round in one run, so that what slows the machine slows all.

mod digest;
mod error;
mod identity;
mod quic;
mod report;
mod side;
mod tcp;

pub use error::CeilingError;
pub use report::{Bar, Report};

use crate::demo::interrupt::Interrupt;
use std::ffi::OsString;
use tempfile::TempDir;

/// Bytes of one write: a chunk on a file plane.
const PIECE_BYTES: usize = 1 << 20;

/// Different pieces that are sent in turns: more than the cache next to a core holds.
const PIECES: usize = 16;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ceiling {
    /// The product's QUIC endpoints with mutual TLS, four streams.
    Quic,
    /// The same TLS configurations over one TCP connection.
    Tls,
    /// One TCP connection without TLS.
    Tcp,
    /// BLAKE3 of the same bytes on one thread; nothing is sent.
    Blake3,
}

impl Ceiling {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 4] = [Self::Quic, Self::Tls, Self::Tcp, Self::Blake3];

    /// Names it on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tls => "tls-tcp",
            Self::Tcp => "tcp",
            Self::Blake3 => "blake3",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ceiling| ceiling.name() == name)
    }
}

/// What one round of one ceiling took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Turn {
    /// Bytes that went across.
    pub bytes: u64,
    /// From the first byte sent until the receiver said that it has the last.
    pub seconds: f64,
    /// CPU time of the sender meanwhile.
    pub sender_cpu_seconds: f64,
    /// CPU time of the receiver meanwhile; 0 where there is none.
    pub receiver_cpu_seconds: f64,
}

impl Turn {
    /// Megabytes a second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e6
    }

    /// CPU seconds of both sides for a gigabyte.
    pub fn cpu_seconds_a_gigabyte(&self) -> f64 {
        (self.sender_cpu_seconds + self.receiver_cpu_seconds) / self.bytes as f64 * 1e9
    }
}

/// Measures every ceiling with `mib` MiB, `rounds` times, calling `show` after every turn.
///
/// The program that calls this must hand its arguments to [`side_of`] first: the sides are
/// processes of the same program.
///
/// # Errors
///
/// A side fails, or the user stops it.
pub fn measure(
    (mib, rounds): (u64, u32),
    ceilings: &[Ceiling],
    mut show: impl FnMut(u32, Ceiling, &Turn),
) -> Result<Report, CeilingError> {
    let stop = Interrupt::watch().map_err(CeilingError::Signals)?;
    let directory = TempDir::new().map_err(CeilingError::Directory)?;
    identity::create(directory.path())?;
    let mut report = Report::default();
    for round in 0..rounds {
        // Another one first each time, so that nobody always follows the same neighbour.
        let first = round as usize % ceilings.len();
        for &ceiling in ceilings[first..].iter().chain(&ceilings[..first]) {
            let turn = match ceiling {
                Ceiling::Blake3 => digest::turn(mib << 20),
                _ => side::turn(ceiling, directory.path(), mib << 20)?,
            };
            if stop.asked() {
                return Err(CeilingError::Interrupted);
            }
            show(round, ceiling, &turn);
            report.add(ceiling, turn);
        }
    }
    Ok(report)
}

/// Whether these arguments of a process ask it to be one side of a ceiling, and what came of it.
pub fn side_of(arguments: &[OsString]) -> Option<Result<(), CeilingError>> {
    let words: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    match words?[..] {
        ["--receive", ceiling, directory] => {
            Some(side::receive(Ceiling::parse(ceiling)?, directory.as_ref()))
        }
        ["--send", ceiling, directory, address, bytes] => {
            let order = (address.parse().ok()?, bytes.parse().ok()?);
            Some(side::send(Ceiling::parse(ceiling)?, directory.as_ref(), order))
        }
        _ => None,
    }
}

/// The pieces that are sent in turns; bytes that do not shrink.
fn pieces() -> Vec<Vec<u8>> {
    let noise = |seed| {
        let mut piece = vec![0; PIECE_BYTES];
        let mut output = blake3::Hasher::new().update(&[seed as u8]).finalize_xof();
        output.fill(&mut piece);
        piece
    };
    (0..PIECES).map(noise).collect()
}
