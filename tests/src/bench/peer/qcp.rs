//! qcp: QUIC from user space, set up over ssh.

use super::Field;
use crate::args;
use crate::bench::contender::{Absence, Entry, Shared};
use crate::bench::server::program;
use crate::bench::server::sshd::{SSH_HOST, Sshd};
use std::ffi::OsString;

pub(in crate::bench) const QCP: &str = "qcp --rtt 20";
pub(in crate::bench) const QCP_FAR: &str = "qcp --rtt 80 --congestion bbr";

/// qcp sizes its buffers by the bandwidth and round trip it is told: 10 Gbit/s, and a round trip
/// that was its fastest setting on one machine.
pub(in crate::bench) fn qcp(field: &Field, sshd: &Shared<Sshd>) -> Entry {
    told(QCP, field, sshd, args!["--rx", "1250M", "--tx", "1250M", "--rtt", "20"])
}

/// The same told of a path of 200 Mbit/s and 80 ms, and with the controller that was its fastest
/// where packets are lost.
pub(in crate::bench) fn qcp_far(field: &Field, sshd: &Shared<Sshd>) -> Entry {
    let path = args!["--rx", "25M", "--tx", "25M", "--rtt", "80", "--congestion", "bbr"];
    told(QCP_FAR, field, sshd, path)
}

fn told(name: &'static str, field: &Field, sshd: &Shared<Sshd>, path: Vec<OsString>) -> Entry {
    let own = program(QCP_PROGRAM);
    let own = own.map_err(|error| Absence { name, reason: error.brief() })?;
    field.with(name, sshd, |sshd| {
        let config = sshd.client_config();
        let mut words = args!["-q", "--ssh-config", config, "-S", "-F", "-S", config];
        words.extend(args!["--remote-qcp-binary", &own]);
        words.extend(path);
        if field.load.is_tree {
            words.extend(args!["-r"]);
        }
        let target = format!("{SSH_HOST}:{}/", field.target.display());
        words.extend(args![&field.load.source, &target]);
        (QCP_PROGRAM, words)
    })
}

const QCP_PROGRAM: &str = "qcp";
