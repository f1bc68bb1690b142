//! Who carries the file, and with which command.

use super::server::SSH_HOST;
use super::stage::{FILE, Stage};
use crate::args;
use std::ffi::OsString;
use std::path::Path;

/// Parts of the sprayed file.
const PARTS: &str = "4";

/// A way to carry the file from one side to the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Contender {
    /// Into four parts on a plane, durable, verified and receipted.
    Spray,
    /// From the plane back into a landing zone.
    Despray,
    /// A local copy made durable: what the disk allows.
    Copy,
    /// What most people use, as they use it.
    Rsync,
    /// The same at its fastest.
    RsyncGcm,
    /// A plain upload: no hash, no sync.
    Curl,
}

/// What a process of the other side belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Relay,
    Sshd,
    Nginx,
    None,
}

impl Contender {
    pub(super) const ALL: [Self; 6] =
        [Self::Spray, Self::Despray, Self::Copy, Self::Rsync, Self::RsyncGcm, Self::Curl];

    /// The contenders of a round in groups that follow each other: what is sprayed comes back.
    pub(super) const SLOTS: [&[Self]; 5] = [
        &[Self::Spray, Self::Despray],
        &[Self::Copy],
        &[Self::Rsync],
        &[Self::RsyncGcm],
        &[Self::Curl],
    ];

    /// What tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spray => "skyspray spray",
            Self::Despray => "skyspray despray",
            Self::Copy => "cp, sync",
            Self::Rsync => "rsync over ssh",
            Self::RsyncGcm => "rsync -W over ssh, aes128-gcm",
            Self::Curl => "curl to nginx, TLS 1.3",
        }
    }

    /// How much faster than it the spray has to be; `None` where there is no bar.
    pub(super) fn bar(self) -> Option<f64> {
        match self {
            Self::Rsync | Self::RsyncGcm => Some(1.4),
            Self::Curl => Some(0.7),
            Self::Spray | Self::Despray | Self::Copy => None,
        }
    }

    /// Who serves it.
    pub(super) fn side(self) -> Side {
        match self {
            Self::Spray | Self::Despray => Side::Relay,
            Self::Rsync | Self::RsyncGcm => Side::Sshd,
            Self::Curl => Side::Nginx,
            Self::Copy => Side::None,
        }
    }

    /// The program to look for and its arguments.
    pub(super) fn command(self, stage: &Stage<'_>) -> (&'static str, Vec<OsString>) {
        let (source, target) = (&stage.source, stage.delivered(self));
        match self {
            Self::Spray => {
                let mut words = args!["spray", source, &stage.name(), "--parts", PARTS];
                words.extend(args!["--format", "fixed", "--record-size", "1024"]);
                words.extend(args!["--dir", &stage.edge.dir, "--json"]);
                ("skyspray-edge", words)
            }
            Self::Despray => {
                let mut words = args!["despray", &stage.name(), &target[0]];
                words.extend(args!["--dir", &stage.edge.dir, "--json"]);
                ("skyspray-edge", words)
            }
            Self::Copy => {
                let script = "cp \"$1\" \"$2\" && sync \"$2\"";
                ("sh", args!["-c", script, "sh", source, &target[0]])
            }
            Self::Rsync => ("rsync", rsync("-a", "", source, stage)),
            Self::RsyncGcm => ("rsync", rsync("-aW", " -c aes128-gcm@openssh.com", source, stage)),
            Self::Curl => {
                let keys = stage.nginx.keys();
                let mut words = args!["-sS", "--fail", "--cacert", &keys.join("ca.pem")];
                words.extend(args!["--cert", &keys.join("client.pem")]);
                words.extend(args!["--key", &keys.join("client.key")]);
                words.extend(args!["-T", source, &stage.nginx.url(FILE)]);
                ("curl", words)
            }
        }
    }
}

fn rsync(flags: &str, cipher: &str, source: &Path, stage: &Stage<'_>) -> Vec<OsString> {
    let shell = format!("ssh -F '{}'{cipher}", stage.sshd.client_config().display());
    let target = format!("{}:{}/", SSH_HOST, stage.target.display());
    args![flags, "--fsync", "-e", &shell, source, &target]
}
