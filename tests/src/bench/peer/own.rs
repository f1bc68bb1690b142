//! The product: an edge that sprays, despray or pushes, and the relay of its pair.

use super::remove;
use crate::args;
use crate::bench::BenchError;
use crate::bench::contender::{Contender, Entry};
use crate::bench::load::Load;
use crate::binary::locate;
use crate::check::stored_parts;
use crate::pair::Pair;
use crate::process::Launch;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

pub(in crate::bench) const SPRAY: &str = "skyspray spray";
pub(in crate::bench) const DESPRAY: &str = "skyspray despray";
pub(in crate::bench) const PUSH: &str = "skyspray push";

/// Into the parts of a logical file on a plane: durable, verified and receipted.
#[derive(Clone)]
pub(in crate::bench) struct Spray {
    /// What tables call it.
    pub(in crate::bench) name: &'static str,
    pub(in crate::bench) pair: Rc<Pair>,
    pub(in crate::bench) load: Rc<Load>,
    /// The logical name without its plane.
    pub(in crate::bench) logical: &'static str,
    /// Parts, format and what else the spray is told.
    pub(in crate::bench) options: Vec<OsString>,
}

/// From the parts of a logical file back into one file of the landing zone.
struct Despray {
    name: &'static str,
    spray: Spray,
}

/// A tree to a directory of the plane, every file durable.
struct Push {
    pair: Rc<Pair>,
    load: Rc<Load>,
}

/// A command of the edge.
fn edge(pair: &Pair, words: Vec<OsString>) -> Result<Launch, BenchError> {
    let mut arguments = words;
    arguments.extend(args!["--dir", &pair.edge.dir, "--json"]);
    let log = pair.root.path().join("edge-commands.log");
    let prefix = pair.edge.prefix.clone();
    Ok(Launch { prefix, program: locate("skyspray-edge")?, arguments, log })
}

impl Spray {
    /// How files of records of 1 KiB are sprayed.
    pub(in crate::bench) fn fixed(parts: &str) -> Vec<OsString> {
        args!["--parts", parts, "--format", "fixed", "--record-size", "1024"]
    }

    /// Takes part.
    pub(in crate::bench) fn entry(self) -> Entry {
        Ok(Box::new(self))
    }

    /// What brings the same back takes part as `name`, right after it.
    pub(in crate::bench) fn back(self, name: &'static str) -> Entry {
        Ok(Box::new(Despray { name, spray: self }))
    }

    fn parts(&self) -> Result<Vec<PathBuf>, BenchError> {
        Ok(stored_parts(&self.pair.relay.plane, self.logical)?)
    }
}

impl Contender for Spray {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_own(&self) -> bool {
        true
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn server(&self) -> Option<u32> {
        Some(self.pair.relay.process().id())
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        let mut words = args!["spray", &self.load.source, &self.pair.target(self.logical)];
        words.extend(self.options.iter().cloned());
        edge(&self.pair, words)
    }

    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        Ok(self.load.is_joined(&self.parts()?)?)
    }

    fn clear(&self, _: u32) -> Result<(), BenchError> {
        if !self.parts()?.is_empty() {
            let name = self.pair.target(self.logical);
            self.pair.relay.admin(args!["file", "remove", &name])?.done()?;
        }
        Ok(())
    }
}

impl Despray {
    fn back(&self) -> PathBuf {
        self.spray.pair.edge.file("back")
    }
}

impl Contender for Despray {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_own(&self) -> bool {
        true
    }

    fn load(&self) -> &Rc<Load> {
        &self.spray.load
    }

    fn reads_load(&self) -> bool {
        false
    }

    fn server(&self) -> Option<u32> {
        self.spray.server()
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        let name = self.spray.pair.target(self.spray.logical);
        edge(&self.spray.pair, args!["despray", &name, &self.back()])
    }

    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        Ok(self.spray.load.is_at(&self.back())?)
    }

    fn clear(&self, _: u32) -> Result<(), BenchError> {
        Ok(remove(&self.back())?)
    }
}

/// A push of a tree takes part.
pub(in crate::bench) fn push(pair: &Rc<Pair>, load: &Rc<Load>) -> Entry {
    Ok(Box::new(Push { pair: Rc::clone(pair), load: Rc::clone(load) }))
}

impl Push {
    /// A directory of its own in each round, so that nothing is there already.
    fn directory(round: u32) -> String {
        format!("round-{round}")
    }
}

impl Contender for Push {
    fn name(&self) -> &'static str {
        PUSH
    }

    fn is_own(&self) -> bool {
        true
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn server(&self) -> Option<u32> {
        Some(self.pair.relay.process().id())
    }

    fn launch(&self, round: u32) -> Result<Launch, BenchError> {
        let target = self.pair.target(&format!("{}/", Self::directory(round)));
        edge(&self.pair, args!["push", &self.load.source, &target])
    }

    fn is_delivered(&self, round: u32) -> Result<bool, BenchError> {
        let directory = self.pair.relay.plane.join(Self::directory(round));
        Ok(self.load.is_at(&directory.join(self.load.name()))?)
    }

    fn clear(&self, round: u32) -> Result<(), BenchError> {
        if self.load.stays() {
            return Ok(());
        }
        Ok(remove(&self.pair.relay.plane.join(Self::directory(round)))?)
    }
}
