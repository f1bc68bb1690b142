//! One bucket of S3 or Google Cloud Storage, or one container of Azure Blob Storage.

use super::{BucketAction, BucketError, BucketFault};
use crate::config::{ObjectKind, ObjectSettings};
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One bucket. Cheap to clone; [`fmt::Debug`] shows kind and name only.
///
/// Keys are whole keys within the bucket, prefix included: segments of any UTF-8 but control
/// characters, joined by single slashes, none of them empty, `.` or `..`. They are stored exactly
/// as given; others are refused as [`BucketFault::NotSupported`] without asking the store.
///
/// Every operation is tried again within bounds when the store fails or throttles, and once more
/// when a static credential turns out to have changed (F14, F15); what is returned is final for
/// the moment.
#[derive(Clone)]
pub(in crate::plane) struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ObjectKind,
    name: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, name, .. } = &*self.inner;
        f.debug_struct("Bucket").field("kind", kind).field("name", name).finish()
    }
}

/// A store's name for an upload; opaque, and empty on Azure. Worth storing: any process that knows
/// it continues the upload.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UploadId(pub String);

/// A store's receipt for one piece of an upload, to be kept verbatim until the upload is
/// completed. Up to some hundred bytes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PieceId(pub String);

/// The tag of an object's content: another tag, another content.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::plane) struct ObjectTag(pub(in crate::plane) String);

/// What a store says of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::plane) struct ObjectStat {
    /// Length in bytes.
    pub(in crate::plane) length: u64,
    /// When it was stored, in nanoseconds since 1970; stores keep whole seconds or milliseconds.
    pub(in crate::plane) modified_ns: i64,
    /// The tag of its content; `None` where a store gives none.
    pub(in crate::plane) tag: Option<ObjectTag>,
}

/// What [`Bucket::put`] does where an object has the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::plane) enum PutHow {
    /// Fails as [`BucketFault::Exists`]; only as good as [`Capabilities::create_only`].
    Create,
    /// Replaces it.
    Replace,
}

