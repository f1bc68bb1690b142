//! Files to move: made from a seed, so that a failure can be repeated.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

/// Bytes made at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Pseudo-random numbers (SplitMix64), the same for the same seed.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Writes `length` bytes that cannot be compressed.
///
/// # Errors
///
/// The host's.
pub fn random_file(path: &Path, length: u64, seed: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut stream = blake3::Hasher::new_keyed(&[7; 32]).update(&seed.to_le_bytes()).finalize_xof();
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = length;
    while left > 0 {
        let bytes = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        stream.fill(&mut block[..bytes]);
        file.write_all(&block[..bytes])?;
        left -= bytes as u64;
    }
    Ok(())
}

/// Makes a file of `length` zeros that takes no room on disk.
///
/// # Errors
///
/// The host's.
pub fn sparse_file(path: &Path, length: u64) -> io::Result<()> {
    File::create(path)?.set_len(length)
}

/// Writes at least `length` bytes of CSV records and says how many records: a header, numbers,
/// fields with separators, with doubled quotes and with line ends in quotes.
///
/// `stop` is asked after every MiB.
///
/// # Errors
///
/// The host's, and [`io::ErrorKind::Interrupted`] when `stop` says so.
pub fn csv_file(path: &Path, length: u64, seed: u64, stop: &dyn Fn() -> bool) -> io::Result<u64> {
    let mut file = BufWriter::with_capacity(BLOCK_BYTES, File::create(path)?);
    let mut numbers = Numbers::new(seed);
    let mut block = String::from("order,day,customer,amount,note\n");
    let (mut records, mut written) = (1, 0);
    while written < length {
        while block.len() < BLOCK_BYTES && written + (block.len() as u64) < length {
            push_record(&mut block, records, &mut numbers);
            records += 1;
        }
        file.write_all(block.as_bytes())?;
        written += block.len() as u64;
        block.clear();
        if stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    file.into_inner()?;
    Ok(records)
}

fn push_record(block: &mut String, record: u64, numbers: &mut Numbers) {
    const WORDS: [&str; 12] = [
        "amber", "barley", "cobalt", "drizzle", "ember", "fjord", "granite", "harbour", "indigo",
        "juniper", "kestrel", "lantern",
    ];
    let mut word = || WORDS[numbers.below(WORDS.len() as u64) as usize];
    let (name, place, note, last) = (word(), word(), word(), word());
    let (day, cents, kind) = (numbers.below(28) + 1, numbers.below(10_000_000), numbers.below(4));
    let written = write!(
        block,
        "{record},2026-03-{day:02},\"{name}, {place}\",{}.{:02},",
        cents / 100,
        cents % 100
    );
    written.expect("a string takes any text");
    match kind {
        0 => block.push_str(note),
        1 => block.extend(["\"", note, " \"\"", last, "\"\"\""]),
        2 => block.extend(["\"", note, "\n", last, ", ", place, "\n\""]),
        _ => {}
    }
    block.push('\n');
}

/// Makes `files` files of `bytes` bytes each below `directory`, a thousand to a directory.
///
/// # Errors
///
/// The host's.
pub fn many_files(directory: &Path, files: u32, bytes: usize) -> io::Result<()> {
    let mut contents = vec![0; bytes];
    for index in 0..files {
        let below = directory.join(format!("batch {:03}", index / 1000));
        if index % 1000 == 0 {
            fs::create_dir_all(&below)?;
        }
        let mut stream = blake3::Hasher::new().update(&index.to_le_bytes()).finalize_xof();
        stream.fill(&mut contents);
        fs::write(below.join(format!("file {index:06}.bin")), &contents)?;
    }
    Ok(())
}

/// BLAKE3 of a file.
///
/// # Errors
///
/// The host's.
pub fn digest(path: &Path) -> io::Result<blake3::Hash> {
    digest_of(&[path])
}

/// BLAKE3 of files one behind the other.
///
/// # Errors
///
/// The host's.
pub fn digest_of<P: AsRef<Path>>(paths: &[P]) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    for path in paths {
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            hasher.update(&block[..read]);
        }
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn the_same_seed_makes_the_same_file_and_another_seed_another() {
        let root = TempDir::new().unwrap();
        let [one, two, three] = ["1", "2", "3"].map(|name| root.path().join(name));
        random_file(&one, 1_500_000, 1).unwrap();
        random_file(&two, 1_500_000, 1).unwrap();
        random_file(&three, 1_500_000, 2).unwrap();

        assert_eq!(fs::metadata(&one).unwrap().len(), 1_500_000);
        assert_eq!(digest(&one).unwrap(), digest(&two).unwrap());
        assert_ne!(digest(&one).unwrap(), digest(&three).unwrap());
    }

    #[test]
    fn a_csv_file_has_the_records_it_says_and_line_ends_inside_quotes() {
        let root = TempDir::new().unwrap();
        let path = root.path().join("a.csv");
        let records = csv_file(&path, 3 << 20, 4, &|| false).unwrap();
        let text = fs::read_to_string(&path).unwrap();

        let (mut quoted, mut ends, mut ends_in_quotes) = (false, 0, 0);
        for byte in text.bytes() {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' if quoted => ends_in_quotes += 1,
                b'\n' => ends += 1,
                _ => {}
            }
        }
        assert_eq!(ends, records);
        assert!(ends_in_quotes > records / 4, "{ends_in_quotes} line ends inside quotes");
        assert!((3 << 20..(3 << 20) + 200).contains(&text.len()), "{} bytes", text.len());
    }

    #[test]
    fn making_a_csv_file_stops_when_asked_to() {
        let root = TempDir::new().unwrap();
        let path = root.path().join("a.csv");

        let error = csv_file(&path, 1 << 40, 4, &|| true).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
