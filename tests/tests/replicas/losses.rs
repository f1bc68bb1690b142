//! I1, I2, I7, F8 to F11, F19: whatever replica is lost, and however, the other one completes what it
//! began. Sizes are those of a quick run; with `SKYSPRAY_BIG=1` those that a release must survive.

use rustix::process::Signal;
use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_returns, assert_same, assert_stored,
};
use skyspray_tests::cluster::{Cluster, Which};
use skyspray_tests::data::random_file;
use skyspray_tests::edge::Running;
use skyspray_tests::output::Output;
use skyspray_tests::wait;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Memory of the edge. Half of it holds chunks in flight.
const MEMORY: u64 = 128 * MIB;

/// Chunks that may have to be sent again for each loss of a session; one is of 8 MiB here.
const WINDOW_CHUNKS: u64 = MEMORY / 2 / (8 * MIB);

/// How long a replica stands still: longer than an edge waits for it, and than its right to place
/// parts holds.
const PAUSE: Duration = Duration::from_secs(25);

/// As [`PAUSE`], and longer than the 60 s after which others may take what a job holds.
const PAUSE_BIG: Duration = Duration::from_secs(65);

/// Bytes the other replica must have made durable before a pause goes on without the edge.
const TAKEN_OVER: u64 = 32 * MIB;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(1800);

fn is_big() -> bool {
    std::env::var_os("SKYSPRAY_BIG").is_some_and(|value| value == "1")
}

/// A spray of so many bytes that is under way, through the balancer.
fn under_way(length: u64) -> (Cluster, PathBuf, Vec<OsString>, Running) {
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    cluster.pair.edge.configure("memory", &format!("\"{}MiB\"", MEMORY / MIB));
    let source = cluster.pair.edge.file("source.bin");
    random_file(&source, length, 71).expect("the source can be written");
    let command = cluster.spray(&source, "t::file", 4);
    let running = cluster.pair.begin(command.clone());
    (cluster, source, command, running)
}

/// Waits until `bytes` of the spray are durable, which must still go on then.
fn wait_durable(cluster: &Cluster, bytes: u64, running: &mut Running) {
    if !cluster.wait_durable(Which::First, bytes, running) {
        let ended = running.finish_within(PATIENCE, &|| false);
        panic!("it ended before {bytes} bytes were durable: {ended:?}");
    }
}

/// The end of a command, which may have told its caller to run it again.
fn finish(cluster: &Cluster, command: &[OsString], running: &mut Running) -> (Output, u64) {
    let mut reruns = 0;
    let mut output = running.finish_within(PATIENCE, &|| false).unwrap_or_else(|e| panic!("{e}"));
    while output.code == 5 {
        reruns += 1;
        let mut again = cluster.pair.begin(command.to_vec());
        output = again.finish_within(PATIENCE, &|| false).unwrap_or_else(|e| panic!("{e}"));
    }
    (output.done().unwrap_or_else(|error| panic!("{error}")), reruns)
}

fn assert_whole(cluster: &Cluster, source: &Path) {
    cluster.operator(args!["file", "verify", "lake:t::file"]);
    let back = cluster.pair.edge.file("back.bin");
    cluster.pair.done(args!["despray", "lake:t::file", &back]);
    assert_same(&back, source);
    fs::remove_file(back).expect("the exported file can be removed");
    cluster.assert_no_upload_is_left();
}

fn kill_serving(cluster: &mut Cluster, running: &mut Running) -> Option<Duration> {
    let victim = cluster.serving(running);
    let began = Instant::now();
    cluster.relay_mut(victim).kill();
    let taken = cluster.wait_session(victim.other(), running);
    let took = began.elapsed();
    cluster.relay_mut(victim).serve().unwrap_or_else(|error| panic!("{error}"));
    taken.then_some(took)
}

