//! The programs people use for the same, each with the settings people give it.

pub(super) mod http;
pub(super) mod local;
pub(super) mod null;
pub(super) mod own;
pub(super) mod qcp;
pub(super) mod rsyncd;
pub(super) mod s3;
pub(super) mod ssh;

use super::BenchError;
use super::contender::{Absence, Contender, Entry, Shared, entry};
use super::load::Load;
use super::server::nginx::Nginx;
use super::server::rsyncd::Rsyncd;
use super::server::sshd::Sshd;
use super::server::{made, program};
use crate::error::HarnessError;
use crate::process::Launch;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where peers work: what they carry, and the directory they deliver it to.
pub(super) struct Field {
    pub(super) load: Rc<Load>,
    pub(super) target: PathBuf,
    /// What runs them, where they have to be somewhere else than the bench; often empty.
    pub(super) prefix: Vec<OsString>,
    /// Where their logs go.
    root: PathBuf,
}

impl Field {
    /// Peers that carry `load` to `root/target`.
    pub(super) fn new(root: &Path, load: &Rc<Load>) -> Result<Self, HarnessError> {
        let target = made(root.join("target"))?;
        Ok(Self { load: Rc::clone(load), target, prefix: Vec::new(), root: root.to_owned() })
    }

    /// The entry of a peer that needs no server.
    fn alone(&self, name: &'static str, (tool, arguments): (&'static str, Vec<OsString>)) -> Entry {
        entry(name, self.carrier(name, (tool, arguments), Server::None))
    }

    /// The entry of a peer that talks to a server, if that is there.
    fn with<T>(
        &self,
        name: &'static str,
        server: &Shared<T>,
        command: impl FnOnce(&T) -> (&'static str, Vec<OsString>),
    ) -> Entry
    where
        Server: From<Rc<T>>,
    {
        match server {
            Ok(server) => {
                let command = command(server);
                entry(name, self.carrier(name, command, Rc::clone(server).into()))
            }
            Err(reason) => Err(Absence { name, reason: reason.clone() }),
        }
    }

    fn carrier(
        &self,
        name: &'static str,
        (tool, arguments): (&'static str, Vec<OsString>),
        server: Server,
    ) -> Result<Carrier, BenchError> {
        let log = self.root.join(format!("{tool}.log"));
        let prefix = self.prefix.clone();
        let launch = Launch { prefix, program: program(tool)?, arguments, log };
        let delivered = self.target.join(self.load.name());
        Ok(Carrier { name, load: Rc::clone(&self.load), launch, server, delivered })
    }
}

/// A program that does the same in every round and delivers to the same place.
struct Carrier {
    name: &'static str,
    load: Rc<Load>,
    launch: Launch,
    server: Server,
    delivered: PathBuf,
}

/// The other side of a peer.
enum Server {
    None,
    Sshd(Rc<Sshd>),
    Nginx(Rc<Nginx>),
    Rsyncd(Rc<Rsyncd>),
}

impl From<Rc<Sshd>> for Server {
    fn from(server: Rc<Sshd>) -> Self {
        Self::Sshd(server)
    }
}

impl From<Rc<Nginx>> for Server {
    fn from(server: Rc<Nginx>) -> Self {
        Self::Nginx(server)
    }
}

impl From<Rc<Rsyncd>> for Server {
    fn from(server: Rc<Rsyncd>) -> Self {
        Self::Rsyncd(server)
    }
}

impl Contender for Carrier {
    fn name(&self) -> &'static str {
        self.name
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn server(&self) -> Option<u32> {
        match &self.server {
            Server::None => None,
            Server::Sshd(server) => Some(server.id()),
            Server::Nginx(server) => Some(server.id()),
            Server::Rsyncd(server) => Some(server.id()),
        }
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        Ok(self.launch.clone())
    }

    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        Ok(self.load.is_at(&self.delivered)?)
    }

    fn clear(&self, round: u32) -> Result<(), BenchError> {
        if !self.load.stays() {
            return Ok(remove(&self.delivered)?);
        }
        let name: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let aside = self.delivered.with_file_name(format!("{name}-{round}"));
        match fs::rename(&self.delivered, &aside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(HarnessError::File { path: aside, source }.into())
            }
            _ => Ok(()),
        }
    }
}

/// Removes a file or a directory with all in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), HarnessError> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(HarnessError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
