//! What single steps of a transfer cost at the least: bytes that go nowhere.

use super::Field;
use crate::args;
use crate::bench::BenchError;
use crate::bench::contender::{Absence, Contender, Entry, Shared, entry};
use crate::bench::load::Load;
use crate::bench::server::iperf::Iperf;
use crate::bench::server::program;
use crate::process::Launch;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

/// As many bytes over one TCP connection, neither encrypted nor written.
pub(in crate::bench) const IPERF: &str = "iperf3, TCP from memory";
/// The file read and hashed.
pub(in crate::bench) const B3SUM: &str = "b3sum";

/// A program that delivers nothing.
struct Null {
    name: &'static str,
    load: Rc<Load>,
    launch: Launch,
    server: Option<Rc<Iperf>>,
    reads_load: bool,
}

pub(in crate::bench) fn b3sum(field: &Field) -> Entry {
    let made = program("b3sum").map(|program| Null {
        name: B3SUM,
        load: Rc::clone(&field.load),
        launch: launch(field, program, args![&field.load.source]),
        server: None,
        reads_load: true,
    });
    entry(B3SUM, made)
}

pub(in crate::bench) fn iperf(field: &Field, server: &Shared<Iperf>) -> Entry {
    let server =
        server.as_ref().map_err(|reason| Absence { name: IPERF, reason: reason.clone() })?;
    let made = program("iperf3").map(|program| {
        let (port, bytes) = (server.port().to_string(), field.load.bytes.to_string());
        Null {
            name: IPERF,
            load: Rc::clone(&field.load),
            launch: launch(field, program, args!["-c", "127.0.0.1", "-p", &port, "-n", &bytes]),
            server: Some(Rc::clone(server)),
            reads_load: false,
        }
    });
    entry(IPERF, made)
}

fn launch(field: &Field, program: PathBuf, arguments: Vec<OsString>) -> Launch {
    Launch { prefix: Vec::new(), program, arguments, log: field.root.join("ceilings.log") }
}

impl Contender for Null {
    fn name(&self) -> &'static str {
        self.name
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn reads_load(&self) -> bool {
        self.reads_load
    }

    fn server(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.id())
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        Ok(self.launch.clone())
    }

    /// There is nothing to look at; that it ended well is all it says.
    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        Ok(true)
    }

    fn clear(&self, _: u32) -> Result<(), BenchError> {
        Ok(())
    }
}
