//! One line of the audit for every reader of content, not for every range it reads.

use super::error::ApiError;
use super::tokens::TokenName;
use crate::catalogue::{Actor, AuditEntry, AuditEvent};
use crate::state::Relay;
use skyspray_wire::name::PlaneName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long reads of one thing by one token are one line.
const SPAN_MS: i64 = 10 * 60 * 1000;

/// Things remembered at most; then all are forgotten, and told again.
const REMEMBERED_MAX: usize = 4096;

/// Which reads the audit has.
#[derive(Debug, Default)]
pub(super) struct Audited(
    // Shared by all requests, which come one by one.
    Mutex<HashMap<Key, i64>>,
);

/// Token, plane, and name or path with what is current of it.
type Key = (TokenName, PlaneName, String, String);

impl Audited {
    /// Records that the content of `target`, in the state `tag`, goes to the holder of `token`.
    ///
    /// # Errors
    ///
    /// The audit cannot be written; then nothing may be sent.
    pub(super) async fn read(
        &self,
        relay: &Relay,
        token: &TokenName,
        (plane, target, tag): (&PlaneName, &str, &str),
    ) -> Result<(), ApiError> {
        let now_ms = relay.now_ms();
        let key = (token.clone(), plane.clone(), target.to_owned(), tag.to_owned());
        if self.is_known(&key, now_ms) {
            return Ok(());
        }
        let detail = serde_json::json!({ "api_token": token.as_str(), "tag": tag });
        let mut entry =
            AuditEntry::new(Actor::Relay, AuditEvent::Read).target(target).detail(detail);
        entry.plane = Some(plane);
        relay.catalogue.record(&entry, now_ms).await?;
        self.remember(key, now_ms);
        Ok(())
    }

    fn is_known(&self, key: &Key, now_ms: i64) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).is_some_and(|&at| (at..at + SPAN_MS).contains(&now_ms))
    }

    fn remember(&self, key: Key, now_ms: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(key, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_told_again_after_a_while_and_when_too_many_are_remembered() {
        let audited = Audited::default();
        let key = |target: &str| {
            let plane = PlaneName::parse("data").unwrap();
            ("thor".parse().unwrap(), plane, target.to_owned(), "\"1\"".to_owned())
        };

        assert!(!audited.is_known(&key("a"), 0));
        audited.remember(key("a"), 0);
        assert!(audited.is_known(&key("a"), SPAN_MS - 1));
        assert!(!audited.is_known(&key("a"), SPAN_MS));
        assert!(!audited.is_known(&key("b"), 0));
        for index in 0..REMEMBERED_MAX {
            audited.remember(key(&format!("n{index}")), 0);
        }
        assert!(!audited.is_known(&key("a"), 1));
    }
}
