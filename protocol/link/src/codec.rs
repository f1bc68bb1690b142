//! The body of a chunk: compressed where that pays, decompressed into a buffer of known size.

use skyspray_wire::chunk::Encoding;
use thiserror::Error;

/// Bytes of each sample that decides whether a chunk is worth compressing.
const SAMPLE_BYTES: usize = 4096;

/// A chunk goes compressed only when that saves at least this share of it: one tenth.
const SAVING_DIVISOR: usize = 10;

/// Whether and how chunks are compressed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    /// As hard as lets most of the file through, again and again; not at all where the link is faster
    /// than compressing or the data do not shrink.
    #[default]
    Auto,
    /// Never.
    Off,
    /// This zstd level (1 to 19) wherever the data shrinks.
    Level(u8),
}

/// A body that is not what its header promises. The peer's fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// No zstd frame of the stated size.
    #[error("a chunk's body does not decompress")]
    Decompress(#[source] std::io::Error),
    /// Another length than stated.
    #[error("a chunk decompresses to {found} bytes, {stated} were stated")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes stated.
        stated: usize,
    },
}

type Context = zstd::bulk::Compressor<'static>;

/// Compresses chunks on one thread; keeps its working memory between chunks.
#[derive(Default)]
pub struct Compressor {
    /// Made with the first chunk that is compressed, with the level it was made for.
    context: Option<(Context, i32)>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = self.context.as_ref().map(|&(_, level)| level);
        f.debug_struct("Compressor").field("level", &level).finish_non_exhaustive()
    }
}

impl Compressor {
    /// Compresses `chunk` into `out` at a zstd level (1 to 19) if that saves enough. Returns the
    /// compressed length, or `None` when the chunk should go raw. `out` must be as long as `chunk`.
    pub fn compress(&mut self, level: i32, chunk: &[u8], out: &mut [u8]) -> Option<usize> {
        let Self { context, scratch } = self;
        let context = at_level(context, level)?;
        if !samples_shrink(context, scratch, chunk) {
            return None;
        }
        let limit = chunk.len() - chunk.len() / SAVING_DIVISOR;
        // Too small a destination is how the library says that the data does not shrink.
        context.compress_to_buffer(chunk, &mut out[..limit]).ok().filter(|&n| n > 0)
    }
}

/// The context set to `level`. Without memory for one chunks go raw: that is slower, and right.
fn at_level(context: &mut Option<(Context, i32)>, level: i32) -> Option<&mut Context> {
    if context.as_ref().is_none_or(|&(_, made_for)| made_for != level) {
        let made = (|| {
            let mut context = Context::new(level)?;
            context.include_checksum(false)?;
            Ok::<_, std::io::Error>(context)
        })();
        match made {
            Ok(made) => *context = Some((made, level)),
            Err(error) => {
                tracing::warn!(%error, level, "no compression");
                return None;
            }
        }
    }
    context.as_mut().map(|(context, _)| context)
}

/// Tries three samples, so that data that does not shrink costs little.
fn samples_shrink(context: &mut Context, scratch: &mut Vec<u8>, chunk: &[u8]) -> bool {
    if chunk.len() < 3 * SAMPLE_BYTES {
        return chunk.len() > 64;
    }
    let starts = [0, chunk.len() / 2, chunk.len() - SAMPLE_BYTES];
    scratch.resize(zstd::zstd_safe::compress_bound(SAMPLE_BYTES), 0);
    let mut total = 0;
    for start in starts {
        let sample = &chunk[start..start + SAMPLE_BYTES];
        total += context.compress_to_buffer(sample, &mut scratch[..]).unwrap_or(SAMPLE_BYTES);
    }
    total < 3 * SAMPLE_BYTES - 3 * SAMPLE_BYTES / SAVING_DIVISOR
}

/// Decompresses chunks on one thread; keeps its working memory between chunks.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// A decompressor.
    ///
    /// # Errors
    ///
    /// The compression library cannot be set up.
    pub fn try_new() -> std::io::Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?))
    }

    /// Decompresses `body` into exactly `out`.
    ///
    /// # Errors
    ///
    /// The body is not one zstd frame of that length: the peer's fault.
    pub fn decompress(&mut self, body: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
        let found = self.0.decompress_to_buffer(body, &mut *out).map_err(CodecError::Decompress)?;
        if found == out.len() {
            Ok(())
        } else {
            Err(CodecError::Length { found, stated: out.len() })
        }
    }
}

/// How a body of `wire` bytes for a chunk of `raw` bytes is encoded.
pub(crate) fn encoding(compressed: Option<usize>) -> Encoding {
    if compressed.is_some() { Encoding::Zstd } else { Encoding::Raw }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shrinks_and_comes_back() {
        let text = b"2026-11-23,oslo,12.5,\"a, b\"\n".repeat(5000);
        let mut compressor = Compressor::default();
        let mut out = vec![0; text.len()];

        let length = compressor.compress(1, &text, &mut out).unwrap();

        assert!(length < text.len() / 4, "{length}");
        let mut back = vec![0; text.len()];
        Decompressor::try_new().unwrap().decompress(&out[..length], &mut back).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn noise_goes_raw() {
        let mut noise = vec![0u8; 200_000];
        let mut reader = blake3::Hasher::new().finalize_xof();
        reader.fill(&mut noise);
        let mut out = vec![0; noise.len()];
        let mut compressor = Compressor::default();

        assert_eq!(compressor.compress(3, &noise, &mut out), None);
    }

    #[test]
    fn a_body_that_lies_about_its_length_is_an_error() {
        let mut compressor = Compressor::default();
        let text = vec![b'a'; 50_000];
        let mut out = vec![0; text.len()];
        let length = compressor.compress(1, &text, &mut out).unwrap();
        let mut decompressor = Decompressor::try_new().unwrap();

        let error = decompressor.decompress(&out[..length], &mut vec![0; 60_000]).unwrap_err();
        assert_eq!(error.to_string(), "a chunk decompresses to 50000 bytes, 60000 were stated");
        let error = decompressor.decompress(&out[..length], &mut vec![0; 40_000]).unwrap_err();
        assert_eq!(error.to_string(), "a chunk's body does not decompress");
    }
}
