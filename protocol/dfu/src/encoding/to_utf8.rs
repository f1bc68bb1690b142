//! Text of any Unicode encoding to UTF-8 as it streams by.

use super::first::{First, Waiting, at_end, first};
use super::runs::{self, Scratch};
use super::{Encoding, EncodingError};
use thiserror::Error;

/// What to do with bytes that are no text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnInvalid {
    /// Stop with an error that says where.
    #[default]
    Fail,
    /// Write U+FFFD for each maximal bad sequence, and count it. In UTF-16 and UTF-32 that is a
    /// unit, in UTF-8 the bytes a character could have begun with (Unicode 3.9, U+FFFD
    /// substitution of maximal subparts).
    Replace,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// In UTF-16, half of a pair without the other half.
    #[error("surrogate {unit:04X} without its pair")]
    LoneSurrogate {
        /// The unit.
        unit: u16,
    },
    /// In UTF-32, a number set aside for the pairs of UTF-16.
    #[error("surrogate {code:04X}, which is no character")]
    SurrogateCode {
        /// The number.
        code: u32,
    },
    /// In UTF-32, a number above 10FFFF.
    #[error("{code:08X}, beyond the last character 0010FFFF")]
    BeyondUnicode {
        /// The number.
        code: u32,
    },
    /// The text ends inside a unit, in UTF-8 inside a character.
    #[error("text ends inside a character (bytes left: {bytes})")]
    Incomplete {
        /// Bytes there are.
        bytes: u8,
    },
    /// Bytes that UTF-8 does not have there: no character begins so, or it breaks off, or it is
    /// written longer than need be.
    #[error("no character begins so (bytes: {bytes})")]
    IllegalUtf8 {
        /// Bytes of the bad sequence.
        bytes: u8,
    },
}

/// A text is not in the encoding it was said to be in, or is damaged.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("offset {offset} is no {encoding}: {fault}")]
pub struct InvalidText {
    /// Encoding the text should have.
    pub encoding: Encoding,
    /// Where the first bad unit starts, in bytes of what was pushed; a byte order mark that was
    /// left out before is not in it.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

impl InvalidText {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self.fault {
            Fault::Incomplete { .. } if self.encoding.unit_bytes() > 1 => Some(8079),
            _ => None,
        }
    }

    /// What a person should do.
    pub fn advice(&self) -> &'static str {
        match self.fault {
            Fault::Incomplete { .. } => "check that the file is complete and the encoding right",
            _ => {
                "check the encoding declared, or have bad characters replaced with --on-invalid \
                 replace"
            }
        }
    }
}

/// Converts a stream to UTF-8, pushed in any cuts, also inside a unit.
///
/// Keeps at most the 3 bytes of a character that has not ended, besides a buffer of fixed size.
#[derive(Debug)]
pub struct ToUtf8 {
    encoding: Encoding,
    on_invalid: OnInvalid,
    scratch: Scratch,
    waiting: Waiting,
    /// Bytes decided; those in `waiting` follow them.
    offset: u64,
    replaced: u64,
    failed: Option<InvalidText>,
}

impl ToUtf8 {
    /// A converter at the start of a text, its byte order mark left out. From
    /// [`Encoding::Utf8`] it validates and copies; [`super::Utf8Check`] validates alone.
    ///
    /// # Errors
    ///
    /// [`EncodingError::NoConversion`] from [`Encoding::Ascii`], which says nothing about text.
    pub fn try_new(encoding: Encoding, on_invalid: OnInvalid) -> Result<Self, EncodingError> {
        if encoding == Encoding::Ascii {
            return Err(EncodingError::NoConversion { from: encoding });
        }
        Ok(Self {
            encoding,
            on_invalid,
            scratch: Scratch::new(),
            waiting: Waiting::default(),
            offset: 0,
            replaced: 0,
            failed: None,
        })
    }

