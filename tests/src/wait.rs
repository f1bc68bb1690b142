//! Waiting for what no event announces: the one place of the tests that sleeps.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it counts as hung.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often the state of another process is looked at.
const INTERVAL: Duration = Duration::from_millis(1);

/// Asks `check` again and again until it answers, and hands on the answer; `None` when it has not
/// within this time.
pub fn poll<T>(within: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = check() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        // sleep-ok: the state of a foreign process or file system, which sends no event.
        sleep(INTERVAL);
    }
}

/// As [`poll`], for a condition that must come true.
///
/// # Panics
///
/// When it does not within this time.
pub fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let came_true = poll(within, || holds().then_some(())).is_some();
    assert!(came_true, "{what}: not within {within:?}");
}

/// Lets this time pass on the wall clock, for what expires by it.
pub fn pass(time: Duration) {
    poll(time, || None::<()>);
}
