//! Copies on one machine: what the disk allows.

use super::Field;
use crate::args;
use crate::bench::contender::Entry;

/// A copy made durable.
pub(in crate::bench) const COPY: &str = "cp, sync";
/// A copy of a tree as people make it, not durable.
pub(in crate::bench) const COPY_TREE: &str = "cp -r";

pub(in crate::bench) fn copy(field: &Field) -> Entry {
    let (source, target) = (&field.load.source, field.target.join(field.load.name()));
    let script = "cp \"$1\" \"$2\" && sync \"$2\"";
    field.alone(COPY, ("sh", args!["-c", script, "sh", source, &target]))
}

pub(in crate::bench) fn copy_tree(field: &Field) -> Entry {
    field.alone(COPY_TREE, ("cp", args!["-r", &field.load.source, &field.target]))
}
