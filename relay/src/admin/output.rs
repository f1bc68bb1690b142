//! What commands print: aligned tables for people, one JSON object a line for programs.

use super::{AdminError, Exit, Failure};
use serde::Serialize;
use skyspray_link::seam::files::Escaped;
use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, Write};

/// Version of the JSON lines; fields are only ever added to one version.
const SCHEMA: u32 = 1;

/// Something that is printed as a line of a table or a JSON object.
pub(super) trait Row: Serialize {
    /// The kind of object: the `event` field.
    const EVENT: &'static str;
    /// Headings of the columns.
    const HEADINGS: &'static [&'static str];

    /// The columns, as text that may hold anything.
    fn cells(&self) -> Vec<String>;
}

/// Standard output and error of a command.
pub struct Output<'a> {
    json: bool,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    event: &'static str,
    #[serde(flatten)]
    row: &'a T,
}

#[derive(Serialize)]
struct ErrorLine {
    code: u8,
    cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hpcc: Option<u16>,
    remedy: &'static str,
}

impl<'a> Output<'a> {
    /// Prints to `out` and `err`, as JSON where `json` says so.
    pub fn new(json: bool, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { json, out, err }
    }

    /// Prints a page of rows. People see headings above the `first` page only.
    pub(super) fn rows<T: Row>(&mut self, rows: &[T], first: bool) -> Result<(), AdminError> {
        if self.json {
            return rows.iter().try_for_each(|row| self.object(T::EVENT, row));
        }
        let mut lines: Vec<Vec<String>> =
            rows.iter().map(|row| row.cells().iter().map(|cell| plain(cell)).collect()).collect();
        if first {
            lines.insert(0, T::HEADINGS.iter().map(|heading| (*heading).to_owned()).collect());
        }
        self.table(&lines)
    }

    /// Prints one thing with all its fields, one a line for people.
    pub(super) fn fields<T: Row>(&mut self, row: &T) -> Result<(), AdminError> {
        if self.json {
            return self.object(T::EVENT, row);
        }
        let lines: Vec<Vec<String>> = T::HEADINGS
            .iter()
            .zip(row.cells())
            .map(|(heading, cell)| vec![(*heading).to_owned(), plain(&cell)])
            .collect();
        self.table(&lines)
    }

    /// Prints `text` alone on a line for people and `object` for programs.
    pub(super) fn result<T: Serialize>(
        &mut self,
        event: &'static str,
        object: &T,
        text: &str,
    ) -> Result<(), AdminError> {
        if self.json {
            return self.object(event, object);
        }
        writeln!(self.out, "{text}").map_err(print_failed)
    }

    /// Says something to a person that no program needs.
    pub(super) fn hint(&mut self, text: &str) -> Result<(), AdminError> {
        if self.json {
            return Ok(());
        }
        writeln!(self.err, "{text}").map_err(print_failed)
    }

    /// Prints an error with its causes and what to do about it, and says how the command ends.
    pub fn error<E: Failure>(&mut self, error: &E) -> Exit {
        let exit = error.exit();
        let (cause, remedy) = (causes(error), error.advice());
        let hpcc = error.hpcc_number();
        // Nobody is left to tell when standard error is gone.
        let _ = if self.json {
            let line = Line {
                schema: SCHEMA,
                event: "error",
                row: &ErrorLine { code: exit.code(), cause, hpcc, remedy },
            };
            let text = serde_json::to_string(&line).expect("an error is plain text and a number");
            writeln!(self.err, "{text}")
        } else {
            let number = hpcc.map_or_else(String::new, |hpcc| format!(" (HPCC {hpcc})"));
            writeln!(self.err, "error: {cause}{number}\n  try: {remedy}")
        };
        exit
    }

