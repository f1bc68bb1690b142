//! Whether a stream is UTF-8, without copying it.

use super::first::{First, Waiting, at_end, first};
use super::{Encoding, Fault, InvalidText};

/// Looks at UTF-8 as it streams by, in any cuts; the bytes go on from where they are.
///
/// Finds what [`super::ToUtf8`] with [`super::OnInvalid::Fail`] finds in UTF-8, without its copy.
#[derive(Debug, Default)]
pub struct Utf8Check {
    waiting: Waiting,
    /// Bytes found good; those in `waiting` follow them.
    offset: u64,
    failed: Option<InvalidText>,
}

impl Utf8Check {
    /// A check of a stream from its start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidText`]: the source is at fault. Every later call says the same.
    pub fn push(&mut self, input: &[u8]) -> Result<(), InvalidText> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let mut rest = input;
        while !self.waiting.bytes().is_empty() {
            let Some((&byte, after)) = rest.split_first() else { return Ok(()) };
            self.waiting.add(byte);
            match first(Encoding::Utf8, self.waiting.bytes()) {
                First::Unfinished => {}
                First::Character(_, length) => {
                    self.waiting.drop_first(length);
                    self.offset += length as u64;
                }
                First::Bad(fault, _) => return Err(self.fail(fault)),
            }
            rest = after;
        }
        let Err(error) = std::str::from_utf8(rest) else {
            self.offset += rest.len() as u64;
            return Ok(());
        };
        self.offset += error.valid_up_to() as u64;
        let rest = &rest[error.valid_up_to()..];
        match first(Encoding::Utf8, rest) {
            First::Bad(fault, _) => Err(self.fail(fault)),
            _ => {
                self.waiting.hold(rest);
                Ok(())
            }
        }
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// [`InvalidText`]: the source ends inside a character, or failed before.
    pub fn finish(&mut self) -> Result<(), InvalidText> {
        match self.failed {
            Some(failed) => Err(failed),
            None if self.waiting.bytes().is_empty() => Ok(()),
            None => {
                let (fault, _) = at_end(Encoding::Utf8, self.waiting.bytes());
                Err(self.fail(fault))
            }
        }
    }

    fn fail(&mut self, fault: Fault) -> InvalidText {
        let failed = InvalidText { encoding: Encoding::Utf8, offset: self.offset, fault };
        self.failed = Some(failed);
        failed
    }
}
