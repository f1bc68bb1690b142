//! `init`: a relay's directory from nothing.

use super::{AdminError, Host, Output};
use crate::catalogue::Catalogue;
use crate::config::{CatalogueArg, NewRelay, Overrides, PlaneArg, RelayDir, RelaySettings};
use crate::plane::{ObjectMemory, Plane, PlaneUrl};
use clap::Args;
use serde::Serialize;
use skyspray_certs::RelayIdentity;
use skyspray_certs::store::RelayStore;
use skyspray_link::seam::files::{Caching, FileError, OsTree, RelPath, Replace, Tree};
use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `init`.
#[derive(Args, Clone, Debug)]
pub struct InitArgs {
    /// Directory to make the relay in.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Where enrolled edges connect, as IP:PORT; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", value_parser = listen_address, default_value = "0.0.0.0:4433")]
    pub listen: SocketAddr,
    /// Where edges enroll, as IP:PORT; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", value_parser = listen_address, default_value = "0.0.0.0:4434")]
    pub enroll_listen: SocketAddr,
    /// Where the HTTP interface listens, as IP:PORT; without it none is served. Anything but a loopback
    /// address needs the keys of [api] in relay.toml.
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub api_listen: Option<SocketAddr>,
    /// Name or address by which edges reach this relay [default: the host name].
    #[arg(long, value_name = "HOST")]
    pub public_name: Option<String>,
    /// DNS suffix of every certificate name; it need not exist in DNS.
    #[arg(long, value_name = "DOMAIN", default_value = "skyspray.internal")]
    pub trust_domain: String,
    /// A storage plane, e.g. `data=file:///srv/data`; its directory is made if need be.
    #[arg(long = "plane", value_name = "NAME=URL")]
    pub planes: Vec<PlaneArg>,
}

/// A text that is not the address of a listener.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{text:?} is not IP:PORT, such as 0.0.0.0:4433")]
pub(super) struct ListenAddressError {
    text: String,
}

fn listen_address(text: &str) -> Result<SocketAddr, ListenAddressError> {
    text.parse().map_err(|_| ListenAddressError { text: text.chars().take(80).collect() })
}

#[derive(Serialize)]
struct Initialised<'a> {
    dir: &'a Path,
    public_name: &'a str,
    trust_domain: &'a str,
    listen: SocketAddr,
    enroll_listen: SocketAddr,
    planes: Vec<&'a str>,
}

/// Makes the directory. What can be wrong with the arguments is found before anything is made;
/// `relay.toml` is written last, so that a directory that has one is whole.
pub(super) async fn init(
    args: InitArgs,
    overrides: &Overrides,
    host: &Host,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let dir = RelayDir::new(&args.directory);
    let public_name = args.public_name.map_or_else(host_name, Ok)?;
    let new = NewRelay {
        public_name,
        trust_domain: args.trust_domain,
        listen: args.listen,
        enroll_listen: args.enroll_listen,
        api_listen: args.api_listen,
        planes_from: overrides.planes_from.as_deref().map(absolute).transpose()?,
        planes: args.planes,
        catalogue: overrides
            .catalogue
            .as_ref()
            .map(CatalogueArg::url)
            .transpose()?
            .unwrap_or_default(),
    };
    let text = new.to_toml();
    let settings = RelaySettings::parse(&text, &dir.config_file(), &Overrides::default())?;
    refuse_existing(&dir)?;
    for PlaneArg { name, url } in &new.planes {
        if let PlaneUrl::File(path) = url {
            make_dir(path, PLANE_MODE)?;
        }
        Plane::configured(settings.plane(name)?, ObjectMemory::default())
            .map_err(|source| AdminError::PlaneOpen { plane: name.clone(), source })?;
    }
    make_dir(dir.path(), PRIVATE_MODE)?;
    make_dir(&dir.state(), PRIVATE_MODE)?;
    let trust_domain = settings.trust_domain.clone();
    let identity = RelayIdentity::create(trust_domain, host.clock.now(), &host.random)?;
    RelayStore::create(&dir.identity())?.save(&identity)?;
    Catalogue::create(&settings.catalogue_place(&dir)).await?.close().await;
    write_config(&dir, &text)?;
    let initialised = Initialised {
        dir: dir.path(),
        public_name: settings.public_name.as_str(),
        trust_domain: settings.trust_domain.as_str(),
        listen: settings.listen,
        enroll_listen: settings.enroll_listen,
        planes: settings.planes.keys().map(|name| name.as_str()).collect(),
    };
    let shown = dir.path().display();
    output.result("initialised", &initialised, &format!("relay initialised in {shown}"))?;
    output.hint(&format!("start it with: skyspray-relay serve {shown}"))
}

/// Any part of a relay is reason enough: keys that edges trust are not made twice.
fn refuse_existing(dir: &RelayDir) -> Result<(), AdminError> {
    let parts = [dir.config_file(), dir.identity(), dir.catalogue()];
    match parts.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(found) => Err(AdminError::AlreadyInitialised { found }),
        None => Ok(()),
    }
}

/// As it is written into `relay.toml`, which other commands read from other working directories.
fn absolute(path: &Path) -> Result<String, AdminError> {
    let absolute = std::path::absolute(path).and_then(|path| {
        path.into_os_string().into_string().map_err(|_| io::ErrorKind::InvalidFilename.into())
    });
    absolute.map_err(|source| AdminError::File { action: "name", path: path.into(), source })
}

fn make_dir(path: &Path, mode: u32) -> Result<(), AdminError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|source| AdminError::File {
        action: "make directory",
        path: path.into(),
        source,
    })
}

fn write_config(dir: &RelayDir, text: &str) -> Result<(), AdminError> {
    let tree = OsTree::open(dir.path()).map_err(|source| AdminError::Directory { source })?;
    let write = || -> Result<(), FileError> {
        let name = |text| RelPath::parse(text).expect("a plain file name is a path");
        let (temporary, config) = (name(".relay.toml.new"), name("relay.toml"));
        let _ = tree.remove_file(&temporary);
        let file = tree.create_new(&temporary, CONFIG_MODE, Caching::Buffered)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        tree.rename(&temporary, &config, Replace::Never)?;
        tree.sync_dir(&RelPath::root())
    };
    write().map_err(|source| AdminError::Write { source })
}

fn host_name() -> Result<String, AdminError> {
    let read: io::Result<String> = std::fs::read_to_string(HOST_NAME_FILE);
    let name = read.map_err(|_| AdminError::HostName)?.trim().to_owned();
    if name.is_empty() || name == "(none)" { Err(AdminError::HostName) } else { Ok(name) }
}

/// Where Linux says what the host is called.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// Only for the relay.
const PRIVATE_MODE: u32 = 0o700;

/// Of a plane's directory that did not exist.
const PLANE_MODE: u32 = 0o750;

/// Of `relay.toml`, which holds no secrets but is read by the relay alone.
const CONFIG_MODE: u32 = 0o600;
