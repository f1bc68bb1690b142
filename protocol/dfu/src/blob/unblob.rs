//! The stored files of a blob spray taken apart again, as their bytes stream by.

use super::error::{BlobError, NameFault};
use super::spec::{Field, NameField, SplitField, SplitPrefixSpec};
use skyspray_wire::limits::SEGMENT_BYTES_MAX;

/// What comes next in a stored stream; for every file [`Piece::File`], any number of
/// [`Piece::Bytes`], [`Piece::FileEnd`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece<'a> {
    /// A file begins.
    File {
        /// Its name: 1 to 255 bytes without `/`, `\` and NUL, not `.` or `..`, otherwise anything.
        /// The same name may come again; whoever makes the files decides what that means.
        name: Vec<u8>,
        /// Its size in bytes.
        size: u64,
    },
    /// The next bytes of the file, a slice of what was pushed; never empty.
    Bytes(&'a [u8]),
    /// The file is complete.
    FileEnd,
}

/// Takes a stored stream apart, given in any cuts. Keeps no more than one prefix.
///
/// Parts of a logical file hold whole files, so parts may come as one stream or as one each.
#[derive(Debug)]
pub struct Unblob {
    spec: SplitPrefixSpec,
    /// Bytes taken from the stream.
    offset: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Prefix(Prefix),
    File { name: Vec<u8>, left: u64 },
    Failed(BlobError),
}

/// A prefix as far as it is known.
#[derive(Debug, Default)]
struct Prefix {
    /// Where it starts in the stream.
    start: u64,
    /// Which field of the specification is being read.
    field: usize,
    /// Bytes of that field read.
    read: u64,
    /// These bytes, unless they are passed over.
    bytes: Vec<u8>,
    name: Vec<u8>,
    size: u64,
}

impl Unblob {
    /// At the start of a stream.
    pub fn new(spec: SplitPrefixSpec) -> Self {
        Self { spec, offset: 0, state: State::Prefix(Prefix::default()) }
    }

    /// Takes from the front of `input` and says what it was; `None` when all of it is taken.
    /// To be called until then, also once after the last byte of a file.
    ///
    /// # Errors
    ///
    /// [`BlobError::StoredName`]: the stored data are not what the specification says. Every later
    /// call says the same.
    pub fn next_piece<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, BlobError> {
        match &mut self.state {
            State::Failed(error) => Err(error.clone()),
            State::File { left: 0, .. } => {
                let next = Prefix { start: self.offset, ..Prefix::default() };
                self.state = State::Prefix(next);
                Ok(Some(Piece::FileEnd))
            }
            State::File { left, .. } => {
                let Some(bytes) = take(input, *left, &mut self.offset) else { return Ok(None) };
                *left -= bytes.len() as u64;
                Ok(Some(Piece::Bytes(bytes)))
            }
            State::Prefix(prefix) => match prefix.advance(&self.spec, input, &mut self.offset) {
                Ok(false) => Ok(None),
                Ok(true) => {
                    let (name, size) = (std::mem::take(&mut prefix.name), prefix.size);
                    self.state = State::File { name: name.clone(), left: size };
                    Ok(Some(Piece::File { name, size }))
                }
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    Err(error)
                }
            },
        }
    }

    /// Says that the stream has ended, after [`Unblob::next_piece`] returned `None`.
    ///
    /// # Errors
    ///
    /// [`BlobError::CutPrefix`] and [`BlobError::CutFile`]: the stored data are cut off, or not
    /// what the specification says. Or the error of before.
    pub fn finish(self) -> Result<(), BlobError> {
        let end = self.offset;
        match self.state {
            State::Failed(error) => Err(error),
            State::File { left: 0, .. } => Ok(()),
            State::File { name, left } => Err(BlobError::CutFile { name, end, missing: left }),
            State::Prefix(prefix) if prefix.start == end => Ok(()),
            State::Prefix(prefix) => Err(BlobError::CutPrefix { start: prefix.start, end }),
        }
    }
}

impl Prefix {
    /// Reads on, and says whether the prefix is complete.
    fn advance(
        &mut self,
        spec: &SplitPrefixSpec,
        input: &mut &[u8],
        offset: &mut u64,
    ) -> Result<bool, BlobError> {
        while let Some(field) = spec.field(self.field) {
            let bytes = self.field_bytes(field, *offset)?;
            if self.read < bytes {
                let Some(taken) = take(input, bytes - self.read, offset) else {
                    return Ok(false);
                };
                self.read += taken.len() as u64;
                if let SplitField::Said(_) = field {
                    self.bytes.extend_from_slice(taken);
                }
            } else {
                self.end_field(field, *offset)?;
            }
        }
        Ok(true)
    }

    /// Bytes of a field, as far as can be said from what was read of it.
    fn field_bytes(&self, field: SplitField, offset: u64) -> Result<u64, BlobError> {
        Ok(match field {
            SplitField::Skip { bytes } => u64::from(bytes),
            SplitField::Said(Field::Size(size)) => u64::from(size.bytes),
            SplitField::Said(Field::Name(NameField::Padded { width })) => u64::from(width),
            SplitField::Said(Field::Name(NameField::Counted)) => {
                let Some(&count) = self.bytes.first_chunk() else { return Ok(COUNT_BYTES) };
                let bytes = u32::from_le_bytes(count);
                if bytes as usize > SEGMENT_BYTES_MAX {
                    let fault = NameFault::TooLong { bytes };
                    return Err(BlobError::StoredName { offset, name: Vec::new(), fault });
                }
                COUNT_BYTES + u64::from(bytes)
            }
        })
    }

    fn end_field(&mut self, field: SplitField, offset: u64) -> Result<(), BlobError> {
        match field {
            SplitField::Skip { .. } => {}
            SplitField::Said(Field::Size(size)) => self.size = size.read(&self.bytes),
            SplitField::Said(Field::Name(NameField::Counted)) => {
                self.name = self.bytes.split_off(COUNT_BYTES as usize);
                check(&self.name, offset - self.name.len() as u64)?;
            }
            SplitField::Said(Field::Name(NameField::Padded { width })) => {
                let end = self.bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |at| at + 1);
                self.name = self.bytes[..end].to_vec();
                check(&self.name, offset - u64::from(width))?;
            }
        }
        self.field += 1;
        self.read = 0;
        self.bytes.clear();
        Ok(())
    }
}

/// Bytes of the length before a name.
const COUNT_BYTES: u64 = 4;

fn check(name: &[u8], offset: u64) -> Result<(), BlobError> {
    match NameFault::find(name) {
        Some(fault) => Err(BlobError::StoredName { offset, name: name.to_vec(), fault }),
        None => Ok(()),
    }
}

/// Takes up to `most` bytes off the input; `None` if it is empty.
fn take<'a>(input: &mut &'a [u8], most: u64, offset: &mut u64) -> Option<&'a [u8]> {
    let length = usize::try_from(most).map_or(input.len(), |most| most.min(input.len()));
    if length == 0 {
        return None;
    }
    let (taken, rest) = input.split_at(length);
    *input = rest;
    *offset += length as u64;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_passed_over_are_not_kept() {
        let spec = SplitPrefixSpec::parse("SKIP:4294967295,FILENAME,FILESIZE").unwrap();
        let mut unblob = Unblob::new(spec);

        assert_eq!(unblob.next_piece(&mut &[0; 10_000][..]), Ok(None));

        let State::Prefix(prefix) = unblob.state else { panic!("the prefix is not complete") };
        assert_eq!((prefix.read, prefix.bytes.capacity()), (10_000, 0));
    }
}
