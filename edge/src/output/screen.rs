//! The two streams of a command, and the progress that shares them.

use super::{Line, Manner, Meter, ProgressChoice, SCHEMA};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProgressMode {
    /// A bar on stderr, drawn by the terminal's rules.
    Bar,
    /// Lines on stderr.
    Plain,
    /// Objects on stdout.
    Json,
    /// Not at all.
    None,
}

impl ProgressMode {
    /// What was asked for; otherwise a bar where somebody can see it, and nothing elsewhere.
    pub fn choose(manner: Manner, stderr_is_terminal: bool) -> Self {
        match manner.progress {
            Some(ProgressChoice::Tty) => Self::Bar,
            Some(ProgressChoice::Plain) => Self::Plain,
            Some(ProgressChoice::Json) => Self::Json,
            Some(ProgressChoice::None) => Self::None,
            None if stderr_is_terminal && !manner.quiet => Self::Bar,
            None => Self::None,
        }
    }

    /// Least time between two lines.
    fn every(self) -> Duration {
        match self {
            Self::Plain => Duration::from_secs(5),
            _ => Duration::from_millis(200),
        }
    }
}

pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_state: OutState,
    mode: ProgressMode,
    meter: Meter,
    bar: Option<ProgressBar>,
    shown: Option<Instant>,
    /// Whether something was observed that no line has shown yet.
    unshown: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OutState {
    Open,
    /// The reader went away, which is its right.
    Closed,
    /// Something was lost.
    Failed,
}

impl Screen {
    pub(super) fn new(
        mode: ProgressMode,
        (out, err): (Box<dyn Write + Send>, Box<dyn Write + Send>),
    ) -> Self {
        Self {
            out,
            err,
            out_state: OutState::Open,
            mode,
            meter: Meter::default(),
            bar: None,
            shown: None,
            unshown: false,
        }
    }

    pub(super) fn out_text(&mut self, text: &str) {
        if text.is_empty() || self.out_state != OutState::Open {
            return;
        }
        let out = &mut self.out;
        let written =
            clear_of(self.bar.as_ref(), || writeln!(out, "{text}").and_then(|()| out.flush()));
        self.note_out(written);
    }

    pub(super) fn err_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.err_bytes(format!("{text}\n").as_bytes());
        }
    }

    /// Nothing can be said about a stderr that does not work.
    pub(super) fn err_bytes(&mut self, bytes: &[u8]) {
        let err = &mut self.err;
        let _ = clear_of(self.bar.as_ref(), || err.write_all(bytes).and_then(|()| err.flush()));
    }

    pub(super) fn progress(&mut self, durable: u64, total: Option<u64>, now: Instant) {
        if self.mode == ProgressMode::None {
            return;
        }
        self.meter.observe(durable, total, now);
        self.unshown = true;
        let every = self.mode.every();
        if self.shown.is_none_or(|shown| now.duration_since(shown) >= every) {
            self.show(now);
        }
    }

    pub(super) fn progress_end(&mut self, now: Instant) {
        if self.unshown && self.mode != ProgressMode::Bar {
            self.show(now);
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.meter = Meter::default();
        self.shown = None;
        self.unshown = false;
    }

    /// Writes out what is left; whether something could not be written.
    pub(super) fn close(&mut self) -> bool {
        let flushed = self.out.flush();
        self.note_out(flushed);
        self.out_state == OutState::Failed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.out_state != OutState::Open
    }

    fn show(&mut self, now: Instant) {
        let Some(reading) = self.meter.read(now) else { return };
        self.shown = Some(now);
        self.unshown = false;
        match self.mode {
            ProgressMode::None => {}
            ProgressMode::Plain => self.err_text(&format!("progress: {reading}")),
            ProgressMode::Json => {
                let line = Line { schema: SCHEMA, event: "progress", fields: reading };
                let line = serde_json::to_string(&line).expect("a reading is plain data");
                self.out_text(&line);
            }
            ProgressMode::Bar => {
                let bar = self.bar.get_or_insert_with(new_bar);
                bar.set_length(reading.bytes_total.unwrap_or(reading.bytes_durable));
                bar.set_position(reading.bytes_durable);
                bar.set_message(reading.to_string());
            }
        }
    }

    fn note_out(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.out_state = OutState::Closed;
            }
            Err(_) => self.out_state = OutState::Failed,
        }
    }
}

fn clear_of<T>(bar: Option<&ProgressBar>, write: impl FnOnce() -> T) -> T {
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {percent:>3} % {msg}")
        .expect("the template is fixed");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}
