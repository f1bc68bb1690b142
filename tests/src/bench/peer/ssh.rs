//! What goes over ssh: rsync, scp and tar.

use super::Field;
use crate::args;
use crate::bench::contender::{Entry, Shared};
use crate::bench::server::sshd::{SSH_HOST, Sshd};
use std::ffi::OsString;

/// What most people use, made durable; the cipher is ssh's choice.
pub(in crate::bench) const RSYNC_FSYNC: &str = "rsync -a --fsync over ssh";
/// The same as most people use it.
pub(in crate::bench) const RSYNC: &str = "rsync -a over ssh";
/// rsync at its fastest on a path that needs no savings.
pub(in crate::bench) const RSYNC_GCM: &str = "rsync -aW --fsync over ssh, aes128-gcm";
/// rsync that compresses.
pub(in crate::bench) const RSYNC_ZSTD: &str = "rsync -a --fsync -z over ssh, zstd 1";
pub(in crate::bench) const SCP: &str = "scp";
/// One stream of all files, unpacked at the other end.
pub(in crate::bench) const TAR: &str = "tar over ssh";

type SharedSshd = Shared<Sshd>;

pub(in crate::bench) fn rsync(field: &Field, sshd: &SharedSshd) -> Entry {
    field.with(RSYNC, sshd, |sshd| rsync_words(field, sshd, &["-a"], ""))
}

pub(in crate::bench) fn rsync_fsync(field: &Field, sshd: &SharedSshd) -> Entry {
    field.with(RSYNC_FSYNC, sshd, |sshd| rsync_words(field, sshd, &["-a", "--fsync"], ""))
}

pub(in crate::bench) fn rsync_gcm(field: &Field, sshd: &SharedSshd) -> Entry {
    let cipher = " -c aes128-gcm@openssh.com";
    field.with(RSYNC_GCM, sshd, |sshd| rsync_words(field, sshd, &["-aW", "--fsync"], cipher))
}

pub(in crate::bench) fn rsync_zstd(field: &Field, sshd: &SharedSshd) -> Entry {
    let flags = ["-az", "--fsync", "--zc=zstd", "--zl=1"];
    field.with(RSYNC_ZSTD, sshd, |sshd| rsync_words(field, sshd, &flags, ""))
}

fn rsync_words(
    field: &Field,
    sshd: &Sshd,
    flags: &[&str],
    cipher: &str,
) -> (&'static str, Vec<OsString>) {
    let shell = format!("ssh -F '{}'{cipher}", sshd.client_config().display());
    let mut words: Vec<OsString> = flags.iter().map(OsString::from).collect();
    words.extend(args!["-e", &shell, &field.load.source, &remote(field)]);
    ("rsync", words)
}

pub(in crate::bench) fn scp(field: &Field, sshd: &SharedSshd) -> Entry {
    field.with(SCP, sshd, |sshd| {
        let mut words = args!["-q", "-F", sshd.client_config()];
        if field.load.is_tree {
            words.extend(args!["-r"]);
        }
        words.extend(args![&field.load.source, &remote(field)]);
        ("scp", words)
    })
}

pub(in crate::bench) fn tar(field: &Field, sshd: &SharedSshd) -> Entry {
    field.with(TAR, sshd, |sshd| {
        let script = "set -o pipefail; \
                      tar -C \"$1\" -cf - \"$2\" | ssh -F \"$3\" \"$4\" \"tar -C '$5' -xf -\"";
        let parent = field.load.source.parent().expect("a load is in a directory");
        let mut words = args!["-c", script, "bash", parent, field.load.name()];
        words.extend(args![sshd.client_config(), SSH_HOST, &field.target]);
        ("bash", words)
    })
}

/// The target as rsync and scp write it.
fn remote(field: &Field) -> OsString {
    format!("{SSH_HOST}:{}/", field.target.display()).into()
}