    /// Takes the next bytes and appends their text to `output`, at most 3 bytes for each 2 taken,
    /// and 3 for each byte of bad UTF-8. What is appended is UTF-8 by itself.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] under [`OnInvalid::Fail`]: the source is at fault. `output` has everything
    /// before the offset; every later call says the same and appends nothing.
    pub fn push(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), InvalidText> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        output.reserve(input.len() / usize::from(self.encoding.unit_bytes()));
        let mut rest = self.settle_waiting(input, output)?;
        while !rest.is_empty() {
            rest = &rest[self.convert_run(rest, output)..];
            rest = self.step(rest, output)?;
        }
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] under [`OnInvalid::Fail`]: the text ends inside a character, or failed
    /// before.
    pub fn finish(&mut self, output: &mut Vec<u8>) -> Result<(), InvalidText> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        while !self.waiting.bytes().is_empty() {
            let (fault, length) = at_end(self.encoding, self.waiting.bytes());
            self.waiting.drop_first(length);
            self.take_bad(fault, length, output)?;
        }
        Ok(())
    }

    /// Times U+FFFD was written for something bad.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Completes a character that the last push left open, and returns the input after it.
    fn settle_waiting<'a>(
        &mut self,
        mut input: &'a [u8],
        output: &mut Vec<u8>,
    ) -> Result<&'a [u8], InvalidText> {
        while !self.waiting.bytes().is_empty() {
            match first(self.encoding, self.waiting.bytes()) {
                First::Unfinished => {
                    let Some((&byte, after)) = input.split_first() else { break };
                    self.waiting.add(byte);
                    input = after;
                }
                First::Character(character, length) => {
                    self.waiting.drop_first(length);
                    self.take(character, length, output);
                }
                First::Bad(fault, length) => {
                    self.waiting.drop_first(length);
                    self.take_bad(fault, length, output)?;
                }
            }
        }
        Ok(input)
    }

    /// Converts what is plainly right at the start of `input`, and returns the bytes used.
    fn convert_run(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let scratch = &mut self.scratch;
        let used = match self.encoding {
            Encoding::Ascii | Encoding::Utf8 => {
                let valid = match std::str::from_utf8(input) {
                    Ok(text) => text.len(),
                    Err(error) => error.valid_up_to(),
                };
                output.extend_from_slice(&input[..valid]);
                valid
            }
            Encoding::Utf16Le => runs::utf16(input, u16::from_le_bytes, scratch, output),
            Encoding::Utf16Be => runs::utf16(input, u16::from_be_bytes, scratch, output),
            Encoding::Utf32Le => runs::utf32(input, u32::from_le_bytes, scratch, output),
            Encoding::Utf32Be => runs::utf32(input, u32::from_be_bytes, scratch, output),
        };
        self.offset += used as u64;
        used
    }

    /// Decides some characters alone, and returns the input after them.
    fn step<'a>(
        &mut self,
        mut input: &'a [u8],
        output: &mut Vec<u8>,
    ) -> Result<&'a [u8], InvalidText> {
        for _ in 0..STEP_CHARACTERS {
            if input.is_empty() {
                break;
            }
            let length = match first(self.encoding, input) {
                First::Unfinished => {
                    self.waiting.hold(input);
                    input.len()
                }
                First::Character(character, length) => {
                    self.take(character, length, output);
                    length
                }
                First::Bad(fault, length) => {
                    self.take_bad(fault, length, output)?;
                    length
                }
            };
            input = &input[length..];
        }
        Ok(input)
    }

    fn take(&mut self, character: char, length: usize, output: &mut Vec<u8>) {
        output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.offset += length as u64;
    }

    fn take_bad(
        &mut self,
        fault: Fault,
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), InvalidText> {
        match self.on_invalid {
            OnInvalid::Fail => {
                let failed = InvalidText { encoding: self.encoding, offset: self.offset, fault };
                self.failed = Some(failed);
                Err(failed)
            }
            OnInvalid::Replace => {
                self.replaced += 1;
                self.take(char::REPLACEMENT_CHARACTER, length, output);
                Ok(())
            }
        }
    }
}

/// Characters decided alone before runs are tried again: text with one surrogate has more of them,
/// and a run that fails costs a look at a whole group.
const STEP_CHARACTERS: usize = 32;