/// What a kind of store takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::plane) struct BucketLimits {
    /// Smallest piece of an upload but the last, in bytes.
    pub(in crate::plane) piece_bytes_min: u64,
    /// Largest piece, in bytes.
    pub(in crate::plane) piece_bytes_max: u64,
    /// Most pieces of one upload.
    pub(in crate::plane) pieces_max: u32,
    /// Largest object that [`Bucket::copy`] copies, in bytes.
    pub(in crate::plane) copy_bytes_max: u64,
}

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
    /// The bucket `name` as `settings` describe it; nothing is sent.
    ///
    /// # Errors
    ///
    /// [`BucketFault::Settings`]; for the operator to correct.
    pub(in crate::plane) fn open(
        settings: &ObjectSettings,
        name: &str,
    ) -> Result<Self, BucketError> {
        let inner = Inner { kind: settings.kind, name: name.to_owned() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its name.
    pub(in crate::plane) fn name(&self) -> &str {
        &self.inner.name
    }

    /// What its kind of store takes.
    pub(in crate::plane) fn limits(&self) -> BucketLimits {
        match self.inner.kind {
            ObjectKind::S3 | ObjectKind::Gcs => BucketLimits {
                piece_bytes_min: 5 << 20,
                piece_bytes_max: 5 << 30,
                pieces_max: 10_000,
                copy_bytes_max: 5 << 30,
            },
            ObjectKind::Azure => BucketLimits {
                piece_bytes_min: 1,
                piece_bytes_max: 4_000 << 20,
                pieces_max: 50_000,
                copy_bytes_max: u64::MAX,
            },
        }
    }

    /// Begins an upload to `key`. Nothing of it is visible until it is completed.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(in crate::plane) async fn begin_upload(&self, key: &str) -> Result<UploadId, BucketError> {
        let _ = key;
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Begin))
    }

    /// Writes the piece `index` (from 0) of an upload. A piece that is written again replaces the
    /// earlier one, and its id; only the last id counts.
    ///
    /// # Errors
    ///
    /// The store's; [`BucketFault::NoUpload`] when the upload is gone. Azure never says so: there a
    /// piece after the completion is stored and expires.
    pub(in crate::plane) async fn put_piece(
        &self,
        key: &str,
        upload: &UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<PieceId, BucketError> {
        let _ = (key, upload, index, bytes);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::PutPiece))
    }

    /// Makes the object of `pieces`, which are in the order of their index from 0 without gaps,
    /// visible under `key`; replaces what is there. No pieces make an empty object.
    ///
    /// # Errors
    ///
    /// The store's. [`BucketFault::NoUpload`] when it does not know the upload or one of the
    /// pieces: the object says whether an earlier call completed it (F13). After
    /// [`BucketFault::Unavailable`] it may have been completed: ask again or look.
    pub(in crate::plane) async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        pieces: Vec<PieceId>,
    ) -> Result<(), BucketError> {
        let _ = (key, upload, pieces);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Complete))
    }

    /// Throws an upload away; one that is not there is no error. On Azure this does nothing: pieces
    /// that no completion names go with the next completion on their key, or after seven days.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(in crate::plane) async fn abort_upload(
        &self,
        key: &str,
        upload: &UploadId,
    ) -> Result<(), BucketError> {
        let _ = (key, upload);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Abort))
    }

    /// Writes a whole object in one request.
    ///
    /// # Errors
    ///
    /// The store's. [`BucketFault::Exists`] for [`PutHow::Create`] where the key is taken, and also
    /// where an attempt of this very call took it and the reply was lost (F12): look.
    pub(in crate::plane) async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        how: PutHow,
    ) -> Result<(), BucketError> {
        let _ = (key, bytes, how);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Put))
    }

    /// The bytes of `range`, all of them, or with `tag` of the content that has this tag.
    ///
    /// # Errors
    ///
    /// The store's. [`BucketFault::Changed`] when the object has another tag or ends before the
    /// range does.
    pub(in crate::plane) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
        tag: Option<&ObjectTag>,
    ) -> Result<Bytes, BucketError> {
        let _ = (key, range, tag);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Read))
    }

    /// Length, time and tag of an object.
    ///
    /// # Errors
    ///
    /// The store's; [`BucketFault::Missing`].
    pub(in crate::plane) async fn stat(&self, key: &str) -> Result<ObjectStat, BucketError> {
        let _ = key;
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Stat))
    }

    /// The first `limit` objects whose key begins with the characters `prefix` and comes after
    /// `after`, in the byte order of their keys. Fewer than `limit` mean that there are no more.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(in crate::plane) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, ObjectStat)>, BucketError> {
        let _ = (prefix, after, limit);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::List))
    }

    /// Removes objects for good, many in one request where the store can. Says for each key
    /// whether something was there; S3 does not tell, and there it is always `true`.
    ///
    /// # Errors
    ///
    /// Each key alone. After an error the object may or may not be gone; removing it again is safe.
    pub(in crate::plane) async fn remove(&self, keys: &[String]) -> Vec<Result<bool, BucketError>> {
        keys.iter()
            .map(|_| Err(BucketError::new(BucketFault::NotSupported, BucketAction::Remove)))
            .collect()
    }

    /// Copies an object within the bucket; its bytes do not pass through this process. Replaces
    /// what is at `to`.
    ///
    /// # Errors
    ///
    /// The store's. [`BucketFault::TooLarge`] above [`BucketLimits::copy_bytes_max`].
    pub(in crate::plane) async fn copy(&self, from: &str, to: &str) -> Result<(), BucketError> {
        self.copy_from(self, from, to).await
    }

    /// As [`Bucket::copy`], from the bucket `source`.
    ///
    /// # Errors
    ///
    /// As for [`Bucket::copy`]; [`BucketFault::NotSupported`] when `source` is not this bucket of
    /// the same service.
    pub(in crate::plane) async fn copy_from(
        &self,
        source: &Bucket,
        from: &str,
        to: &str,
    ) -> Result<(), BucketError> {
        let _ = (source, from, to);
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Copy))
    }

    /// Tries everything a plane needs with objects below `prefix` (ending in `/`, or empty), and
    /// removes them again. A probe that is cut off leaves objects and an upload below
    /// `prefix` + `.skyspray-probe-`.
    ///
    /// # Errors
    ///
    /// The first thing that does not work; [`BucketError::action`] names it.
    pub(in crate::plane) async fn probe(&self, prefix: &str) -> Result<Capabilities, BucketError> {
        let _ = prefix;
        Err(BucketError::new(BucketFault::NotSupported, BucketAction::Open))
    }
}
