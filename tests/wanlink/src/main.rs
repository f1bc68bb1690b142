//! wanlink: an emulated WAN link between two throw-away network namespaces.
//!
//! It makes two network namespaces ("near" and "far"), puts a TUN device in each, and carries IP
//! packets between them through a model of a real link: one bottleneck with a bounded queue, then a
//! propagation delay, with seeded random loss, burst loss, outages, jitter, duplication and
//! re-ordering. It then runs a command on each side. It needs root and /dev/net/tun, and no kernel
//! module (no netem), no iproute2 and no daemon.
//!
//! Both namespaces are anonymous: they are held by this process only, so they vanish with it, even
//! on SIGKILL. There is no route out of them: their only devices are `lo` and `wan0`.
//!
//! Order of the model, per packet and per direction:
//!   read from the sender's TUN -> outage? -> loss? -> bottleneck queue (tail drop) -> serialised at
//!   `rate` -> `delay` (+ jitter, + re-ordering) -> written to the receiver's TUN.

mod link;
mod netns;
mod opts;

use std::os::fd::AsRawFd;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let opts = match opts::parse(std::env::args().skip(1)) {
        Ok(Some(o)) => o,
        Ok(None) => return ExitCode::SUCCESS, // --help
        Err(e) => {
            eprintln!("wanlink: {e} (--help lists the options)");
            return ExitCode::from(2);
        }
    };
    match run(&opts) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("wanlink: {e}");
            ExitCode::from(3)
        }
    }
}

fn run(o: &opts::Opts) -> Result<u8, String> {
    netns::block_signals();
    let near =
        netns::Ns::new(&o.near_ip, o.prefix, o.mtu).map_err(|e| format!("near namespace: {e}"))?;
    let far =
        netns::Ns::new(&o.far_ip, o.prefix, o.mtu).map_err(|e| format!("far namespace: {e}"))?;
    let epoch = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let copy = |tun: &std::fs::File| tun.try_clone().map_err(|e| format!("TUN descriptor: {e}"));
    let wire = |name, from, to, model: &opts::Dir, seed| -> Result<link::Wire, String> {
        Ok(link::Wire { name, from: copy(from)?, to: copy(to)?, model: model.clone(), seed })
    };
    let up = wire("up", &near.tun, &far.tun, &o.up, o.seed)?;
    let down = wire("down", &far.tun, &near.tun, &o.down, o.seed ^ 0x9e37_79b9_7f4a_7c15)?;
    let up = link::spawn(up, epoch, stop.clone());
    let down = link::spawn(down, epoch, stop.clone());

    let result = session(o, &near, &far);

    stop.store(true, Ordering::SeqCst);
    let secs = epoch.elapsed().as_secs_f64();
    for h in [up, down] {
        let s = h.join().map_err(|_| "a link thread panicked".to_string())?;
        if !o.quiet {
            eprintln!("{}", s.line(secs, o.json));
        }
    }
    result
}

/// Starts the far command, waits for it to be ready, runs the near command (or holds the link open).
fn session(o: &opts::Opts, near: &netns::Ns, far: &netns::Ns) -> Result<u8, String> {
    let env = [("WANLINK_NEAR_IP", o.near_ip.as_str()), ("WANLINK_FAR_IP", o.far_ip.as_str())];
    let mut far_child = None;
    if let Some(cmd) = &o.far_cmd {
        let argv = ["sh".to_string(), "-c".into(), cmd.clone()];
        let mut c = far.spawn(&argv, &env).map_err(|e| format!("far command: {e}"))?;
        if let Some((proto, port)) = &o.far_ready {
            let end = Instant::now() + Duration::from_secs(15);
            while !netns::port_open(c.id(), proto, *port) {
                if let Ok(Some(st)) = c.try_wait() {
                    return Err(format!("far command ended before {proto}:{port} was open: {st}"));
                }
                if Instant::now() > end {
                    netns::end(&mut c);
                    return Err(format!("far command did not open {proto}:{port} within 15 s"));
                }
                std::thread::sleep(Duration::from_millis(20)); // sleep-ok: a foreign process opens the port
            }
        }
        far_child = Some(c);
    }
    let code = if o.near_cmd.is_empty() {
        let pid = std::process::id();
        println!(
            "near: nsenter --net=/proc/{pid}/fd/{} CMD    # {}",
            near.fd.as_raw_fd(),
            o.near_ip
        );
        println!("far:  nsenter --net=/proc/{pid}/fd/{} CMD    # {}", far.fd.as_raw_fd(), o.far_ip);
        println!("link is up; SIGINT or SIGTERM takes it down");
        netns::wait_signal(None);
        Ok(0)
    } else {
        near.spawn(&o.near_cmd, &env)
            .map_err(|e| format!("near command: {e}"))
            .map(|mut c| wait_child(&mut c))
    };
    if let Some(mut c) = far_child {
        netns::end(&mut c);
    }
    code
}

/// Waits for the child; a SIGINT/SIGTERM/SIGHUP to wanlink ends the child first.
fn wait_child(c: &mut Child) -> u8 {
    loop {
        match c.try_wait() {
            Ok(Some(st)) => {
                use std::os::unix::process::ExitStatusExt;
                return st.code().unwrap_or_else(|| 128 + st.signal().unwrap_or(0)) as u8;
            }
            Ok(None) => {
                if netns::wait_signal(Some(Duration::from_millis(20))) {
                    netns::end(c);
                    return 130;
                }
            }
            Err(_) => return 3,
        }
    }
}
