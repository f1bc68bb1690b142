//! rsync to its own daemon: no encryption, nothing durable.

use super::Field;
use crate::args;
use crate::bench::contender::{Entry, Shared};
use crate::bench::server::rsyncd::Rsyncd;

pub(in crate::bench) const RSYNC_DAEMON: &str = "rsync -a to its daemon";

pub(in crate::bench) fn rsync(field: &Field, daemon: &Shared<Rsyncd>) -> Entry {
    field.with(RSYNC_DAEMON, daemon, |daemon| {
        ("rsync", args!["-a", &field.load.source, &daemon.url()])
    })
}
