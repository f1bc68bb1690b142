//! Whether a bucket works, as its last requests found it, told to the log once for each change.

use super::error::{BucketError, BucketFault};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

/// What the last requests say of a bucket.
#[derive(Default)]
pub(super) struct Health {
    // Requests run on several threads; held for the moment of a look.
    reason: Mutex<Option<BucketError>>,
}

impl Health {
    /// Why it cannot be used; `None` while it works, and before anything was asked.
    pub(super) fn reason(&self) -> Option<BucketError> {
        self.lock().clone()
    }

    /// A request was answered as it should be.
    pub(super) fn worked(&self, bucket: &str) {
        if self.lock().take().is_some() {
            info!(bucket, "the bucket works again");
        }
    }

    /// A request failed for good. Says nothing of the bucket when it was the request's own fault;
    /// an answer of that kind is a sign of life.
    pub(super) fn failed(&self, bucket: &str, error: &BucketError) {
        if !is_the_bucket(error.fault()) {
            return self.worked(bucket);
        }
        let before = self.lock().replace(error.clone());
        if before.is_none_or(|before| before.fault() != error.fault()) {
            warn!(bucket, %error, "the bucket is unhealthy");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BucketError>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the fault is of the bucket, not of one request.
fn is_the_bucket(fault: BucketFault) -> bool {
    match fault {
        BucketFault::Denied
        | BucketFault::Forbidden
        | BucketFault::NoBucket
        | BucketFault::Throttled
        | BucketFault::Unavailable
        | BucketFault::Full
        | BucketFault::Settings => true,
        BucketFault::Missing
        | BucketFault::Exists
        | BucketFault::NoUpload
        | BucketFault::Changed
        | BucketFault::Corrupt
        | BucketFault::TooLarge
        | BucketFault::NotSupported => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::BucketAction;
    use super::*;

    fn error(fault: BucketFault) -> BucketError {
        BucketError::new(fault, BucketAction::Put, "b", Some("k"))
    }

    #[test]
    fn a_fault_of_the_bucket_stays_until_an_answer_shows_that_it_works() {
        let health = Health::default();
        assert_eq!(health.reason(), None);
        health.failed("b", &error(BucketFault::Forbidden));
        assert_eq!(health.reason(), Some(error(BucketFault::Forbidden)));
        health.failed("b", &error(BucketFault::Missing));
        assert_eq!(health.reason(), None, "a store that says so works");
        health.failed("b", &error(BucketFault::Unavailable));
        health.worked("b");
        assert_eq!(health.reason(), None);
    }
}
