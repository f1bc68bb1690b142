//! What the doctor found, said as it is found.

use crate::exit::{Chain, Exit, Explain};
use crate::output::Reporter;
use crate::size::Count;
use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// It works, but not as well as it could.
    Warn,
    /// Something will not work.
    Fail,
}

/// The result of one check.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Finding {
    check: String,
    state: State,
    detail: String,
    #[serde(rename = "try")]
    advice: Option<String>,
    /// How a command would end because of it.
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    pub(super) fn ok(check: &str, detail: String) -> Self {
        let check = check.to_owned();
        Self { check, state: State::Ok, detail, advice: None, exit: Exit::Done }
    }

    pub(super) fn warn(check: &str, detail: String, advice: Option<String>) -> Self {
        let check = check.to_owned();
        Self { check, state: State::Warn, detail, advice, exit: Exit::Done }
    }

    pub(super) fn failed(check: &str, detail: String, advice: Option<String>, exit: Exit) -> Self {
        Self { check: check.to_owned(), state: State::Fail, detail, advice, exit }
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    ok: u32,
    warnings: u32,
    failures: u32,
}

/// Collects the findings of one run.
#[derive(Debug)]
pub(super) struct Report<'a> {
    reporter: &'a Reporter,
    summary: Summary,
    exit: Exit,
}

impl<'a> Report<'a> {
    pub(super) fn new(reporter: &'a Reporter) -> Self {
        let summary = Summary { ok: 0, warnings: 0, failures: 0 };
        Self { reporter, summary, exit: Exit::Done }
    }

    /// Says a finding.
    pub(super) fn add(&mut self, finding: Finding) {
        let (count, word) = match finding.state {
            State::Ok => (&mut self.summary.ok, "ok  "),
            State::Warn => (&mut self.summary.warnings, "warn"),
            State::Fail => (&mut self.summary.failures, "FAIL"),
        };
        *count += 1;
        // The first failure is the cause of many a later one.
        if self.exit == Exit::Done {
            self.exit = finding.exit;
        }
        let mut text = format!("{word}  {}: {}", finding.check, finding.detail);
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("\n      try: {advice}"));
        }
        self.reporter.result("check", &finding, text);
    }

    /// Says that a check failed with `error`.
    pub(super) fn fail(&mut self, check: &str, error: &dyn Explain) {
        let detail = Chain(error).to_string();
        self.add(Finding::failed(check, detail, error.advice(), error.exit()));
    }

    /// Sums up, and says how the command ends.
    pub(super) fn finish(self) -> Exit {
        let Summary { ok, warnings, failures } = self.summary;
        let warnings = Count(warnings.into(), "warning");
        let failures = Count(failures.into(), "failure");
        let text = format!("{ok} ok, {warnings}, {failures}");
        self.reporter.result("doctor", &self.summary, text);
        self.exit
    }
}
