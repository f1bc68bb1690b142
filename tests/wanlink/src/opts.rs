//! Command line: small, hand-written, no dependency.

use std::time::Duration;

pub(crate) const HELP: &str = "\
wanlink - an emulated WAN link between two throw-away network namespaces (root, /dev/net/tun)

usage:
  wanlink [OPTIONS] [--far 'SHELL CMD'] -- CMD [ARG ...]   run CMD on the near side, then take all down
  wanlink [OPTIONS] [--far 'SHELL CMD']                    hold the link until SIGINT/SIGTERM; prints
                                                           the nsenter commands that enter each side
link (both directions; prefix a name with up- [near->far] or down- for one direction, e.g. --up-loss 1%):
  --rate RATE       bottleneck: 200mbit, 1gbit, 500kbit, 0 = unlimited     (default 0)
  --delay DUR       one-way propagation delay: 40ms, 250us                 (default 0; RTT = 2 x delay)
  --queue SIZE      bottleneck buffer: 2MB, 512KiB, or a time at RATE: 50ms (default: rate x 2 x delay,
                    one bandwidth-delay product, at least 64 KiB)
  --loss P          independent random loss: 0.1% or 0.001                  (default 0)
  --burst-loss P:N  Gilbert bursts: a burst starts with probability P a packet, mean length N packets
  --outage AT:FOR   drop everything from AT to AT+FOR after start; may be given several times: 5s:800ms
  --outage-every PERIOD:FOR   drop everything for FOR at the end of each PERIOD
  --hole AT:BYTES   from AT on, drop packets longer than BYTES without a word: 5s:1280; AT may be what the
                    direction has carried by then: 8MiB:1280
  --jitter DUR      extra delay, uniform 0..DUR, order kept
  --reorder P:DUR   with probability P a packet is late by DUR (so later ones overtake it)
  --dup P           with probability P a packet arrives twice
set-up:
  --seed N          seed of every random choice (default 1)
  --mtu N           MTU of both devices (default 1500)
  --near-ip A --far-ip B --prefix N   addresses inside the namespaces (default 10.77.0.1, 10.77.0.2, 24)
  --tick DUR        how often packets are moved; the timing error (default 200us)
  --far 'CMD'       command for sh -c on the far side; ended when the near command ends
  --far-ready tcp:PORT|udp:PORT   wait (15 s at most) until the far side listens there
  --quiet           no closing statistics on stderr     --json   print them as JSON lines
Both commands get WANLINK_NEAR_IP and WANLINK_FAR_IP. Exit status: the near command's; 2 bad usage; 3 set-up failed.
example:
  wanlink --rate 200mbit --delay 40ms --loss 0.1% --seed 7 --far 'iperf3 -s' --far-ready tcp:5201 -- \\
      iperf3 -c 10.77.0.2 -t 10
";

#[derive(Clone, Debug, Default)]
pub(crate) struct Dir {
    pub(crate) rate: f64, // bytes per second; 0 = unlimited
    pub(crate) delay: Duration,
    pub(crate) queue: Queue,
    pub(crate) loss: f64,
    pub(crate) burst: Option<(f64, f64)>,
    pub(crate) outages: Vec<(Duration, Duration)>,
    pub(crate) outage_every: Option<(Duration, Duration)>,
    pub(crate) hole: Option<(Opening, usize)>,
    pub(crate) jitter: Duration,
    pub(crate) reorder: Option<(f64, Duration)>,
    pub(crate) dup: f64,
    pub(crate) tick: Duration,
    pub(crate) mtu: usize,
}

/// When a hole opens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Opening {
    /// This long after the start.
    At(Duration),
    /// Once this many bytes have passed.
    Carried(u64),
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Queue {
    #[default]
    Bdp,
    Bytes(u64),
    Time(Duration),
}

