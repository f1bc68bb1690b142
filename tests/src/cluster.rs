//! Two replicas of a relay with one catalogue on PostgreSQL, a plane in a bucket, and a balancer
//! before them; an edge that knows the balancer alone.

use crate::args;
use crate::edge::Running;
use crate::error::HarnessError;
use crate::output::Output;
use crate::pair::Pair;
use crate::planes::{LAKE, add_s3};
use crate::relay::Relay;
use crate::server::nginx::UdpBalancer;
use crate::server::postgres::Postgres;
use crate::server::seaweed::Seaweed;
use crate::wait;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The bucket of the plane.
const BUCKET: &str = "cluster-data";

/// How long anything may take that the replicas do among themselves.
const SOON: Duration = Duration::from_secs(120);

/// How long a share of a file may take to become durable, on a host that is busy with other things.
const SHARE: Duration = Duration::from_secs(600);

/// One of the two replicas.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Which {
    /// The one that was initialised.
    First,
    /// The one that has a configuration and the shared identity.
    Second,
}

impl Which {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Everything of it. Fields end in this order.
#[derive(Debug)]
pub struct Cluster {
    /// The edge and the first replica.
    pub pair: Pair,
    /// The second replica.
    pub second: Relay,
    /// What is before both.
    pub balancer: UdpBalancer,
    /// The store of the plane `lake`.
    pub store: Seaweed,
    /// The server of the catalogue.
    pub database: Postgres,
}

impl Cluster {
    /// Starts all of it, and enrolls the edge through the first replica.
    ///
    /// # Errors
    ///
    /// Something of it is not installed or does not start.
    pub fn start() -> Result<Self, HarnessError> {
        let database = Postgres::start()?;
        let store = Seaweed::start(None)?;
        store.s3().create_bucket(BUCKET)?;
        let mut pair = Pair::prepare()?;
        share_catalogue(&pair.relay, pair.root.path(), &database)?;
        add_s3(&pair, store.s3(), BUCKET, "");
        pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
        let shared = mount_identity(&pair)?;
        let mut second = pair.relay.replica(pair.root.path(), "replica", &shared)?;
        let mut listeners = Vec::new();
        for relay in [&mut pair.relay, &mut second] {
            relay.listen_http("127.0.0.1:0");
            relay.serve()?;
            let at = relay.listeners();
            let parse = |text: &str| text.parse::<SocketAddr>().expect("an address and a port");
            listeners.push((parse(&at.data), parse(&at.enroll)));
        }
        let balancer = UdpBalancer::deployed(&[listeners[0], listeners[1]])?;
        // Edges are told of the balancer alone.
        for relay in [&mut pair.relay, &mut second] {
            relay.set(&format!("advertise = [\"{}\"]", balancer.address()));
            relay.stop()?;
            relay.serve()?;
        }
        pair.enroll("push,pull,list,remove,overwrite:*")?;
        Ok(Self { pair, second, balancer, store, database })
    }

    /// A replica.
    pub fn relay(&self, which: Which) -> &Relay {
        match which {
            Which::First => &self.pair.relay,
            Which::Second => &self.second,
        }
    }

    /// A replica, to stop and start it.
    pub fn relay_mut(&mut self, which: Which) -> &mut Relay {
        match which {
            Which::First => &mut self.pair.relay,
            Which::Second => &mut self.second,
        }
    }

    /// Whether a session of an edge lives at a replica, as its log says.
    pub fn has_session(&self, which: Which) -> bool {
        let (begun, ended) = self.relay(which).sessions();
        begun > ended
    }

    /// The replica that serves the one session there is, once there is exactly one.
    ///
    /// # Panics
    ///
    /// When it does not come to that, or `running` ends first.
    pub fn serving(&self, running: &mut Running) -> Which {
        let serving = wait::poll(SOON, || {
            assert!(!running.process.has_ended(), "the command ended: {:#?}", running.finish());
            let mut with = [Which::First, Which::Second].into_iter();
            let with: Vec<_> = with.by_ref().filter(|&which| self.has_session(which)).collect();
            (with.len() == 1).then(|| with[0])
        });
        serving.expect("one of the replicas serves")
    }