/// Stops the replica that serves once `moment` bytes are durable, until the other one has gone on for
/// a while and `pause` is over. The edge stands still for the rest of it, so that the job is not done
/// when the replica wakes.
fn pause_serving(
    cluster: &Cluster,
    running: &mut Running,
    (moment, pause): (u64, Duration),
) -> Option<Duration> {
    let victim = cluster.serving(running);
    let began = Instant::now();
    cluster.relay(victim).process().signal(Signal::STOP);
    let taken = cluster.wait_session(victim.other(), running);
    let took = began.elapsed();
    let goes_on = taken && cluster.wait_durable(victim.other(), moment + TAKEN_OVER, running);
    if goes_on {
        running.process.signal(Signal::STOP);
    }
    wait::pass(pause.saturating_sub(began.elapsed()));
    cluster.relay(victim).process().signal(Signal::CONT);
    // It finds that its session is gone, and that nothing it still has to write counts.
    wait::until("the resumed replica lets go", Duration::from_secs(120), || {
        !cluster.has_session(victim)
    });
    running.process.signal(Signal::CONT);
    goes_on.then_some(took)
}

/// Losses happen while at least a third of the file is left: it goes on while the test looks.
fn moments(length: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| length / 10 + length * 6 / 10 * n / count)
}

fn report(what: &str, times: &[Duration]) {
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    eprintln!("{what}: seconds until the other replica serves {seconds:.2?}");
}

#[test]
fn a_spray_survives_kills_of_the_replica_that_serves_it() {
    let (length, kills) = if is_big() { (2048 * MIB + 77, 20) } else { (512 * MIB + 77, 5) };
    let (mut cluster, source, command, mut running) = under_way(length);

    let mut times = Vec::new();
    for moment in moments(length, kills) {
        wait_durable(&cluster, moment, &mut running);
        times.extend(kill_serving(&mut cluster, &mut running));
    }
    let (output, reruns) = finish(&cluster, &command, &mut running);

    report("kills", &times);
    eprintln!("{}", cluster.pair.edge.log_tail());
    assert_eq!(times.len() as u64, kills, "the spray was over before the last kill");
    let resent = output.done_number("chunks_resent");
    eprintln!("{resent} chunks sent again, {reruns} runs more");
    assert!(resent <= kills * WINDOW_CHUNKS, "{resent} chunks were sent again");
    assert_eq!(reruns, 0, "the command gave up between two replicas");
    assert_whole(&cluster, &source);
}

#[test]
fn a_replica_that_stands_still_for_a_while_changes_nothing_when_it_goes_on() {
    let (length, pauses, pause) = match is_big() {
        true => (2048 * MIB + 5, 5, PAUSE_BIG),
        false => (512 * MIB + 5, 1, PAUSE),
    };
    let (cluster, source, command, mut running) = under_way(length);

    let mut times = Vec::new();
    for moment in moments(length, pauses) {
        wait_durable(&cluster, moment, &mut running);
        times.extend(pause_serving(&cluster, &mut running, (moment, pause)));
    }
    let (output, reruns) = finish(&cluster, &command, &mut running);

    report("pauses", &times);
    assert_eq!(times.len() as u64, pauses, "the spray was over before the last pause");
    let resent = output.done_number("chunks_resent");
    eprintln!("{resent} chunks sent again, {reruns} runs more");
    // In each pause the replica is lost, and then the session of an edge that stands still.
    assert!(resent <= 2 * pauses * WINDOW_CHUNKS, "{resent} chunks were sent again");
    assert_eq!(reruns, 0, "the command gave up between two replicas");
    assert_whole(&cluster, &source);
}

/// F19: both replicas write to one directory, and the one that serves stops in the middle of its chunks
/// until the other one has stored the file and its own right to place parts is over.
#[test]
fn a_replica_that_wakes_late_changes_nothing_on_a_directory_it_shares() {
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    cluster.pair.edge.configure("memory", &format!("\"{}MiB\"", MEMORY / MIB));
    let source = cluster.pair.edge.file("source.bin");
    random_file(&source, 160 * MIB + 7, 72).expect("the source can be written");
    let command = cluster.pair.spray_bytes(&source, "t::file", 16);
    let mut running = cluster.pair.begin(command.clone());
    wait_durable(&cluster, 16 * MIB, &mut running);

    let victim = cluster.serving(&mut running);
    let began = Instant::now();
    cluster.relay(victim).process().signal(Signal::STOP);
    let (output, reruns) = finish(&cluster, &command, &mut running);
    let took = began.elapsed();
    wait::pass(PAUSE.saturating_sub(took));
    cluster.relay(victim).process().signal(Signal::CONT);
    wait::until("the resumed replica lets go", Duration::from_secs(120), || {
        !cluster.has_session(victim)
    });

    let resent = output.done_number("chunks_resent");
    eprintln!("stored after {:.1} s, {resent} chunks sent again", took.as_secs_f64());
    assert_eq!(reruns, 0, "the command gave up between two replicas");
    assert_stored(&cluster.pair, "t::file", &source, 16);
    assert_returns(&cluster.pair, "t::file", &source);
    assert_nothing_staged_after_collect(&cluster.pair);
}

