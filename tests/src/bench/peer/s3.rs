//! rclone to an S3 server over TLS.

use super::remove;
use crate::args;
use crate::bench::BenchError;
use crate::bench::contender::{Contender, Entry, entry};
use crate::bench::load::Load;
use crate::bench::server::store::{BUCKET, Store};
use crate::bench::server::{made, program, write_private};
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::Launch;
use crate::server::s3::REGION;
use crate::wait::PATIENCE;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(in crate::bench) const RCLONE_S3: &str = "rclone to SeaweedFS, S3 over TLS";

/// rclone and the server it uploads to.
struct Rclone {
    load: Rc<Load>,
    store: Store,
    program: PathBuf,
    dir: PathBuf,
}

/// Starts the server, with what both need in `root`.
pub(in crate::bench) fn rclone(root: &Path, load: &Rc<Load>) -> Entry {
    entry(RCLONE_S3, Rclone::start(root, load))
}

impl Rclone {
    fn start(root: &Path, load: &Rc<Load>) -> Result<Self, BenchError> {
        let program = program("rclone")?;
        let dir = made(root.join("rclone"))?;
        let store = Store::start(root)?;
        write_config(&dir.join("rclone.conf"), &store)?;
        Ok(Self { load: Rc::clone(load), store, program, dir })
    }

    /// A copy from one place to another, one of which is in the bucket.
    fn copy(&self, from: &OsString, to: &OsString) -> Launch {
        let (config, ca) = (self.dir.join("rclone.conf"), self.store.ca_file());
        Launch {
            // rclone takes no authority of ours where the environment names others.
            prefix: args!["env", "-u", "AWS_CA_BUNDLE"],
            program: self.program.clone(),
            arguments: args!["--config", &config, "--ca-cert", ca, "copyto", from, to],
            log: self.dir.join("rclone.log"),
        }
    }

    fn object(&self) -> OsString {
        format!("store:{BUCKET}/{}", self.load.name().to_string_lossy()).into()
    }
}

impl Contender for Rclone {
    fn name(&self) -> &'static str {
        RCLONE_S3
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn server(&self) -> Option<u32> {
        self.store.id()
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        Ok(self.copy(&self.load.source.clone().into(), &self.object()))
    }

    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        let back = self.dir.join("back");
        let launch = self.copy(&self.object(), &back.clone().into());
        Output::of(&launch, PATIENCE, &|| false)?.done()?;
        let same = self.load.is_at(&back);
        remove(&back)?;
        Ok(same?)
    }

    fn clear(&self, _: u32) -> Result<(), BenchError> {
        Ok(self.store.empty()?)
    }
}

/// The settings rclone reads; a key is no argument, which every user of the machine could see.
fn write_config(path: &Path, store: &Store) -> Result<(), HarnessError> {
    let s3 = store.s3();
    let text = format!(
        "[store]\ntype = s3\nprovider = Other\naccess_key_id = {}\nsecret_access_key = {}\n\
         endpoint = {}\nregion = {REGION}\nno_check_bucket = true\n",
        s3.access_key(),
        s3.secret_key(),
        s3.endpoint()
    );
    write_private(path, &text)
}
