//! Anonymous network namespaces with one TUN device each, and commands run inside them.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub(crate) struct Ns {
    pub(crate) fd: OwnedFd,
    pub(crate) tun: File,
}

fn check(r: libc::c_int) -> io::Result<libc::c_int> {
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r) }
}

fn sockaddr(ip: Ipv4Addr) -> libc::sockaddr {
    let sin = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: sockaddr_in and sockaddr are plain data of the same size.
    unsafe { std::mem::transmute(sin) }
}

fn ifreq(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data; all zero is valid.
    let mut r: libc::ifreq = unsafe { std::mem::zeroed() };
    for (d, s) in r.ifr_name.iter_mut().zip(name.bytes()) {
        *d = s as libc::c_char;
    }
    r
}

fn ioctl<T>(fd: RawFd, req: libc::c_ulong, arg: &mut T) -> io::Result<()> {
    // SAFETY: every caller passes the structure that the request expects.
    check(unsafe { libc::ioctl(fd, req as _, arg as *mut T) }).map(|_| ())
}

impl Ns {
    /// A new namespace with `lo` up and a TUN device `wan0` (address `ip`/`prefix`, MTU `mtu`) up.
    pub(crate) fn new(ip: &str, prefix: u8, mtu: u16) -> io::Result<Ns> {
        let ip: Ipv4Addr =
            ip.parse().map_err(|_| io::Error::other(format!("bad IPv4 address '{ip}'")))?;
        // unshare() changes the calling thread only, so a helper thread makes the namespace.
        std::thread::spawn(move || {
            // SAFETY: no arguments with memory behind them.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            let fd = OwnedFd::from(File::open("/proc/thread-self/ns/net")?);
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"); // no stray IPv6 chatter
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            let tun = File::options().read(true).write(true).open("/dev/net/tun")?;
            let mut r = ifreq("wan0");
            r.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
            ioctl(tun.as_raw_fd(), libc::TUNSETIFF as libc::c_ulong, &mut r)?;
            // SAFETY: plain system calls on descriptors owned here.
            unsafe {
                let fl = check(libc::fcntl(tun.as_raw_fd(), libc::F_GETFL))?;
                check(libc::fcntl(tun.as_raw_fd(), libc::F_SETFL, fl | libc::O_NONBLOCK))?;
            }
            // SAFETY: the descriptor was made just now and nobody else has it.
            let s = unsafe {
                OwnedFd::from_raw_fd(check(libc::socket(
                    libc::AF_INET,
                    libc::SOCK_DGRAM | libc::SOCK_CLOEXEC,
                    0,
                ))?)
            };
            let s = s.as_raw_fd();
            let up = |name: &str| -> io::Result<()> {
                let mut r = ifreq(name);
                r.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
                ioctl(s, libc::SIOCSIFFLAGS as libc::c_ulong, &mut r)
            };
            let mut r = ifreq("wan0");
            r.ifr_ifru.ifru_addr = sockaddr(ip);
            ioctl(s, libc::SIOCSIFADDR as libc::c_ulong, &mut r)?;
            let mask = if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) };
            r.ifr_ifru.ifru_netmask = sockaddr(Ipv4Addr::from(mask));
            ioctl(s, libc::SIOCSIFNETMASK as libc::c_ulong, &mut r)?;
            r.ifr_ifru.ifru_mtu = mtu as i32;
            ioctl(s, libc::SIOCSIFMTU as libc::c_ulong, &mut r)?;
            // A long device queue: the only place where packets are dropped is the link model.
            r.ifr_ifru.ifru_metric = 20_000;
            ioctl(s, libc::SIOCSIFTXQLEN as libc::c_ulong, &mut r)?;
            up("lo")?;
            up("wan0")?;
            Ok(Ns { fd, tun })
        })
        .join()
        .map_err(|_| io::Error::other("set-up thread panicked"))?
    }

    /// Starts a command inside the namespace, in its own process group, that dies with wanlink.
    pub(crate) fn spawn(&self, argv: &[String], env: &[(&str, &str)]) -> io::Result<Child> {
        let fd = self.fd.as_raw_fd();
        let mut c = Command::new(&argv[0]);
        c.args(&argv[1..]).envs(env.iter().copied()).process_group(0);
        // SAFETY: only async-signal-safe calls between fork and exec.
        unsafe {
            c.pre_exec(move || {
                check(libc::setns(fd, libc::CLONE_NEWNET))?;
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                let mut none: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&mut none);
                libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
                Ok(())
            });
        }
        c.spawn()
    }
}

fn signals() -> libc::sigset_t {
    // SAFETY: sigset_t is initialised by sigemptyset.
    unsafe {
        let mut s: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut s);
        for n in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&mut s, n);
        }
        s
    }
}

/// Blocks the ending signals in this thread and those it starts; `wait_signal` takes them.
pub(crate) fn block_signals() {
    // SAFETY: valid set, no old mask wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &signals(), std::ptr::null_mut()) };
}

/// True when an ending signal came within the time (None: waits for one).
pub(crate) fn wait_signal(limit: Option<Duration>) -> bool {
    let s = signals();
    // SAFETY: valid set and timespec.
    unsafe {
        match limit {
            None => libc::sigwaitinfo(&s, std::ptr::null_mut()) > 0,
            Some(d) => {
                let t = libc::timespec { tv_sec: d.as_secs() as _, tv_nsec: d.subsec_nanos() as _ };
                libc::sigtimedwait(&s, std::ptr::null_mut(), &t) > 0
            }
        }
    }
}

/// Ends a child's process group: SIGTERM, then SIGKILL after two seconds.
pub(crate) fn end(c: &mut Child) {
    let pg = -(c.id() as i32);
    // SAFETY: signals to a process group that this program started.
    unsafe { libc::kill(pg, libc::SIGTERM) };
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        if matches!(c.try_wait(), Ok(Some(_))) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10)); // sleep-ok: a foreign process ends
    }
    // SAFETY: as above.
    unsafe { libc::kill(pg, libc::SIGKILL) };
    let _ = c.wait();
}

/// Whether a process's namespace has a socket bound to the port (TCP: listening).
pub(crate) fn port_open(pid: u32, proto: &str, port: u16) -> bool {
    ["", "6"].iter().any(|v| {
        let table =
            std::fs::read_to_string(format!("/proc/{pid}/net/{proto}{v}")).unwrap_or_default();
        table.lines().skip(1).any(|l| {
            let f: Vec<&str> = l.split_whitespace().collect();
            let here = f
                .get(1)
                .and_then(|a| a.rsplit_once(':'))
                .and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
            here == Some(port) && (proto == "udp" || f.get(3) == Some(&"0A"))
        })
    })
}