#[test]
fn a_replica_that_is_asked_to_end_hands_its_spray_over_within_seconds() {
    let (mut cluster, source, command, mut running) = under_way(160 * MIB + 3);
    wait_durable(&cluster, 16 * MIB, &mut running);

    let leaving = cluster.serving(&mut running);
    let began = Instant::now();
    cluster.relay(leaving).process().signal(Signal::TERM);
    assert!(cluster.wait_session(leaving.other(), &mut running), "it ended too early");
    let took = began.elapsed();
    assert_eq!(cluster.relay_mut(leaving).stop().unwrap(), 0);
    let (output, reruns) = finish(&cluster, &command, &mut running);

    report("farewell", &[took]);
    // An edge that is told nothing notices only after 4 s of silence.
    assert!(took < Duration::from_secs(4), "the other replica served after {took:?}");
    assert_eq!(reruns, 0);
    let resent = output.done_number("chunks_resent");
    assert!(resent <= WINDOW_CHUNKS, "{resent} chunks were sent again");
    cluster.relay_mut(leaving).serve().unwrap();
    assert_whole(&cluster, &source);
}

/// What the HTTP interface of a replica answers to a request without a body, as its first line.
fn ask(cluster: &Cluster, which: Which, address: &str, path: &str) -> Option<String> {
    assert!(cluster.relay(which).is_started());
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[test]
fn a_replica_on_its_way_out_is_alive_and_not_ready() {
    let (mut cluster, source, command, mut running) = under_way(96 * MIB + 9);
    wait_durable(&cluster, 8 * MIB, &mut running);
    let leaving = cluster.serving(&mut running);
    let address = cluster.relay(leaving).http_address();
    assert_eq!(ask(&cluster, leaving, &address, "/readyz").unwrap(), "HTTP/1.1 204 No Content");

    // Chunks that are being written hold it back until the store goes on.
    cluster.store.pause();
    cluster.relay(leaving).process().signal(Signal::TERM);
    let unready = wait::poll(Duration::from_secs(8), || {
        let line = ask(&cluster, leaving, &address, "/readyz")?;
        line.contains("503").then_some(line)
    });
    let alive = ask(&cluster, leaving, &address, "/healthz");
    cluster.store.resume();

    assert_eq!(unready.as_deref(), Some("HTTP/1.1 503 Service Unavailable"));
    assert_eq!(alive.as_deref(), Some("HTTP/1.1 204 No Content"));
    assert_eq!(cluster.relay_mut(leaving).stop().unwrap(), 0);
    finish(&cluster, &command, &mut running);
    cluster.relay_mut(leaving).serve().unwrap();
    assert_whole(&cluster, &source);
}

#[test]
fn a_database_that_breaks_off_holds_a_spray_back_and_loses_nothing() {
    let (mut cluster, source, command, mut running) = under_way(160 * MIB + 1);
    wait_durable(&cluster, 16 * MIB, &mut running);

    cluster.database.stop_immediate().unwrap();
    wait::pass(Duration::from_secs(4));
    assert!(!running.process.has_ended(), "nothing can be committed without a catalogue");
    cluster.database.restart().unwrap();
    let (_output, reruns) = finish(&cluster, &command, &mut running);

    assert_eq!(reruns, 0, "the command gave up on a database that was away for seconds");
    assert_whole(&cluster, &source);
}
