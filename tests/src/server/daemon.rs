//! A server as a child process: its process group, its log, and its end with ours.

use crate::error::HarnessError;
use crate::process::tail;
use crate::wait;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How long a server may take until it answers.
pub const READY: Duration = Duration::from_secs(60);

/// Times a server is started: a port that was free may be taken when it asks for it.
const ATTEMPTS: u32 = 5;

/// Starts a server on free ports, on others again where it ended.
///
/// # Errors
///
/// The last failure of `start`.
pub(super) fn on_free_ports<T>(
    mut start: impl FnMut() -> Result<T, HarnessError>,
) -> Result<T, HarnessError> {
    let mut attempts_left = ATTEMPTS;
    loop {
        attempts_left -= 1;
        match start() {
            Err(HarnessError::Ended { .. }) if attempts_left > 0 => {}
            done => return done,
        }
    }
}

/// What to start.
#[derive(Clone)]
pub struct Daemon {
    /// The program.
    pub program: PathBuf,
    /// Its arguments. Never a secret: every user of the machine sees them.
    pub arguments: Vec<OsString>,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// The user it runs as, where that is another one.
    pub user: Option<&'static str>,
    /// The signal it gets when the test process is gone.
    pub farewell: Farewell,
    /// File to which its stdout and stderr are appended.
    pub log: PathBuf,
}

/// How a server that outlived the test process is told to end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Farewell {
    /// `SIGKILL`.
    #[default]
    Kill,
    /// `SIGQUIT`, for a server that must first end its children.
    Quit,
}

impl Daemon {
    /// A program with arguments and nothing else set.
    pub fn new(program: PathBuf, arguments: Vec<OsString>, log: PathBuf) -> Self {
        let farewell = Farewell::default();
        Self { program, arguments, environment: Vec::new(), user: None, farewell, log }
    }

    /// Starts it in a process group of its own.
    ///
    /// # Errors
    ///
    /// The program or the log file cannot be used.
    pub fn start(&self) -> Result<Running, HarnessError> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(HarnessError::file(&self.log))?;
        let errors = log.try_clone().map_err(HarnessError::file(&self.log))?;
        // setpriv becomes the program, so the child is the server itself.
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig").arg(match self.farewell {
            Farewell::Kill => "KILL",
            Farewell::Quit => "QUIT",
        });
        if let Some(user) = self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command.arg(&self.program).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let spawned = spawn_from_keeper(command);
        let program = self.program.clone();
        let child = spawned.map_err(|source| HarnessError::Spawn { program, source })?;
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (farewell, log) = (self.farewell, self.log.clone());
        Ok(Running { child, ended: false, farewell, name, log })
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the environment, which may hold a key.
        f.debug_struct("Daemon").field("program", &self.program).finish_non_exhaustive()
    }
}

/// A started server. Its process group is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    ended: bool,
    farewell: Farewell,
    name: String,
    log: PathBuf,
}

/// Why a server does not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deaf {
    /// It has ended, as one does whose port was taken.
    Ended,
    /// It runs, but time is up.
    Late,
}

impl Running {
    /// Waits until `answers` does.
    ///
    /// # Errors
    ///
    /// It ended, or does not answer within [`READY`].
    pub fn wait_until(&mut self, mut answers: impl FnMut() -> bool) -> Result<(), Deaf> {
        let answer = wait::poll(READY, || {
            if self.has_ended() {
                return Some(Err(Deaf::Ended));
            }
            answers().then_some(Ok(()))
        });
        answer.unwrap_or(Err(Deaf::Late))
    }

    /// The error that tells of a server that is [`Deaf`].
    pub fn error(&self, deaf: Deaf) -> HarnessError {
        let (command, log, what) = (self.name.clone(), tail(&self.log), "readiness");
        match deaf {
            Deaf::Ended => HarnessError::Ended { command, what, log },
            Deaf::Late => HarnessError::Late { command, what, seconds: READY.as_secs(), log },
        }
    }

    /// Its process id, which is the id of its process group as well.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stdout and stderr.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has ended. What it left of its group ends then, too.
    pub fn has_ended(&mut self) -> bool {
        if !self.ended && matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal_group(Signal::KILL);
            self.ended = true;
        }
        self.ended
    }

    /// Stops its whole group where it stands; its peers see a host that does not answer.
    pub fn pause(&self) {
        self.signal_group(Signal::STOP);
    }

    /// Lets it go on after [`Self::pause`].
    pub fn resume(&self) {
        self.signal_group(Signal::CONT);
    }

    /// Asks it to end with this signal, and waits.
    ///
    /// # Errors
    ///
    /// It does not end in time.
    pub fn end(mut self, signal: Signal) -> Result<(), HarnessError> {
        if !self.has_ended() {
            // Fails only when the child is gone.
            let _ = kill_process(self.pid(), signal);
        }
        let ended = wait::poll(READY, || self.has_ended().then_some(()));
        ended.ok_or_else(|| self.error(Deaf::Late))
    }

    fn signal_group(&self, signal: Signal) {
        // Fails only when the group is gone.
        let _ = kill_process_group(self.pid(), signal);
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        id.expect("a child has a process id")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() && self.farewell == Farewell::Quit {
            self.signal_group(Signal::CONT);
            // Fails only when the child is gone.
            let _ = kill_process(self.pid(), Signal::QUIT);
            wait::poll(READY, || self.has_ended().then_some(()));
        }
        if !self.has_ended() {
            self.signal_group(Signal::KILL);
            // Fails only when it was waited for before.
            let _ = self.child.wait();
        }
    }
}

type Order = (Command, SyncSender<io::Result<Child>>);

/// Starts a child from a thread that lives as long as this process. The system sends the farewell
/// when the thread that started the child ends, and the thread of a test ends before the process.
fn spawn_from_keeper(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = sync_channel::<Order>(0);
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The asker waits for the reply.
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = sync_channel(1);
    keeper.send((command, reply)).expect("the keeper lives as long as the process");
    answer.recv().expect("the keeper answers every order")
}
