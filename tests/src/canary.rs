//! Secrets that are searched for where they must not be, in all forms a program might give them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of memory of another process read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Looks for canaries.
#[derive(Debug)]
pub struct Scanner {
    /// Which canary, in which form, and its bytes.
    forms: Vec<(String, Vec<u8>)>,
    /// By the first two bytes: whether a form begins with them.
    begins: Vec<bool>,
}

impl Scanner {
    /// For these canaries, each with the name it is reported by.
    ///
    /// # Panics
    ///
    /// When a canary is too short to be told from chance.
    pub fn new(canaries: &[(&str, &str)]) -> Self {
        let mut forms = Vec::new();
        for (name, canary) in canaries {
            assert!(canary.len() >= 16, "the canary {name} is short");
            let shown = |(form, bytes): (&str, Vec<u8>)| (format!("{name} {form}"), bytes);
            forms.extend(forms_of(canary).into_iter().map(shown));
        }
        let mut begins = vec![false; 1 << 16];
        forms.iter().for_each(|(_, bytes)| begins[start(bytes)] = true);
        Self { forms, begins }
    }

    /// The canaries in `bytes`, with the form of each.
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            if self.begins[start(pair)] {
                let here = self.forms.iter().filter(|(_, form)| bytes[at..].starts_with(form));
                found.extend(here.map(|(name, _)| name.clone()));
            }
        }
        found
    }

    /// The canaries in all files below a directory, or in one file, with the path of each.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn find_below(&self, path: &Path) -> io::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut left = vec![path.to_owned()];
        while let Some(next) = left.pop() {
            let kind = fs::symlink_metadata(&next)?.file_type();
            if kind.is_dir() {
                for entry in fs::read_dir(&next)? {
                    left.push(entry?.path());
                }
            } else if kind.is_file() {
                let here = self.find(&fs::read(&next)?);
                found.extend(here.into_iter().map(|name| format!("{name} in {}", next.display())));
            }
        }
        Ok(found)
    }

    /// The canaries in the memory that a process can write.
    ///
    /// # Errors
    ///
    /// The memory of other processes may not be read here.
    pub fn find_in_process(&self, id: u32) -> io::Result<BTreeSet<String>> {
        let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
        let memory = File::open(format!("/proc/{id}/mem"))?;
        let overlap = self.forms.iter().map(|(_, form)| form.len()).max().unwrap_or(0);
        let mut found = BTreeSet::new();
        for (from, to) in maps.lines().filter_map(writable) {
            let mut at = from;
            while at < to {
                let length = usize::try_from(to - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
                let mut block = vec![0; length + overlap];
                // A page that went away meanwhile holds nothing any more.
                let read = memory.read_at(&mut block, at).unwrap_or(0);
                found.extend(self.find(&block[..read]));
                at += length as u64;
            }
        }
        Ok(found)
    }
}

/// The addresses of a line of `/proc/PID/maps` that is private and writable.
fn writable(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    words.next()?.starts_with("rw").then_some(())?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(from)?, address(to)?))
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

fn forms_of(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = canary.as_bytes();
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let url = bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes any text");
        }
        text
    });
    let mut forms = vec![
        ("as it is", bytes.to_vec()),
        ("reversed", reversed.clone()),
        ("in hex", hex(bytes).into_bytes()),
        ("in upper-case hex", hex(bytes).to_uppercase().into_bytes()),
        ("reversed in hex", hex(&reversed).into_bytes()),
        ("URL-encoded", url.into_bytes()),
    ];
    // Behind 0, 1 or 2 other bytes base64 has another text; its ends depend on the neighbours.
    for skip in 0..3 {
        let whole = bytes[skip..].len() / 3 * 3;
        forms.push(("in base64", STANDARD.encode(&bytes[skip..skip + whole]).into_bytes()));
        forms.push(("in base64url", URL_SAFE.encode(&bytes[skip..skip + whole]).into_bytes()));
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "abc/def+ghi=jkl~mno_pqr";

    #[test]
    fn every_form_is_found_wherever_it_begins() {
        let scanner = Scanner::new(&[("it", CANARY)]);
        for (form, bytes) in forms_of(CANARY) {
            let text = [b"before ".as_slice(), &bytes, b" after"].concat();
            assert!(scanner.find(&text).contains(&format!("it {form}")), "{form}");
        }
        for before in ["", "x", "xy"] {
            let encoded = STANDARD.encode(format!("{before}{CANARY} and more"));
            assert!(scanner.find(encoded.as_bytes()).contains("it in base64"), "{encoded}");
        }
        assert_eq!(scanner.find(b"abc/def+ghi=jkl~mno_pq"), BTreeSet::new());
    }
}