impl Dir {
    pub(crate) fn queue_bytes(&self) -> u64 {
        match self.queue {
            Queue::Bytes(b) => b,
            Queue::Time(d) => (self.rate * d.as_secs_f64()) as u64,
            Queue::Bdp => ((self.rate * 2.0 * self.delay.as_secs_f64()) as u64).max(64 << 10),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Opts {
    pub(crate) up: Dir,
    pub(crate) down: Dir,
    pub(crate) seed: u64,
    pub(crate) mtu: u16,
    pub(crate) near_ip: String,
    pub(crate) far_ip: String,
    pub(crate) prefix: u8,
    pub(crate) far_cmd: Option<String>,
    pub(crate) far_ready: Option<(String, u16)>,
    pub(crate) near_cmd: Vec<String>,
    pub(crate) quiet: bool,
    pub(crate) json: bool,
}

fn split_unit(s: &str) -> Result<(f64, String), String> {
    let cut = s.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(s.len());
    let n = s[..cut].parse::<f64>().map_err(|_| format!("not a number: '{s}'"))?;
    Ok((n, s[cut..].to_ascii_lowercase()))
}

pub(crate) fn rate(s: &str) -> Result<f64, String> {
    let (n, u) = split_unit(s)?;
    let bits = match u.as_str() {
        "" | "bit" => n,
        "kbit" | "kbps" => n * 1e3,
        "mbit" | "mbps" => n * 1e6,
        "gbit" | "gbps" => n * 1e9,
        _ => return Err(format!("bad rate '{s}' (kbit, mbit or gbit)")),
    };
    Ok(bits / 8.0)
}

pub(crate) fn dur(s: &str) -> Result<Duration, String> {
    let (n, u) = split_unit(s)?;
    Ok(Duration::from_secs_f64(match u.as_str() {
        "s" => n,
        "ms" => n / 1e3,
        "us" => n / 1e6,
        "" if n == 0.0 => 0.0,
        _ => return Err(format!("bad duration '{s}' (s, ms or us)")),
    }))
}

pub(crate) fn queue(s: &str) -> Result<Queue, String> {
    let (n, u) = split_unit(s)?;
    Ok(match u.as_str() {
        "" | "b" => Queue::Bytes(n as u64),
        "kb" => Queue::Bytes((n * 1e3) as u64),
        "mb" => Queue::Bytes((n * 1e6) as u64),
        "kib" => Queue::Bytes((n * 1024.0) as u64),
        "mib" => Queue::Bytes((n * 1048576.0) as u64),
        _ => Queue::Time(dur(s)?),
    })
}

fn opening(s: &str) -> Result<Opening, String> {
    Ok(match queue(s)? {
        Queue::Bytes(bytes) if s.ends_with(['b', 'B']) => Opening::Carried(bytes),
        _ => Opening::At(dur(s)?),
    })
}

pub(crate) fn prob(s: &str) -> Result<f64, String> {
    let (n, div) = match s.strip_suffix('%') {
        Some(p) => (p.parse::<f64>(), 100.0),
        None => (s.parse::<f64>(), 1.0),
    };
    match n {
        Ok(x) if (0.0..=1.0).contains(&(x / div)) => Ok(x / div),
        _ => Err(format!("bad probability '{s}' (0..1 or 0%..100%)")),
    }
}

fn pair(s: &str) -> Result<(&str, &str), String> {
    s.split_once(':').ok_or(format!("'{s}' needs the form A:B"))
}

fn dir_opt(d: &mut Dir, name: &str, v: &str) -> Result<bool, String> {
    match name {
        "rate" => d.rate = rate(v)?,
        "delay" => d.delay = dur(v)?,
        "queue" => d.queue = queue(v)?,
        "loss" => d.loss = prob(v)?,
        "burst-loss" => {
            let (p, n) = pair(v)?;
            let n = n
                .parse::<f64>()
                .ok()
                .filter(|n| *n >= 1.0)
                .ok_or("--burst-loss: the mean length is at least 1")?;
            d.burst = Some((prob(p)?, n));
        }
        "outage" => d.outages.push((dur(pair(v)?.0)?, dur(pair(v)?.1)?)),
        "outage-every" => d.outage_every = Some((dur(pair(v)?.0)?, dur(pair(v)?.1)?)),
        "hole" => {
            let (at, most) = pair(v)?;
            let most = most.parse().map_err(|_| "--hole: AT:BYTES, such as 5s:1280")?;
            d.hole = Some((opening(at)?, most));
        }
        "jitter" => d.jitter = dur(v)?,
        "reorder" => d.reorder = Some((prob(pair(v)?.0)?, dur(pair(v)?.1)?)),
        "dup" => d.dup = prob(v)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// `Ok(None)`: help was printed.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Option<Opts>, String> {
    let base = Dir { tick: Duration::from_micros(200), ..Dir::default() };
    let mut o = Opts {
        up: base.clone(),
        down: base,
        seed: 1,
        mtu: 1500,
        near_ip: "10.77.0.1".into(),
        far_ip: "10.77.0.2".into(),
        prefix: 24,
        far_cmd: None,
        far_ready: None,
        near_cmd: vec![],
        quiet: false,
        json: false,
    };
    let mut it = args;
    while let Some(a) = it.next() {
        if a == "--" {
            o.near_cmd = it.collect();
            if o.near_cmd.is_empty() {
                return Err("no command after --".into());
            }
            break;
        }
        match a.as_str() {
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(None);
            }
            "--quiet" => {
                o.quiet = true;
                continue;
            }
            "--json" => {
                o.json = true;
                continue;
            }
            _ => {}
        }
        let name = a.strip_prefix("--").ok_or(format!("unexpected '{a}'"))?;
        let v = it.next().ok_or(format!("--{name} needs a value"))?;
        set(&mut o, name, v)?;
    }
    for d in [&mut o.up, &mut o.down] {
        d.mtu = o.mtu as usize;
        if matches!(d.queue, Queue::Time(_)) && d.rate == 0.0 {
            return Err("--queue as a time needs --rate".into());
        }
    }
    Ok(Some(o))
}

/// Takes over one option with a value.
fn set(o: &mut Opts, name: &str, v: String) -> Result<(), String> {
    let num =
        |v: &str| v.parse::<u64>().map_err(|_| format!("--{name}: not a whole number: '{v}'"));
    match name {
        "seed" => o.seed = num(&v)?,
        "mtu" => {
            o.mtu = num(&v)?.try_into().ok().filter(|m| *m >= 576).ok_or("--mtu: 576..65535")?
        }
        "near-ip" => o.near_ip = v,
        "far-ip" => o.far_ip = v,
        "prefix" => {
            o.prefix = num(&v)?.try_into().ok().filter(|p| *p <= 30).ok_or("--prefix: 0..30")?
        }
        "tick" => {
            o.up.tick = dur(&v)?;
            o.down.tick = o.up.tick;
        }
        "far" => o.far_cmd = Some(v),
        "far-ready" => {
            let (p, n) = pair(&v)?;
            if p != "tcp" && p != "udp" {
                return Err("--far-ready: tcp:PORT or udp:PORT".into());
            }
            o.far_ready = Some((p.into(), n.parse().map_err(|_| "--far-ready: bad port")?));
        }
        n => {
            let known = if let Some(n) = n.strip_prefix("up-") {
                dir_opt(&mut o.up, n, &v)?
            } else if let Some(n) = n.strip_prefix("down-") {
                dir_opt(&mut o.down, n, &v)?
            } else {
                dir_opt(&mut o.up, n, &v)? && dir_opt(&mut o.down, n, &v)?
            };
            if !known {
                return Err(format!("unknown option --{n}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Option<Opts>, String> {
        parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn a_hole_opens_at_a_time_or_after_bytes() {
        let opts = parsed(&["--up-hole", "8MiB:1280", "--down-hole", "5s:1400"]);
        let opts = opts.expect("these are options").expect("this is no call for help");
        assert_eq!(opts.up.hole, Some((Opening::Carried(8 << 20), 1280)));
        assert_eq!(opts.down.hole, Some((Opening::At(Duration::from_secs(5)), 1400)));

        let opts = parsed(&["--hole", "0:600"]).expect("these are options").expect("no help");
        assert_eq!(opts.up.hole, Some((Opening::At(Duration::ZERO), 600)));
        assert_eq!(opts.down.hole, opts.up.hole);
    }

    #[test]
    fn a_hole_without_a_unit_or_a_length_is_refused() {
        let bad = parsed(&["--hole", "5:1280"]).expect_err("5 has no unit");
        assert_eq!(bad, "bad duration '5' (s, ms or us)");
        let bad = parsed(&["--hole", "5s:big"]).expect_err("a length is a number");
        assert_eq!(bad, "--hole: AT:BYTES, such as 5s:1280");
    }
}
