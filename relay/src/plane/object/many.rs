//! Many objects of a bucket at once: listing and removing.

use super::bucket::{Ask, Bucket, ObjectStat};
use super::classify::classify_entry;
use super::error::{BucketAction, BucketError, BucketFault};
use crate::config::ObjectKind;
use futures_util::{StreamExt as _, stream};
use object_store::list::{PaginatedListOptions, PaginatedListResult};
use object_store::path::Path;

impl Bucket {
    /// The first `limit` objects whose key begins with the characters `prefix` and comes after
    /// `after`, in the byte order of their keys. Fewer than `limit` mean that there are no more.
    ///
    /// A key of others that no plane can have, such as one with two slashes in a row, fails the
    /// whole list as [`BucketFault::NotSupported`]; a slash at the end of a key is not shown.
    ///
    /// # Errors
    ///
    /// The store's. [`BucketFault::Corrupt`] when it lists in another order.
    pub(in crate::plane) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, ObjectStat)>, BucketError> {
        let ask = Ask::of(BucketAction::List, prefix);
        let mut listed = self.exact(prefix, after).await?;
        let mut token = None;
        loop {
            let page = self.page(ask, after, token.as_deref(), limit).await?;
            for found in page.result.objects {
                let key = found.location.as_ref();
                if !key.starts_with(prefix) || after.is_some_and(|after| key <= after) {
                    continue;
                }
                if listed.last().is_some_and(|(last, _)| key <= last.as_str()) {
                    return Err(self.error(ask, BucketFault::Corrupt));
                }
                listed.push((key.to_owned(), ObjectStat::of(&found)));
                if listed.len() >= limit {
                    return Ok(listed);
                }
            }
            let next = page.page_token;
            if next.is_none() {
                return Ok(listed);
            }
            if next == token {
                return Err(self.error(ask, BucketFault::Corrupt));
            }
            token = next;
        }
    }

    async fn page(
        &self,
        ask: Ask<'_>,
        after: Option<&str>,
        token: Option<&str>,
        limit: usize,
    ) -> Result<PaginatedListResult, BucketError> {
        let page = || {
            let options = PaginatedListOptions {
                offset: if token.is_none() { after.map(str::to_owned) } else { None },
                max_keys: Some(limit.clamp(1, PAGE_KEYS_MAX)),
                page_token: token.map(str::to_owned),
                ..PaginatedListOptions::default()
            };
            let prefix = ask.key.filter(|prefix| !prefix.is_empty());
            self.inner.store.pages().list_paginated(prefix, options)
        };
        self.run(ask, page).await
    }

    /// For Azure the client crate leaves out the object whose key is the prefix itself.
    async fn exact(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<(String, ObjectStat)>, BucketError> {
        let wanted = self.inner.kind == ObjectKind::Azure
            && !prefix.is_empty()
            && !prefix.ends_with('/')
            && after.is_none_or(|after| after < prefix);
        if !wanted {
            return Ok(Vec::new());
        }
        match self.stat(prefix).await {
            Ok(found) => Ok(vec![(prefix.to_owned(), found)]),
            Err(error) if error.fault() == BucketFault::Missing => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Removes objects for good, many in one request where the store can. Says for each key
    /// whether something was there; S3 does not tell, and there it is always `true`.
    ///
    /// # Errors
    ///
    /// Each key alone. After an error the object may or may not be gone; removing it again is safe.
    pub(in crate::plane) async fn remove(&self, keys: &[String]) -> Vec<Result<bool, BucketError>> {
        let (at_once, batches) = match self.inner.kind {
            ObjectKind::S3 => (1_000, 4),
            ObjectKind::Azure => (256, 4),
            ObjectKind::Gcs => (1, 16),
        };
        let removed: Vec<_> =
            stream::iter(keys.chunks(at_once).map(<[String]>::to_vec).collect::<Vec<_>>())
                .map(|batch| self.remove_batch(batch))
                .buffered(batches)
                .collect()
                .await;
        removed.into_iter().flatten().collect()
    }

    async fn remove_batch(&self, keys: Vec<String>) -> Vec<Result<bool, BucketError>> {
        let paths: Vec<Path> =
            match keys.iter().map(|key| self.path(Ask::of(BucketAction::Remove, key))).collect() {
                Ok(paths) => paths,
                Err(error) => {
                    return keys.iter().map(|_| Err(BucketError::clone(&error))).collect();
                }
            };
        let remove = || async {
            let paths = paths.clone();
            let asked = stream::iter(paths.into_iter().map(Ok)).boxed();
            let mut outcomes: Vec<_> =
                self.inner.store.objects().delete_stream(asked).collect().await;
            // A batch that failed as a whole is one outcome.
            match outcomes.pop() {
                Some(Err(error)) if outcomes.is_empty() => Err(error),
                last => {
                    outcomes.extend(last);
                    Ok(outcomes)
                }
            }
        };
        let ask = Ask::of(BucketAction::Remove, keys.first().map_or("", String::as_str));
        let outcomes = match self.run(ask, remove).await {
            Ok(outcomes) if outcomes.len() == keys.len() => outcomes,
            Ok(_) => {
                let error = self.error(ask, BucketFault::Corrupt);
                return keys.iter().map(|_| Err(error.clone())).collect();
            }
            Err(error) if keys.len() == 1 && error.fault() == BucketFault::Missing => {
                return vec![Ok(false)];
            }
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let said = |(key, outcome): (&String, object_store::Result<Path>)| match outcome {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => {
                let (fault, detail) = classify_entry(&error);
                Err(self.error(Ask::of(BucketAction::Remove, key), fault).with(detail))
            }
        };
        keys.iter().zip(outcomes).map(said).collect()
    }
}

/// Most keys of one page; all three stores give as many.
const PAGE_KEYS_MAX: usize = 1_000;
