//! The `doctor` command: one check after another, each with a result and what to do about it.

mod host;
mod report;

use crate::config::{Access, Directories, EdgeConfig, ZoneConfig};
use crate::context::{Host, unix_ms};
use crate::exit::{Chain, Exit, Explain};
use crate::journal::Journal;
use crate::output::{Reporter, utc_text};
use crate::session::{Connector, RelaySession, SKEW_MAX};
use crate::size::Count;
use report::{Finding, Report};
use skyspray_certs::RelayAddress;
use skyspray_link::seam::files::{Caching, FileError, OsTree, RelPath, Tree};
use skyspray_wire::ids::JobId;
use skyspray_wire::message::Request;
use std::time::Duration;

/// Losing more than one packet in this many slows a session down.
const LOSS_DIVISOR: u64 = 100;

/// Questions asked of a relay, so that there is a path to speak of.
const PROBES: usize = 8;

/// Checks everything and says what it found; exits as the gravest failure does.
pub(super) async fn doctor(directories: &Directories, host: &Host, reporter: &Reporter) -> Exit {
    let mut report = Report::new(reporter);
    let config = check_config(directories, &mut report);
    check_state(directories, &mut report);
    if let Some(config) = &config {
        config.zones.iter().for_each(|zone| check_zone(zone, host, &mut report));
        if config.zones.is_empty() {
            let advice = "add [landing_zone.NAME] to edge.toml".to_owned();
            report.add(Finding::warn("landing-zones", "there are none".into(), Some(advice)));
        }
    }
    host::check_buffers(&mut report);
    if let Some(config) = &config {
        match Connector::open(directories, config, host) {
            Ok(connector) => check_relays(&connector, host, &mut report).await,
            Err(error) => report.fail("identity", &error),
        }
    }
    report.finish()
}

fn check_config(directories: &Directories, report: &mut Report<'_>) -> Option<EdgeConfig> {
    let file = directories.config_file();
    match EdgeConfig::load(directories) {
        Ok(config) => {
            let zones = Count(config.zones.len() as u64, "landing zone");
            report.add(Finding::ok("config", format!("{}: {zones}", file.display())));
            Some(config)
        }
        Err(error) => {
            report.fail("config", &error);
            None
        }
    }
}

fn check_state(directories: &Directories, report: &mut Report<'_>) {
    let opened = Journal::open(&directories.state).and_then(|journal| journal.list());
    match opened {
        Ok(jobs) => {
            let shown = directories.state.display();
            let jobs = Count(jobs.len() as u64, "open job");
            report.add(Finding::ok("journal", format!("{shown}: {jobs}")));
        }
        Err(error) => report.fail("journal", &error),
    }
}

fn check_zone(zone: &ZoneConfig, host: &Host, report: &mut Report<'_>) {
    let name = format!("landing-zone-{}", zone.name);
    let tree = match OsTree::open(&zone.path) {
        Ok(tree) => tree,
        Err(error) => {
            let advice = "mount or make the directory, or correct edge.toml".to_owned();
            let text = Chain(&error).to_string();
            return report.add(Finding::failed(&name, text, Some(advice), Exit::Usage));
        }
    };
    let (may, probed) = match zone.access {
        Access::Read => ("read", probe_read(&tree)),
        Access::Write => ("write", probe_write(&tree, host)),
        Access::ReadWrite => {
            ("read and write", probe_read(&tree).and_then(|()| probe_write(&tree, host)))
        }
    };
    let shown = zone.path.display();
    match probed {
        Ok(()) => report.add(Finding::ok(&name, format!("{shown}: can {may}"))),
        Err(error) => {
            let advice = format!("let the user that runs the edge {may} in {shown}");
            let text = format!("{shown}: {}", Chain(&error));
            report.add(Finding::failed(&name, text, Some(advice), Exit::Usage));
        }
    }
}

fn probe_read(tree: &dyn Tree) -> Result<(), FileError> {
    tree.read_dir(&RelPath::root(), None, 1).map(|_| ())
}

