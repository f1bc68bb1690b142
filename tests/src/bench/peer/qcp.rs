//! qcp: QUIC from user space, set up over ssh.

use super::Field;
use crate::args;
use crate::bench::contender::{Absence, Entry, Shared};
use crate::bench::server::program;
use crate::bench::server::sshd::{SSH_HOST, Sshd};

pub(in crate::bench) const QCP: &str = "qcp --rtt 20";

/// qcp sizes its buffers by the bandwidth and round trip it is told: 10 Gbit/s, and a round trip
/// that was its fastest setting on one machine.
pub(in crate::bench) fn qcp(field: &Field, sshd: &Shared<Sshd>) -> Entry {
    let own = program(QCP_PROGRAM);
    let own = own.map_err(|error| Absence { name: QCP, reason: error.brief() })?;
    field.with(QCP, sshd, |sshd| {
        let config = sshd.client_config();
        let mut words = args!["-q", "--ssh-config", config, "-S", "-F", "-S", config];
        words.extend(args!["--remote-qcp-binary", &own]);
        words.extend(args!["--rx", "1250M", "--tx", "1250M", "--rtt", "20"]);
        if field.load.is_tree {
            words.extend(args!["-r"]);
        }
        let target = format!("{SSH_HOST}:{}/", field.target.display());
        words.extend(args![&field.load.source, &target]);
        (QCP_PROGRAM, words)
    })
}

const QCP_PROGRAM: &str = "qcp";
