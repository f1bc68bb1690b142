//! The results as tables for people, as JSON for programs, and in `docs/performance.md`.

use super::BenchError;
use super::bar::Verdict;
use super::section::Section;
use super::settings::Settings;
use super::workload::Workload;
use crate::error::HarnessError;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// What a run found so far.
pub(super) struct Report<'a> {
    settings: &'a Settings,
    sections: Vec<Section>,
    /// Workloads without a result, and why.
    failures: Vec<(Workload, String)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, sections: Vec::new(), failures: Vec::new() }
    }

    /// Takes the result of a workload, shows it, and writes it where it is wanted, so that what
    /// fails later costs nothing that was found.
    pub(super) fn add(&mut self, section: Section) -> Result<(), BenchError> {
        println!("\n{}", section.markdown());
        if self.settings.is_whole() {
            self.write_document(&section)?;
        }
        self.sections.push(section);
        self.write_json()
    }

    /// Takes note of a workload that has no result.
    pub(super) fn add_failure(
        &mut self,
        workload: Workload,
        error: &BenchError,
    ) -> Result<(), BenchError> {
        eprintln!("\n{} has no result: {}", workload.id(), error.told());
        self.failures.push((workload, error.told()));
        self.write_json()
    }

    /// Says what became of the bars.
    ///
    /// # Errors
    ///
    /// [`BenchError::Incomplete`] when a workload has no result.
    pub(super) fn conclude(&self) -> Result<(), BenchError> {
        for section in &self.sections {
            for bar in &section.bars {
                let (id, verdict) = (section.workload.id(), bar.verdict());
                println!("bar: {id:<8} {}: {}, {verdict}", bar.claim(), bar.finding());
            }
        }
        let count = |verdict| {
            let bars = self.sections.iter().flat_map(|section| &section.bars);
            bars.filter(|bar| bar.verdict() == verdict).count()
        };
        println!(
            "bars: {} reached, {} missed, {} not measured",
            count(Verdict::Reached),
            count(Verdict::Missed),
            count(Verdict::Unmeasured)
        );
        if !self.settings.is_whole() {
            println!("a short run: docs/performance.md stays as it is");
        }
        if let Some(path) = &self.settings.json {
            println!("figures: {}", path.display());
        }
        if self.failures.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.failures.iter().map(|(workload, _)| workload.id()).collect();
        Err(BenchError::Incomplete { names: names.join(", ") })
    }

    /// Writes the figures to the file named by `BENCH_JSON`, if one is.
    fn write_json(&self) -> Result<(), BenchError> {
        let Some(path) = &self.settings.json else { return Ok(()) };
        let text = format!("{:#}\n", self.json());
        fs::write(path, text).map_err(HarnessError::file(path))?;
        Ok(())
    }

    fn json(&self) -> Value {
        let Settings { mib, seed, .. } = self.settings;
        let failures = self
            .failures
            .iter()
            .map(|(workload, reason)| json!({ "workload": workload.id(), "reason": reason }));
        json!({
            "schema": "skyspray-bench-2",
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "cores": cores(),
            "mib": mib,
            "seed": seed.to_string(),
            "workloads": self.sections.iter().map(Section::json).collect::<Vec<_>>(),
            "failures": failures.collect::<Vec<_>>(),
        })
    }

    /// Puts the tables of a workload into the document.
    fn write_document(&self, section: &Section) -> Result<(), BenchError> {
        let path = document();
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let body = format!("{}\n\n{}", self.conditions(section), section.markdown());
        let text = replaced(&text, section.workload, &body)
            .map_err(|marker| BenchError::Marker { path: path.clone(), marker })?;
        fs::write(&path, text).map_err(HarnessError::file(&path))?;
        println!("tables of {}: docs/performance.md", section.workload.id());
        Ok(())
    }

    fn conditions(&self, section: &Section) -> String {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let seed = self.settings.seed;
        format!("{os} {arch}, {} cores: {}, seed {seed}.", cores(), section.conditions)
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// The document with `body` between the markers of a workload; the marker that is missing
/// otherwise.
fn replaced(text: &str, workload: Workload, body: &str) -> Result<String, String> {
    let id = workload.id();
    let (begin, end) = (format!("<!-- bench {id} -->"), format!("<!-- end of {id} -->"));
    let (before, rest) = text.split_once(&begin).ok_or_else(|| begin.clone())?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| end.clone())?;
    Ok(format!("{before}{begin}\n\n{body}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_of_the_workload_is_replaced() {
        let text = "# A\n\n<!-- bench w1 -->\nold\n<!-- end of w1 -->\n\n<!-- bench w2 -->\n";

        let replaced = replaced(text, Workload::Bulk, "| new |\n").unwrap();

        let expected = "# A\n\n<!-- bench w1 -->\n\n| new |\n\n<!-- end of w1 -->\n\n";
        assert_eq!(replaced, format!("{expected}<!-- bench w2 -->\n"));
    }

    #[test]
    fn a_document_without_a_marker_is_left_alone() {
        let (begin, end) = ("<!-- bench w1 -->", "<!-- end of w1 -->");

        assert_eq!(replaced("# A\n", Workload::Bulk, ""), Err(begin.to_owned()));
        assert_eq!(replaced(&format!("{begin}\n"), Workload::Bulk, ""), Err(end.to_owned()));
    }

    #[test]
    fn the_document_has_the_markers_of_every_workload() {
        let text = include_str!("../../../docs/performance.md");

        for workload in Workload::ALL {
            replaced(text, workload, "").unwrap();
        }
    }
}
