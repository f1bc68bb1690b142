//! Whether a local file is what the plane has.

use crate::landing::LandingPath;
use skyspray_link::seam::files::FileError;
use skyspray_wire::message::PartInfo;

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Whether the file at `at` has the length and digest that `info` states; of a part without a
/// digest nothing can be said, so it has not. Blocks.
pub(super) fn is_same(at: &LandingPath, info: &PartInfo) -> Result<bool, FileError> {
    let Some(expected) = info.digest else { return Ok(false) };
    let file = at.tree.open_read(&at.path)?;
    if file.metadata()?.len != info.length {
        return Ok(false);
    }
    file.advise_sequential();
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut block, offset)?;
        if read == 0 {
            break;
        }
        hasher.update(&block[..read]);
        offset += read as u64;
    }
    Ok(offset == info.length && *hasher.finalize().as_bytes() == expected.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::ZoneName;
    use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree as _};
    use skyspray_wire::digest::Digest;
    use std::sync::Arc;

    #[test]
    fn a_file_is_the_same_only_with_the_same_length_and_digest() {
        let tree = MemoryTree::new(10 << 20);
        let path = RelPath::parse("a").unwrap();
        let content: Vec<u8> = (0..(3 << 20) + 7u32).map(|n| (n % 251) as u8).collect();
        let file = tree.create_new(&path, 0o600, Caching::Buffered).unwrap();
        file.write_all_at(&content, 0).unwrap();
        let at = LandingPath { zone: ZoneName::parse("z").unwrap(), tree: Arc::new(tree), path };
        let info = |length: usize, digest| PartInfo {
            length: length as u64,
            digest,
            crc32: None,
            records: None,
            modified_ns: None,
            header: 0,
            footer: 0,
        };
        let (length, digest) = (content.len(), Some(Digest::of(&content)));

        assert_eq!(is_same(&at, &info(length, digest)), Ok(true));
        assert_eq!(is_same(&at, &info(length + 1, digest)), Ok(false));
        assert_eq!(is_same(&at, &info(length, Some(Digest::of(b"x")))), Ok(false));
        assert_eq!(is_same(&at, &info(length, None)), Ok(false), "nothing is known of it");
    }
}