    fn object<T: Serialize>(&mut self, event: &'static str, row: &T) -> Result<(), AdminError> {
        let line = Line { schema: SCHEMA, event, row };
        serde_json::to_writer(&mut *self.out, &line).map_err(|error| print_failed(error.into()))?;
        writeln!(self.out).map_err(print_failed)
    }

    fn table(&mut self, lines: &[Vec<String>]) -> Result<(), AdminError> {
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in lines {
            let padded: Vec<String> =
                line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
            writeln!(self.out, "{}", padded.join("  ").trim_end()).map_err(print_failed)?;
        }
        Ok(())
    }
}

/// An error and its sources on one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// A duration to or since some moment, rounded down to its largest unit.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.unsigned_abs() / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago `at_ms` was, or in how long it will be; `-` for never.
pub(super) fn when(at_ms: Option<i64>, now_ms: i64) -> String {
    match at_ms {
        None => "-".to_owned(),
        Some(at) if at > now_ms => format!("in {}", span(at - now_ms)),
        Some(at) => format!("{} ago", span(now_ms - at)),
    }
}

fn plain(cell: &str) -> String {
    Escaped(OsStr::new(cell)).to_string()
}

fn print_failed(source: io::Error) -> AdminError {
    AdminError::Print { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: String,
        bytes: u64,
    }

    impl Row for Thing {
        const EVENT: &'static str = "thing";
        const HEADINGS: &'static [&'static str] = &["NAME", "BYTES"];

        fn cells(&self) -> Vec<String> {
            vec![self.name.clone(), self.bytes.to_string()]
        }
    }

    fn printed(json: bool, print: impl FnOnce(&mut Output<'_>)) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        print(&mut Output::new(json, &mut out, &mut err));
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn things() -> [Thing; 2] {
        [Thing { name: "long name".into(), bytes: 5 }, Thing { name: "x\x1b[1m".into(), bytes: 70 }]
    }

    #[test]
    fn people_see_aligned_columns_without_control_characters() {
        let (out, _) = printed(false, |output| output.rows(&things(), true).unwrap());

        assert_eq!(out, "NAME        BYTES\nlong name   5\nx\\u{1b}[1m  70\n");
    }

    #[test]
    fn programs_see_one_object_a_line() {
        let (out, err) = printed(true, |output| {
            output.rows(&things(), true).unwrap();
            output.hint("only for people").unwrap();
        });

        assert_eq!(
            out,
            "{\"schema\":1,\"event\":\"thing\",\"name\":\"long name\",\"bytes\":5}\n\
             {\"schema\":1,\"event\":\"thing\",\"name\":\"x\\u001b[1m\",\"bytes\":70}\n"
        );
        assert_eq!(err, "");
    }

    #[test]
    fn an_error_is_one_line_of_cause_and_one_of_advice() {
        let (out, err) =
            printed(false, |output| assert_eq!(output.error(&AdminError::NoDirectory).code(), 2));

        assert_eq!(
            (out.as_str(), err.as_str()),
            (
                "",
                "error: no directory of a relay is named and /etc/skyspray does not exist\n  \
                 try: name it with --dir DIR or SKYSPRAY_DIR\n"
            )
        );
        let (_, err) = printed(true, |output| {
            output.error(&AdminError::NoDirectory);
        });
        assert_eq!(
            err,
            "{\"schema\":1,\"event\":\"error\",\"code\":2,\"cause\":\"no directory of a relay is \
             named and /etc/skyspray does not exist\",\"remedy\":\"name it with --dir DIR or \
             SKYSPRAY_DIR\"}\n"
        );
    }

    #[test]
    fn moments_are_told_by_their_distance() {
        assert_eq!(when(None, 0), "-");
        assert_eq!(when(Some(1_000), 60_999), "59s ago");
        assert_eq!(when(Some(600_000), 0), "in 10m");
        assert_eq!(when(Some(0), 47 * 3_600_000), "47h ago");
        assert_eq!(when(Some(0), 48 * 3_600_000), "2d ago");
    }
}
