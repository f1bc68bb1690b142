//! What a part's bytes become on their way from the source: another encoding, or lengths of
//! another kind. Whole records only, so a part's bytes never depend on those of another.

use super::error::RewriteFault;
use super::lengths::{self, Framing};
use super::{SplitOptions, Target};
use crate::encoding::ToUtf8;
use crate::format::{ByteOrder, RecordFormat};
use std::fmt::Debug;

/// Turns the bytes of records, in order and in pieces of any length, into others.
pub(super) trait Rewrite: Debug + Send {
    /// Appends what `input` becomes to `output`; what it leaves open is kept for the next call.
    /// A fault's offset counts from the first byte ever given.
    fn rewrite(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), RewriteFault>;

    /// A part or source ends: nothing may be left open. Appends what is due.
    fn end(&mut self, output: &mut Vec<u8>) -> Result<(), RewriteFault>;

    /// Illegal sequences replaced so far.
    fn replaced(&self) -> u64 {
        0
    }
}

/// How the bytes of `format` are rewritten; `None` where they stay as they are. That the target
/// is one the format has was checked before.
pub(super) fn rewriter(format: &RecordFormat, options: &SplitOptions) -> Option<Box<dyn Rewrite>> {
    let framing = match (format, options.target) {
        (RecordFormat::Variable { order: ByteOrder::Big, .. }, _) => Framing::BigEndian,
        (RecordFormat::RecfmV, _) => Framing::RecordDescriptor,
        (RecordFormat::RecfmVb, _) => Framing::BlockDescriptor,
        (RecordFormat::Fixed { record_bytes }, Target::Variable) => Framing::Fixed(*record_bytes),
        (_, Target::Utf8 | Target::Utf8WithMark) => {
            let converter = ToUtf8::try_new(format.encoding(), options.on_invalid).ok()?;
            return Some(Box::new(converter));
        }
        _ => return None,
    };
    Some(Box::new(lengths::Lengths::new(framing)))
}

impl Rewrite for ToUtf8 {
    fn rewrite(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), RewriteFault> {
        Ok(self.push(input, output)?)
    }

    fn end(&mut self, output: &mut Vec<u8>) -> Result<(), RewriteFault> {
        Ok(self.finish(output)?)
    }

    fn replaced(&self) -> u64 {
        self.replaced()
    }
}
