//! rclone to an S3 server over TLS.

use super::remove;
use crate::args;
use crate::bench::BenchError;
use crate::bench::contender::{Contender, Entry, entry};
use crate::bench::load::Load;
use crate::bench::server::{made, program};
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::Launch;
use crate::server::ca::TestCa;
use crate::server::s3::REGION;
use crate::server::seaweed::Seaweed;
use crate::wait::PATIENCE;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(in crate::bench) const RCLONE_S3: &str = "rclone to SeaweedFS, S3 over TLS";

const BUCKET: &str = "bench";

/// rclone and the server it uploads to.
struct Rclone {
    load: Rc<Load>,
    server: Seaweed,
    program: PathBuf,
    dir: PathBuf,
}

/// Starts the server with what it needs in `root/rclone`.
pub(in crate::bench) fn rclone(root: &Path, load: &Rc<Load>) -> Entry {
    entry(RCLONE_S3, Rclone::start(root, load))
}

impl Rclone {
    fn start(root: &Path, load: &Rc<Load>) -> Result<Self, BenchError> {
        let program = program("rclone")?;
        let dir = made(root.join("rclone"))?;
        let ca = TestCa::new()?;
        ca.write(&dir)?;
        let server = Seaweed::start(Some(&ca))?;
        server.s3().create_bucket(BUCKET)?;
        write_config(&dir.join("rclone.conf"), &server)?;
        Ok(Self { load: Rc::clone(load), server, program, dir })
    }

    /// A copy from one place to another, one of which is in the bucket.
    fn copy(&self, from: &OsString, to: &OsString) -> Launch {
        let (config, ca) = (self.dir.join("rclone.conf"), self.dir.join("ca.pem"));
        Launch {
            // rclone takes no authority of ours where the environment names others.
            prefix: args!["env", "-u", "AWS_CA_BUNDLE"],
            program: self.program.clone(),
            arguments: args!["--config", &config, "--ca-cert", &ca, "copyto", from, to],
            log: self.dir.join("rclone.log"),
        }
    }

    fn key(&self) -> String {
        self.load.name().to_string_lossy().into_owned()
    }

    fn object(&self) -> OsString {
        format!("store:{BUCKET}/{}", self.key()).into()
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
        self.server.id()
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
        let store = self.server.s3();
        store.delete(BUCKET, &self.key())?;
        // What it takes on disk goes with the bucket alone.
        let path = format!("/{BUCKET}");
        let gone = store.request("DELETE", &path, &[], b"")?;
        if !(200..300).contains(&gone.status) {
            let (request, body) = (format!("DELETE {path}"), gone.text());
            return Err(HarnessError::Answered { request, status: gone.status, body }.into());
        }
        Ok(store.create_bucket(BUCKET)?)
    }
}

/// The settings rclone reads; a key is no argument, which every user of the machine could see.
fn write_config(path: &Path, server: &Seaweed) -> Result<(), HarnessError> {
    let s3 = server.s3();
    let text = format!(
        "[store]\ntype = s3\nprovider = Other\naccess_key_id = {}\nsecret_access_key = {}\n\
         endpoint = {}\nregion = {REGION}\nno_check_bucket = true\n",
        s3.access_key(),
        s3.secret_key(),
        s3.endpoint()
    );
    fs::write(path, "").map_err(HarnessError::file(path))?;
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, private).map_err(HarnessError::file(path))?;
    fs::write(path, text).map_err(HarnessError::file(path))
}