fn probe_write(tree: &dyn Tree, host: &Host) -> Result<(), FileError> {
    let name = format!(".skyspray-doctor-{:016x}", host.random.u64());
    let name = RelPath::parse(name).expect("hexadecimal digits make a plain name");
    let file = tree.create_new(&name, 0o600, Caching::Buffered)?;
    let written = file.write_all_at(b"skyspray", 0).and_then(|()| file.sync_all());
    tree.remove_file(&name)?;
    written
}

async fn check_relays(connector: &Connector, host: &Host, report: &mut Report<'_>) {
    check_identity(connector, host, report);
    let addresses = connector.addresses();
    let mut answered = false;
    let mut failures = Vec::new();
    for address in &addresses {
        match connector.connect_to(address).await {
            Ok(relay) => {
                answered = true;
                check_session(&relay, report).await;
                relay.close().await;
            }
            Err(error) => failures.push((address, error)),
        }
    }
    for (address, error) in failures {
        let name = name_of(address);
        // One relay of several that does not answer stops no job.
        if answered && error.exit() == Exit::Temporary {
            let text = Chain(&error).to_string();
            report.add(Finding::warn(&name, text, error.advice()));
        } else {
            report.fail(&name, &error);
        }
    }
    if addresses.is_empty() {
        report.fail("relay", &crate::session::ConnectError::NoAddress);
    }
}

fn check_identity(connector: &Connector, host: &Host, report: &mut Report<'_>) {
    let (identity, validity) = (connector.identity(), connector.validity());
    let until = utc_text(unix_ms(validity.not_after));
    let text = format!("agent {}, valid until {until}", identity.agent);
    let now = host.clock.now();
    if now > validity.not_after {
        let advice = format!("it is recovered at {} by the next command", identity.enroll_address);
        report.add(Finding::warn("identity", format!("{text}: expired"), Some(advice)));
    } else if now < validity.not_before {
        let advice = "set this host's clock".to_owned();
        report.add(Finding::warn("identity", format!("{text}: not valid yet"), Some(advice)));
    } else {
        report.add(Finding::ok("identity", text));
    }
}

async fn check_session(relay: &RelaySession, report: &mut Report<'_>) {
    let address = relay.address();
    for _ in 0..PROBES {
        // Nobody has this job; how long the answer takes is what counts.
        let _ = relay.session().ask(&Request::JobStatus(JobId([0; 16]))).await;
    }
    let path = relay.session().path();
    let (round_trip, mtu) = (path.round_trip.as_secs_f64() * 1e3, path.mtu);
    let text = format!(
        "answers over UDP as {}, agent {}, round trip {round_trip:.1} ms, packets of {mtu} bytes",
        relay.welcome().software.escape_debug(),
        relay.welcome().agent
    );
    let lossy = path.packets_lost * LOSS_DIVISOR > path.packets_sent;
    if lossy {
        let lost = format!("{text}; {} of {} packets lost", path.packets_lost, path.packets_sent);
        let advice = "check the path to the relay for loss".to_owned();
        report.add(Finding::warn(&name_of(address), lost, Some(advice)));
    } else {
        report.add(Finding::ok(&name_of(address), text));
    }
    check_skew(relay, report);
}

fn check_skew(relay: &RelaySession, report: &mut Report<'_>) {
    let skew = Duration::from_millis(relay.skew_ms().unsigned_abs());
    let seconds = skew.as_secs_f64();
    if skew > SKEW_MAX {
        let direction = if relay.skew_ms() > 0 { "behind" } else { "ahead of" };
        let text = format!("this host is {seconds:.0} s {direction} relay {}", relay.address());
        let advice = "set the clocks by NTP on both hosts".to_owned();
        report.add(Finding::warn("clock", text, Some(advice)));
    } else {
        report.add(Finding::ok("clock", format!("{seconds:.1} s apart from the relay's")));
    }
}

fn name_of(address: &RelayAddress) -> String {
    format!("relay-{address}")
}

#[cfg(test)]
mod tests;
