//! What the kernel of this host lets a socket have.

use super::report::{Finding, Report};

/// Kernel buffer each side of a socket asks for, in bytes. Smaller ones drop packets in bursts.
const BUFFER_BYTES_WANTED: u64 = 4 << 20;

/// The limits, by direction.
const LIMITS: [(&str, &str, &str); 2] = [
    ("socket-receive-buffer", "/proc/sys/net/core/rmem_max", "net.core.rmem_max"),
    ("socket-send-buffer", "/proc/sys/net/core/wmem_max", "net.core.wmem_max"),
];

/// Compares the kernel's limits with what a session asks for.
pub(super) fn check_buffers(report: &mut Report<'_>) {
    for (check, file, key) in LIMITS {
        let limit = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        report.add(judge((check, key), limit));
    }
}

fn judge((check, key): (&str, &str), limit: Option<u64>) -> Finding {
    match limit {
        Some(bytes) if bytes >= BUFFER_BYTES_WANTED => {
            Finding::ok(check, format!("up to {bytes} bytes"))
        }
        Some(bytes) => {
            let text = format!("at most {bytes} bytes, fast paths need {BUFFER_BYTES_WANTED}");
            let advice = format!("sysctl -w {key}={BUFFER_BYTES_WANTED}");
            Finding::warn(check, text, Some(advice))
        }
        None => Finding::warn(check, format!("{key} cannot be read"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_is_a_warning_with_the_command_to_raise_it() {
        let judged = |limit| judge(("b", "net.core.rmem_max"), limit);

        assert_eq!(judged(Some(4 << 20)), Finding::ok("b", "up to 4194304 bytes".into()));
        let advice = "sysctl -w net.core.rmem_max=4194304".to_owned();
        let text = "at most 212992 bytes, fast paths need 4194304".to_owned();
        assert_eq!(judged(Some(212_992)), Finding::warn("b", text, Some(advice)));
        let text = "net.core.rmem_max cannot be read".to_owned();
        assert_eq!(judged(None), Finding::warn("b", text, None));
    }
}
