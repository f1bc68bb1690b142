//! An sshd for the user that runs the bench.

use super::{Place, listening_at, made, program, run, write};
use crate::bench::BenchError;
use crate::error::HarnessError;
use crate::process::Process;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name the SSH configuration of the clients gives the sshd.
pub(in crate::bench) const SSH_HOST: &str = "bench";

/// Where an sshd of root locks up what talks to strangers; made by whatever starts it at boot.
const SEPARATION_DIR: &str = "/run/sshd";

/// A running sshd.
pub(in crate::bench) struct Sshd {
    process: Process,
    client_config: PathBuf,
    _empty: Option<EmptyDir>,
}

impl Sshd {
    /// Starts one that keeps all it needs in `root/ssh`.
    pub(in crate::bench) fn start(root: &Path) -> Result<Self, BenchError> {
        Self::start_at(root, &Place::loopback())
    }

    /// As [`Sshd::start`], at another place.
    pub(in crate::bench) fn start_at(root: &Path, place: &Place) -> Result<Self, BenchError> {
        let dir = &made(root.join("ssh"))?;
        let keygen = program("ssh-keygen")?;
        for key in ["host_key", "user_key"] {
            let path = dir.join(key);
            let arguments = crate::args!["-q", "-t", "ed25519", "-N", "", "-f", &path];
            run(&keygen, arguments, &dir.join("keygen.log"))?;
        }
        program("ssh")?;
        let root = rustix::process::geteuid().is_root();
        let empty = if root { EmptyDir::make(SEPARATION_DIR)? } else { None };
        let process = listening_at(place, "sshd", &dir.join("sshd.log"), |port| {
            let config = dir.join("sshd_config");
            write(&config, &server_config(dir, (place.host, port)))?;
            write(&dir.join("ssh_config"), &client_config(dir, (place.host, port)))?;
            // Without -D it leaves, without -e it logs elsewhere.
            Ok(crate::args!["-D", "-e", "-f", &config])
        })?;
        let client_config = dir.join("ssh_config");
        Ok(Self { process: process.0, client_config, _empty: empty })
    }

    /// Its process id.
    pub(in crate::bench) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What `ssh -F` takes to reach it as [`SSH_HOST`].
    pub(in crate::bench) fn client_config(&self) -> &Path {
        &self.client_config
    }
}

/// A directory outside our own that was made for the run and is removed with it.
struct EmptyDir(&'static str);

impl EmptyDir {
    /// Makes the directory; `None` when it is there already.
    fn make(path: &'static str) -> Result<Option<Self>, HarnessError> {
        match fs::create_dir(path) {
            Ok(()) => Ok(Some(Self(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(HarnessError::File { path: path.into(), source }),
        }
    }
}

impl Drop for EmptyDir {
    fn drop(&mut self) {
        // Somebody else may use it by now.
        let _ = fs::remove_dir(self.0);
    }
}

fn server_config(dir: &Path, (host, port): (&str, u16)) -> String {
    let dir = dir.display();
    let root = rustix::process::geteuid().is_root();
    // The account of root may be locked for passwords, which only PAM tells apart from closed.
    let pam = if root { "yes" } else { "no" };
    format!(
        "ListenAddress {host}\nPort {port}\nHostKey \"{dir}/host_key\"\n\
         AuthorizedKeysFile \"{dir}/user_key.pub\"\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUsePAM {pam}\n\
         StrictModes no\nPidFile none\nUseDNS no\nPrintMotd no\n\
         Subsystem sftp internal-sftp\n"
    )
}

fn client_config(dir: &Path, (host, port): (&str, u16)) -> String {
    let dir = dir.display();
    format!(
        "Host {SSH_HOST}\nHostName {host}\nPort {port}\nIdentityFile \"{dir}/user_key\"\n\
         IdentitiesOnly yes\nUserKnownHostsFile \"{dir}/known_hosts\"\n\
         StrictHostKeyChecking accept-new\nBatchMode yes\nLogLevel ERROR\n"
    )
}
