//! What is said, on which stream, in which form.

use super::*;
use crate::landing::ZoneName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::io;
use std::time::Duration;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn speak(manner: Manner, mode: ProgressMode) -> (Reporter, Sink, Sink) {
    let (out, err) = (Sink::default(), Sink::default());
    let streams: (Box<dyn Write + Send>, Box<dyn Write + Send>) =
        (Box::new(out.clone()), Box::new(err.clone()));
    (Reporter::with_streams(manner, mode, streams), out, err)
}

const HUMAN: Manner = Manner { json: false, quiet: false, progress: None };
const JSON: Manner = Manner { json: true, ..HUMAN };

#[derive(Serialize)]
struct Fields {
    parts: u32,
    zone: ZoneName,
}

fn say_all(reporter: &Reporter) -> Exit {
    let fields = Fields { parts: 4, zone: ZoneName::parse("in").unwrap() };
    reporter.result("done", &fields, "4 parts");
    reporter.note("resumed", &fields, "resuming");
    reporter.warn("skipped", "in:a is a symlink");
    reporter.fail(&Refusal::new(RefusalCode::Exists, "a::b"))
}

#[test]
fn people_read_results_on_stdout_and_the_rest_on_stderr() {
    let (reporter, out, err) = speak(HUMAN, ProgressMode::None);

    assert_eq!(say_all(&reporter), Exit::Refused);
    assert_eq!(out.text(), "4 parts\n");
    assert_eq!(
        err.text(),
        "resuming\nwarning: in:a is a symlink\nerror: it exists already; ask to overwrite it: a::b\n  \
         try: add --overwrite, or choose another name\n"
    );
}

#[test]
fn a_quiet_command_still_gives_results_warnings_and_errors() {
    let (reporter, out, err) = speak(Manner { quiet: true, ..HUMAN }, ProgressMode::None);
    say_all(&reporter);

    assert_eq!(out.text(), "4 parts\n");
    assert!(err.text().starts_with("warning: in:a is a symlink\nerror: "), "{}", err.text());
}

#[test]
fn programs_read_one_object_a_line_on_stdout() {
    let (reporter, out, err) = speak(JSON, ProgressMode::None);
    say_all(&reporter);

    assert_eq!(err.text(), "");
    assert_eq!(
        out.text().lines().collect::<Vec<_>>(),
        [
            r#"{"schema":1,"event":"done","parts":4,"zone":"in"}"#,
            r#"{"schema":1,"event":"resumed","parts":4,"zone":"in"}"#,
            r#"{"schema":1,"event":"warning","code":"skipped","message":"in:a is a symlink"}"#,
            concat!(
                r#"{"schema":1,"event":"error","code":"refused-204","exit":4,"#,
                r#""message":"it exists already; ask to overwrite it: a::b","#,
                r#""try":"add --overwrite, or choose another name"}"#
            ),
        ]
    );
}

#[test]
fn an_error_without_advice_says_nothing_to_try() {
    let (reporter, _, err) = speak(HUMAN, ProgressMode::None);
    reporter.file_error(&Refusal::new(RefusalCode::Malformed, ""));

    assert_eq!(err.text(), "error: the message breaks the protocol\n");
}

#[test]
fn progress_is_shown_at_once_then_now_and_then_and_at_the_end() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let (reporter, out, err) = speak(HUMAN, ProgressMode::Plain);
    let mut screen = reporter.screen();
    screen.progress(0, Some(100), start);
    screen.progress(10, Some(100), at(4999));
    screen.progress(20, Some(100), at(5000));
    screen.progress(30, Some(100), at(6000));
    screen.progress_end(at(6000));
    screen.progress_end(at(6000));

    assert_eq!(out.text(), "");
    assert_eq!(
        err.text().lines().collect::<Vec<_>>(),
        [
            "progress: 0 B of 100 B durable",
            "progress: 20 B of 100 B durable, 4 B/s, 20 s left",
            "progress: 30 B of 100 B durable, 5 B/s, 14 s left",
        ]
    );
}

#[test]
fn progress_for_programs_is_an_object_on_stdout() {
    let start = Instant::now();
    let (reporter, out, err) = speak(JSON, ProgressMode::Json);
    let mut screen = reporter.screen();
    screen.progress(0, Some(100), start);
    screen.progress(50, None, start + Duration::from_millis(199));
    screen.progress_end(start + Duration::from_millis(250));

    assert_eq!(err.text(), "");
    assert_eq!(
        out.text().lines().collect::<Vec<_>>(),
        [
            r#"{"schema":1,"event":"progress","bytes_durable":0,"bytes_total":100,"bytes_per_second":null,"eta_seconds":null}"#,
            r#"{"schema":1,"event":"progress","bytes_durable":50,"bytes_total":null,"bytes_per_second":200,"eta_seconds":null}"#,
        ]
    );
}

#[test]
fn progress_is_a_bar_only_where_somebody_sees_it() {
    let choose = |manner: Manner, terminal| ProgressMode::choose(manner, terminal);
    let asked = |choice| Manner { progress: Some(choice), ..HUMAN };

    assert_eq!(choose(HUMAN, true), ProgressMode::Bar);
    assert_eq!(choose(HUMAN, false), ProgressMode::None);
    assert_eq!(choose(JSON, false), ProgressMode::None);
    assert_eq!(choose(Manner { quiet: true, ..HUMAN }, true), ProgressMode::None);
    assert_eq!(choose(asked(ProgressChoice::Plain), false), ProgressMode::Plain);
    assert_eq!(choose(asked(ProgressChoice::Json), true), ProgressMode::Json);
    assert_eq!(choose(asked(ProgressChoice::Tty), false), ProgressMode::Bar);
    assert_eq!(choose(asked(ProgressChoice::None), true), ProgressMode::None);
}

#[test]
fn a_reader_may_leave_but_a_full_disk_is_a_failure() {
    for (kind, exit) in
        [(io::ErrorKind::BrokenPipe, Exit::Done), (io::ErrorKind::StorageFull, Exit::Internal)]
    {
        let streams: (Box<dyn Write + Send>, Box<dyn Write + Send>) =
            (Box::new(Broken(kind)), Box::new(Sink::default()));
        let reporter = Reporter::with_streams(HUMAN, ProgressMode::None, streams);
        assert!(!reporter.is_closed());
        reporter.result("done", &Fields { parts: 1, zone: ZoneName::parse("a").unwrap() }, "x");

        assert!(reporter.is_closed());
        assert_eq!(reporter.finish(Exit::Done), exit);
        assert_eq!(reporter.finish(Exit::Source), Exit::Source);
    }
}
