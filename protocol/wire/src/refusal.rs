//! Why a peer said no: a number for programs, words for people.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the side that was refused should do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remedy {
    /// The same request may succeed later.
    Retry,
    /// A person must change the input, the configuration or a permission.
    Correct,
    /// A bug or corrupted data; keep the logs.
    Report,
}

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $remedy:ident, $words:literal; )*) => {
        /// Why a request was refused, as the number that travels.
        ///
        /// The numbers never change meaning; the words may. Numbers are grouped by hundreds:
        /// 1xx session and identity, 2xx policy and names, 3xx plane and resources, 4xx job state,
        /// 5xx content, 9xx the refusing side itself.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
        #[serde(from = "u16", into = "u16")]
        #[non_exhaustive]
        pub enum RefusalCode {
            $( $(#[$doc])* $name, )*
            /// A code of a newer peer. Treated as final.
            Unknown(u16),
        }

        impl From<u16> for RefusalCode {
            fn from(number: u16) -> Self {
                match number { $( $number => Self::$name, )* other => Self::Unknown(other) }
            }
        }

        impl From<RefusalCode> for u16 {
            fn from(code: RefusalCode) -> Self {
                match code { $( RefusalCode::$name => $number, )* RefusalCode::Unknown(number) => number }
            }
        }

        impl RefusalCode {
            /// Every code this version knows, in ascending order.
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// What the refused side should do about it.
            pub fn remedy(self) -> Remedy {
                match self { $( Self::$name => Remedy::$remedy, )* Self::Unknown(_) => Remedy::Report }
            }
        }

        impl fmt::Display for RefusalCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Self::$name => f.write_str($words), )*
                    Self::Unknown(number) => write!(f, "refused with code {number}, which this version does not know"),
                }
            }
        }
    };
}

codes! {
    /// No common protocol version.
    VersionUnsupported = 101, Correct, "no common protocol version";
    /// A stream came before `Hello`, or `Hello` twice.
    NotGreeted = 102, Report, "the session was not greeted first";
    /// The agent is not known, or revoked.
    AgentRevoked = 103, Correct, "this agent is not enrolled here or was revoked";
    /// The agent has as many sessions as it may.
    SessionsExceeded = 104, Retry, "this agent has too many sessions";
    /// The relay is stopping; another session finds another replica.
    Draining = 105, Retry, "the relay is going away; reconnect";
    /// The certificate expired during the session.
    IdentityExpired = 106, Retry, "the certificate expired";
    /// An enrollment token is unknown, used, expired or for another agent.
    TokenRejected = 107, Correct, "the enrollment token is unknown, expired or already used";
    /// A proof of possession of a key does not verify.
    ProofRejected = 108, Correct, "the proof of possession of a key does not verify";
    /// Renewal with a generation that is not the current one: the identity may have been copied.
    AgentCloned = 109, Correct, "the identity was renewed elsewhere; the agent is locked until it is enrolled again";
    /// The policy does not allow this operation here.
    Forbidden = 201, Correct, "the policy does not allow this";
    /// No plane has this name.
    PlaneUnknown = 202, Correct, "there is no such plane";
    /// A name in the request breaks the rules for names.
    NameInvalid = 203, Correct, "a name breaks the rules for names";
    /// The logical file or path exists and overwriting was not asked for.
    Exists = 204, Correct, "it exists already; ask to overwrite it";
    /// The logical file or path does not exist.
    Missing = 205, Correct, "it does not exist";
    /// Another job holds the lease on this target.
    TargetLeased = 206, Retry, "another job is writing it";
    /// Something on the plane stands where a directory or file must go.
    PathBlocked = 207, Correct, "something else stands at that path on the plane";
    /// The plane has no room.
    PlaneFull = 301, Retry, "the plane is full";
    /// The plane cannot be used now.
    PlaneUnavailable = 302, Retry, "the plane cannot be used at the moment";
    /// A limit of this relay.
    LimitExceeded = 303, Correct, "a limit of the relay is exceeded";
    /// The relay has no memory or slot to spare now.
    Busy = 304, Retry, "the relay is busy";
    /// The storage refuses the relay itself what the job needs of a plane.
    PlaneDenied = 305, Correct, "the relay has no right to use the plane; its operator must see to it";
    /// The job is unknown here.
    JobUnknown = 401, Correct, "the job is unknown";
    /// The job belongs to a newer epoch.
    EpochStale = 402, Retry, "another session took over the job";
    /// The job was aborted.
    JobAborted = 403, Correct, "the job was aborted";
    /// A seal or commit came before every chunk was durable.
    Incomplete = 404, Retry, "parts of the job are missing";
    /// The same job id was opened with another target or plan.
    JobDiffers = 405, Correct, "the job was opened before with another target";
    /// A chunk's bytes do not have the digest its header states.
    ChunkCorrupt = 501, Retry, "a chunk arrived damaged";
    /// A part's digest is not what the sender stated.
    DigestMismatch = 502, Report, "a digest does not match";
    /// A frame, header or field breaks the protocol.
    Malformed = 503, Report, "the message breaks the protocol";
    /// The source changed since the job was opened.
    SourceChanged = 504, Correct, "the source changed while it was read";
    /// The stored bytes are not what was committed.
    StoredCorrupt = 505, Report, "the stored bytes are not what was committed";
    /// A failure of the refusing side that is not the other's fault.
    Internal = 901, Retry, "the other side failed";
}

/// A typed, coded *no* from a peer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// What exactly, for people: a name, a number, a limit. At most
    /// [`crate::limits::DETAIL_BYTES_MAX`] bytes; never a path or secret of the refusing side.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its detail cut to the limit at a character border.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > crate::limits::DETAIL_BYTES_MAX {
            let mut end = crate::limits::DETAIL_BYTES_MAX;
            while !detail.is_char_boundary(end) {
                end -= 1;
            }
            detail.truncate(end);
        }
        Self { code, detail }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.detail.is_empty() {
            // Peer text: one line, no control characters.
            f.write_str(": ")?;
            for character in self.detail.chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_come_back() {
        let numbers: Vec<u16> = RefusalCode::ALL.iter().map(|&code| code.into()).collect();

        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        for &number in &numbers {
            assert_eq!(u16::from(RefusalCode::from(number)), number);
        }
        assert_eq!(RefusalCode::from(7777), RefusalCode::Unknown(7777));
    }

    #[test]
    fn peer_text_cannot_break_the_line() {
        let refusal = Refusal::new(RefusalCode::Exists, "a\n\u{1b}[31mb");

        assert_eq!(refusal.to_string(), "it exists already; ask to overwrite it: a\\n\\u{1b}[31mb");
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let refusal = Refusal::new(RefusalCode::Exists, "ä".repeat(1000));

        assert_eq!(refusal.detail.len(), crate::limits::DETAIL_BYTES_MAX);
    }
}
