//! A trial of everything a plane needs of a bucket.

use super::bucket::{Bucket, PutHow};
use super::error::{BucketAction, BucketError, BucketFault};
use bytes::Bytes;

/// What a probe found that a bucket can do. All else that a plane needs was tried and works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::plane) struct Capabilities {
    /// Whether a create-only put is refused where an object stands. Where it is not, two writers
    /// of one key are kept apart by the catalogue alone.
    pub(in crate::plane) create_only: bool,
    /// Whether it copies within the bucket.
    pub(in crate::plane) copy: bool,
}

impl Bucket {
    /// Tries everything a plane needs with objects whose keys begin with `prefix`, and removes them
    /// again; nothing is written where that is not allowed. Nobody else may use `prefix`; a probe that
    /// is cut off leaves objects and an upload there, and the next with this prefix removes the objects.
    ///
    /// # Errors
    ///
    /// The first thing that does not work.
    pub(in crate::plane) async fn probe(&self, prefix: &str) -> Result<Capabilities, BucketError> {
        let keys = ["created", "uploaded", "copied"].map(|name| format!("{prefix}{name}"));
        for removed in self.remove(&keys).await {
            removed?;
        }
        let tried = self.try_keys(prefix, &keys).await;
        let removed = self.remove(&keys).await;
        // The first failure is the one to report.
        let found = tried?;
        removed.into_iter().collect::<Result<Vec<_>, _>>()?;
        let left = self.list(prefix, None, 1).await?;
        if left.is_empty() { Ok(found) } else { Err(self.contradiction(BucketAction::Remove)) }
    }

    async fn try_keys(
        &self,
        prefix: &str,
        [created, uploaded, copied]: &[String; 3],
    ) -> Result<Capabilities, BucketError> {
        self.put(created, Bytes::from_static(FIRST), PutHow::Create).await?;
        let again = self.put(created, Bytes::from_static(SECOND), PutHow::Create).await;
        let create_only = match again {
            Ok(()) => false,
            Err(error) if error.fault() == BucketFault::Exists => true,
            Err(error) if error.fault() == BucketFault::NotSupported => false,
            Err(error) => return Err(error),
        };
        self.try_upload(uploaded).await?;
        let found = self.stat(uploaded).await?;
        if found.length != FIRST.len() as u64 {
            return Err(self.contradiction(BucketAction::Stat));
        }
        let read = self.read(uploaded, 2..7, found.tag.as_ref()).await?;
        if read != FIRST[2..7] {
            return Err(self.contradiction(BucketAction::Read));
        }
        let listed = self.list(prefix, Some(created), 9).await?;
        if listed.iter().map(|(key, _)| key).ne([uploaded]) {
            return Err(self.contradiction(BucketAction::List));
        }
        let copy = match self.copy(uploaded, copied).await {
            Ok(()) => true,
            Err(error) if error.fault() == BucketFault::NotSupported => false,
            Err(error) => return Err(error),
        };
        Ok(Capabilities { create_only, copy })
    }

    /// One upload is completed, one is aborted.
    async fn try_upload(&self, key: &str) -> Result<(), BucketError> {
        let upload = self.begin_upload(key).await?;
        let completed = async {
            let piece = self.put_piece(key, &upload, 0, Bytes::from_static(FIRST)).await?;
            self.complete_upload(key, &upload, vec![piece]).await
        };
        if let Err(error) = completed.await {
            // The first failure is the one to report.
            let _ = self.abort_upload(key, &upload).await;
            return Err(error);
        }
        let upload = self.begin_upload(key).await?;
        let put = self.put_piece(key, &upload, 0, Bytes::from_static(SECOND)).await;
        self.abort_upload(key, &upload).await?;
        put.map(drop)
    }

    fn contradiction(&self, action: BucketAction) -> BucketError {
        BucketError::new(BucketFault::Corrupt, action, self.name(), None)
    }
}

/// What is written first, and what must not replace it.
const FIRST: &[u8] = b"skyspray plane probe";
const SECOND: &[u8] = b"skyspray plane probe, a second time";