    /// Waits until a replica has a session, or `running` has ended; says which: `true` for a session.
    ///
    /// # Panics
    ///
    /// When neither happens.
    pub fn wait_session(&self, which: Which, running: &mut Running) -> bool {
        let seen = wait::poll(SOON, || {
            if self.has_session(which) {
                return Some(true);
            }
            running.process.has_ended().then_some(false)
        });
        seen.unwrap_or_else(|| panic!("{which:?} got no session"))
    }

    /// Waits until more than `bytes` of the newest job are durable, or `running` has ended; says which:
    /// `true` when they were first. Asks through the directory of `which`, whether it serves or not.
    ///
    /// # Panics
    ///
    /// When neither happens.
    pub fn wait_durable(&self, which: Which, bytes: u64, running: &mut Running) -> bool {
        let seen = wait::poll(SHARE, || {
            let listed = self.relay(which).admin(args!["job", "list"]);
            let jobs = listed.expect("the command runs").objects();
            let newest = jobs.iter().find_map(|job| job["bytes_durable"].as_u64());
            if newest.is_some_and(|durable| durable > bytes) {
                return Some(true);
            }
            running.process.has_ended().then_some(false)
        });
        seen.unwrap_or_else(|| panic!("{bytes} bytes did not become durable"))
    }

    /// A spray of fixed records of one byte to the plane `lake`.
    pub fn spray(&self, source: &Path, name: &str, parts: u32) -> Vec<OsString> {
        let mut arguments = args!["spray", source, &format!("{LAKE}:{name}")];
        arguments.extend(args!["--format", "fixed", "--record-size", "1"]);
        arguments.extend(args!["--parts", &parts.to_string(), "-v"]);
        arguments
    }

    /// Runs a command of the first replica's directory that must succeed.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn operator(&self, arguments: Vec<OsString>) -> Output {
        let output = self.pair.relay.admin(arguments).and_then(Output::done);
        output.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asserts that no upload is open at the store once orphans are collected.
    ///
    /// # Panics
    ///
    /// When one is.
    pub fn assert_no_upload_is_left(&self) {
        self.operator(args!["collect"]);
        assert_eq!(self.store.s3().open_uploads(BUCKET).expect("uploads can be listed"), []);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What stands still cannot be asked to end.
        for which in [Which::First, Which::Second] {
            if self.relay(which).is_started() {
                self.relay(which).process().signal(Signal::CONT);
            }
        }
        if std::thread::panicking() {
            eprintln!("--- the second replica's log ends with\n{}", self.second.log_tail());
            eprintln!("--- the edge's log ends with\n{}", self.pair.edge.log_tail());
        }
    }
}

/// Has a relay that is not running keep its catalogue in a database of its own.
fn share_catalogue(relay: &Relay, root: &Path, server: &Postgres) -> Result<(), HarnessError> {
    let database = server.new_database()?;
    let secret = database.url().split_once("//").expect("a URL").1;
    let (credentials, place) = secret.split_once('@').expect("a user and a password");
    let (user, password) = credentials.split_once(':').expect("a user and a password");
    let file = root.join("catalogue-password");
    fs::write(&file, password).map_err(HarnessError::file(&file))?;
    relay.set(&format!("catalogue_password_file = \"{}\"", file.display()));
    relay.set(&format!("catalogue = \"postgres://{user}@{place}\""));
    Ok(())
}

/// What replicas share, as a cluster mounts a secret: names that lead through a directory of this
/// version to files that cannot be written.
fn mount_identity(pair: &Pair) -> Result<PathBuf, HarnessError> {
    let mount = pair.root.path().join("shared-identity");
    let version = mount.join("..2026_11_28");
    fs::create_dir_all(&version).map_err(HarnessError::file(&version))?;
    symlink("..2026_11_28", mount.join("..data")).map_err(HarnessError::file(&mount))?;
    for name in ["relay-authority.pem", "agent-authority.pem", "receipt-key.pem"] {
        let (from, file) = (pair.relay.dir.join("identity").join(name), version.join(name));
        fs::copy(&from, &file).map_err(HarnessError::file(&from))?;
        let mode = fs::Permissions::from_mode(0o440);
        fs::set_permissions(&file, mode).map_err(HarnessError::file(&file))?;
        let name = mount.join(name);
        let target = Path::new("..data").join(name.file_name().expect("it has a name"));
        symlink(target, &name).map_err(HarnessError::file(&name))?;
    }
    Ok(mount)
}
