//! One file from the landing zone to the plane and back, with every check there is.

use super::report::{grouped, rate, size};
use super::{Demo, DemoError};
use crate::args;
use crate::check::stored_parts;
use crate::data::{digest, digest_of};
use crate::error::HarnessError;
use crate::relay::PLANE;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Parts listed one by one; the rest is only counted.
const PARTS_SHOWN: usize = 4;

/// A file to move.
#[derive(Debug)]
pub(super) struct Sample {
    path: PathBuf,
    title: String,
    /// Logical name on the plane.
    name: &'static str,
    /// What `spray` must be told of its format; empty where the file's name says it.
    format: &'static [&'static str],
    /// Records in it, where that is known before.
    records: Option<u64>,
}

impl Sample {
    pub(super) fn shipped(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            title: "Two novels by Jane Austen, a paragraph a record".into(),
            name: "demo::austen",
            format: &[],
            records: Some(3063),
        }
    }

    pub(super) fn generated(path: PathBuf, records: u64) -> Self {
        Self {
            path,
            title: "The bigger file".into(),
            name: "demo::orders",
            format: &[],
            records: Some(records),
        }
    }

    /// A file of the reader's: text with separators by its name, anything else byte for byte.
    pub(super) fn own(path: &Path) -> Self {
        let extension = path.extension().map(|name| name.to_string_lossy().to_ascii_lowercase());
        let delimited = matches!(extension.as_deref(), Some("csv" | "tsv"));
        let format: &[_] =
            if delimited { &[] } else { &["--format", "fixed", "--record-size", "1"] };
        let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path: path.to_owned(), title, name: "demo::own", format, records: None }
    }
}

/// A sample on its way.
pub(super) struct Journey<'a> {
    pub(super) demo: &'a Demo<'a>,
    pub(super) sample: &'a Sample,
    pub(super) parts: u32,
}

impl Journey<'_> {
    pub(super) fn run(&self) -> Result<(), DemoError> {
        let Sample { path, title, .. } = self.sample;
        let bytes = fs::metadata(path).map_err(HarnessError::file(path))?.len();
        self.demo.report.step(&format!("{title} ({})", size(bytes)));
        let wanted = digest(path).map_err(HarnessError::file(path))?;
        self.spray(bytes)?;
        self.look_at_parts(bytes, &wanted)?;
        self.verify()?;
        self.despray(bytes, &wanted)?;
        self.check_receipt()
    }

    fn target(&self) -> String {
        format!("{PLANE}:{}", self.sample.name)
    }

    fn file_name(&self) -> String {
        self.sample.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn spray(&self, bytes: u64) -> Result<(), DemoError> {
        let (target, parts) = (self.target(), self.parts.to_string());
        let mut arguments = args!["spray", &self.sample.path, &target, "--parts", &parts];
        arguments.extend(self.sample.format.iter().map(Into::into));
        let format = self.sample.format.join(" ");
        let line =
            format!("skyspray-edge spray {} {target} --parts {parts} {format}", self.file_name());
        self.demo.report.command(line.trim_end());
        let output = self.demo.edge(arguments)?;
        self.demo.report.say(&format!("committed and durable: {}", rate(bytes, output.took)));
        self.count_records()
    }

    fn count_records(&self) -> Result<(), DemoError> {
        let described = self.demo.edge(args!["describe", &self.target()])?;
        let description = described.event("description").unwrap_or_default();
        let found = description["records"].as_u64();
        if let Some(expected) = self.sample.records {
            self.same("the number of records", expected, found.unwrap_or(0))?;
        }
        // Records of one byte say nothing to anybody.
        if let Some(found) = found.filter(|_| self.sample.format.is_empty()) {
            self.demo.report.say(&format!("{} records, none of them cut", grouped(found)));
        }
        Ok(())
    }

    fn look_at_parts(&self, bytes: u64, wanted: &blake3::Hash) -> Result<(), DemoError> {
        let plane = &self.demo.relay.plane;
        let stored = stored_parts(plane, self.sample.name)?;
        let mut total = 0;
        for (index, part) in stored.iter().enumerate() {
            let length = fs::metadata(part).map_err(HarnessError::file(part))?.len();
            total += length;
            if index < PARTS_SHOWN {
                let shown = part.strip_prefix(plane).unwrap_or(part).display();
                self.demo.report.say(&format!("plane/{shown}  {} bytes", grouped(length)));
            }
        }
        if stored.len() > PARTS_SHOWN {
            self.demo.report.say(&format!("... and {} more parts", stored.len() - PARTS_SHOWN));
        }
        self.same("the number of parts", self.parts, stored.len())?;
        self.same("the number of bytes on the plane", bytes, total)?;
        let found = digest_of(&stored).map_err(HarnessError::file(plane))?;
        self.same("BLAKE3 of the parts in a row", wanted.to_hex(), found.to_hex())
    }

    fn verify(&self) -> Result<(), DemoError> {
        let target = self.target();
        self.demo.report.command(&format!("skyspray-edge verify {target} {}", self.file_name()));
        self.demo.edge(args!["verify", &target, &self.sample.path])?;
        self.demo.report.command(&format!("skyspray-relay file verify {target}"));
        self.demo.relay.admin(args!["file", "verify", &target])?.done()?;
        self.demo.report.say("the edge and the relay both find every part as it was sent");
        Ok(())
    }

    fn despray(&self, bytes: u64, wanted: &blake3::Hash) -> Result<(), DemoError> {
        let (target, back) = (self.target(), self.demo.edge.file("returned"));
        self.demo.report.command(&format!("skyspray-edge despray {target} returned"));
        let began = Instant::now();
        self.demo.edge(args!["despray", &target, &back])?;
        self.demo
            .report
            .say(&format!("back in the landing zone: {}", rate(bytes, began.elapsed())));
        let found = digest(&back).map_err(HarnessError::file(&back))?;
        self.same("BLAKE3 of what came back", wanted.to_hex(), found.to_hex())?;
        self.demo.report.say(&format!("BLAKE3 {} both ways", &wanted.to_hex()[..32]));
        fs::remove_file(&back).map_err(HarnessError::file(&back))?;
        Ok(())
    }

    fn check_receipt(&self) -> Result<(), DemoError> {
        if let Some(receipt) = self.demo.edge.receipts().into_iter().next() {
            let name = receipt.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.demo.edge(args!["receipt", "check", &receipt])?;
            self.demo.report.command(&format!("skyspray-edge receipt check {name}"));
            self.demo.report.say("the relay's signature holds; no relay was asked");
            fs::remove_file(&receipt).map_err(HarnessError::file(&receipt))?;
            return Ok(());
        }
        Err(DemoError::Mismatch {
            what: "the number of receipts",
            expected: "1".into(),
            found: "0".into(),
        })
    }

    fn same<T: ToString, U: ToString>(
        &self,
        what: &'static str,
        expected: T,
        found: U,
    ) -> Result<(), DemoError> {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected == found { Ok(()) } else { Err(DemoError::Mismatch { what, expected, found }) }
    }
}
