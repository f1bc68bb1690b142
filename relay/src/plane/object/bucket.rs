//! One bucket of S3 or Google Cloud Storage, or one container of Azure Blob Storage.

use super::classify::classify;
use super::copying::CopySizes;
use super::credentials::Environment;
use super::error::{BucketAction, BucketError, BucketFault};
use super::health::Health;
use super::secret::SecretFiles;
use super::signed::Signed;
use super::store::{RETRY_LIMIT, Store};
use super::transport::{ASSEMBLY_GRACE, Connector, GRACE, at_floor, watched};
use crate::config::{ObjectKind, ObjectSettings};
use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt as _, PutMode, PutPayload};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tracing::warn;

/// One bucket. Cheap to clone; [`fmt::Debug`] shows kind and name only.
///
/// Keys are whole keys within the bucket, prefix included: segments of any UTF-8 but control
/// characters and backslashes, joined by single slashes, none of them empty, `.` or `..`. They are
/// stored exactly as given; others are refused as [`BucketFault::NotSupported`] without asking the
/// store. (Azure makes slashes of backslashes, and SeaweedFS loses keys that end in one.)
///
/// Every operation is tried again within bounds when the store fails or throttles, and once more
/// when a static credential turns out to have changed (F14, F15); what is returned is final for
/// the moment.
#[derive(Clone)]
pub(in crate::plane) struct Bucket {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) kind: ObjectKind,
    pub(super) name: String,
    /// Endpoint and account: what a bucket's name is unique in.
    pub(super) service: (Option<String>, String),
    pub(super) store: Store,
    pub(super) signed: Signed,
    pub(super) copies: CopySizes,
    /// The files of a static credential.
    secret: Option<Arc<SecretFiles>>,
    /// One permit for each request that may be under way.
    requests: Semaphore,
    health: Health,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, name, .. } = &*self.inner;
        f.debug_struct("Bucket").field("kind", kind).field("name", name).finish_non_exhaustive()
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
    /// Fails as [`BucketFault::Exists`]; only as good as [`super::Capabilities::create_only`].
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
    /// Largest object that is copied in one request, in bytes.
    pub(in crate::plane) copy_bytes_max: u64,
}

impl ObjectStat {
    pub(super) fn of(found: &ObjectMeta) -> Self {
        Self {
            length: found.size,
            modified_ns: found.last_modified.timestamp_nanos_opt().unwrap_or(0),
            tag: found.e_tag.as_deref().map(ObjectTag::of),
        }
    }
}

impl ObjectTag {
    /// Stores write tags with quotes in some places and without in others.
    pub(super) fn of(text: &str) -> Self {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        Self(inner.unwrap_or(text).to_owned())
    }

    pub(super) fn quoted(&self) -> String {
        if self.0.starts_with("W/") { self.0.clone() } else { format!("\"{}\"", self.0) }
    }
}

/// One operation, for its limits and its errors.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) action: BucketAction,
    pub(super) key: Option<&'a str>,
    /// Bytes that travel.
    pub(super) bytes: u64,
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
        Self::open_in(settings, name, &|variable| std::env::var(variable).ok())
    }

    /// The same in another environment than that of the process.
    pub(super) fn open_in(
        settings: &ObjectSettings,
        name: &str,
        environment: Environment<'_>,
    ) -> Result<Self, BucketError> {
        let refused = |detail| {
            BucketError::new(BucketFault::Settings, BucketAction::Open, name, None).with(detail)
        };
        let connector = Connector::to_store(settings).map_err(refused)?;
        let signed = Signed::open(settings, name, &connector).map_err(refused)?;
        let (store, secret) =
            Store::open(settings, name, (environment, connector)).map_err(refused)?;
        let requests = settings.concurrency.get() as usize;
        let inner = Inner {
            kind: settings.kind,
            name: name.to_owned(),
            service: (settings.endpoint.clone(), settings.account.clone()),
            store,
            signed,
            copies: CopySizes::default(),
            secret,
            requests: Semaphore::new(requests),
            health: Health::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its name.
    pub(in crate::plane) fn name(&self) -> &str {
        &self.inner.name
    }

    /// Why the store cannot be used, as the last request found it; `None` while it works.
    pub(in crate::plane) fn unhealthy(&self) -> Option<BucketError> {
        self.inner.health.reason()
    }

    /// What its kind of store takes.
    pub(in crate::plane) fn limits(&self) -> BucketLimits {
        match self.inner.kind {
            ObjectKind::S3 | ObjectKind::Gcs => BucketLimits {
                piece_bytes_min: 5 << 20,
                piece_bytes_max: 5 << 30,
                pieces_max: 10_000,
                copy_bytes_max: self.inner.copies.whole_bytes_max,
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
        let ask = Ask::of(BucketAction::Begin, key);
        let path = self.path(ask)?;
        let begin = || self.inner.store.uploads().create_multipart(&path);
        self.run(ask, begin).await.map(UploadId)
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
        let ask = Ask::of(BucketAction::PutPiece, key).carrying(bytes.len() as u64);
        let path = self.path(ask)?;
        let payload = PutPayload::from_bytes(bytes);
        let put = || {
            let uploads = self.inner.store.uploads();
            uploads.put_part(&path, &upload.0, index as usize, payload.clone())
        };
        self.run(ask, put).await.map(|part| PieceId(part.content_id))
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
        let ask = Ask::of(BucketAction::Complete, key);
        let path = self.path(ask)?;
        let parts: Vec<PartId> =
            pieces.into_iter().map(|PieceId(content_id)| PartId { content_id }).collect();
        let complete = || {
            let uploads = self.inner.store.uploads();
            uploads.complete_multipart(&path, &upload.0, parts.clone())
        };
        self.run(ask, complete).await.map(drop)
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
        let ask = Ask::of(BucketAction::Abort, key);
        let path = self.path(ask)?;
        let abort = || self.inner.store.uploads().abort_multipart(&path, &upload.0);
        match self.run(ask, abort).await {
            Err(error) if matches!(error.fault(), BucketFault::NoUpload | BucketFault::Missing) => {
                Ok(())
            }
            outcome => outcome,
        }
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
        let ask = Ask::of(BucketAction::Put, key).carrying(bytes.len() as u64);
        let path = self.path(ask)?;
        let payload = PutPayload::from_bytes(bytes);
        let put = || {
            let mode = match how {
                PutHow::Create => PutMode::Create,
                PutHow::Replace => PutMode::Overwrite,
            };
            self.inner.store.objects().put_opts(&path, payload.clone(), mode.into())
        };
        self.run(ask, put).await.map(drop)
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
        let length = range.end.saturating_sub(range.start);
        let ask = Ask::of(BucketAction::Read, key).carrying(length);
        let path = self.path(ask)?;
        let found_other = |found: Option<&ObjectTag>| tag.is_some() && found != tag;
        if length == 0 {
            // No range of HTTP is empty.
            let found = self.stat(key).await?;
            let changed = found_other(found.tag.as_ref()) || found.length < range.end;
            return if changed {
                Err(self.error(ask, BucketFault::Changed))
            } else {
                Ok(Bytes::new())
            };
        }
        let read = || async {
            let options = GetOptions {
                if_match: tag.map(ObjectTag::quoted),
                range: Some(GetRange::Bounded(range.clone())),
                ..GetOptions::default()
            };
            let found = self.inner.store.objects().get_opts(&path, options).await?;
            let found_tag = found.meta.e_tag.as_deref().map(ObjectTag::of);
            Ok((found.bytes().await?, found_tag))
        };
        let (bytes, found_tag) = match self.run(ask, read).await {
            // Some stores answer a range behind the end in a way that is no answer.
            Err(error) if error.fault() == BucketFault::Corrupt => {
                let short = self.stat(key).await?.length < range.end;
                return Err(if short { self.error(ask, BucketFault::Changed) } else { error });
            }
            outcome => outcome?,
        };
        if bytes.len() as u64 != length || found_other(found_tag.as_ref()) {
            return Err(self.error(ask, BucketFault::Changed));
        }
        Ok(bytes)
    }

    /// Length, time and tag of an object.
    ///
    /// # Errors
    ///
    /// The store's; [`BucketFault::Missing`].
    pub(in crate::plane) async fn stat(&self, key: &str) -> Result<ObjectStat, BucketError> {
        let ask = Ask::of(BucketAction::Stat, key);
        let path = self.path(ask)?;
        let head = || self.inner.store.objects().head(&path);
        self.run(ask, head).await.map(|found| ObjectStat::of(&found))
    }

    /// Runs one operation: waits for its turn, bounds its time, says what its failure means. It is
    /// tried once more when another credential has come into the files meanwhile (F15), when bytes
    /// were damaged on the way (F17), or when a connection broke under a removal.
    pub(super) async fn run<T, F>(
        &self,
        ask: Ask<'_>,
        operation: impl Fn() -> F,
    ) -> Result<T, BucketError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let turn = self.inner.requests.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        let limit = RETRY_LIMIT + ASSEMBLY_GRACE + GRACE + at_floor(ask.bytes) * 2;
        let mut again = true;
        loop {
            let edition = self.edition();
            let attempt = tokio::time::timeout(limit, watched(operation())).await;
            let Ok((outcome, answer)) = attempt else {
                let error = self.error(ask, BucketFault::Unavailable);
                self.note_failure(ask, &error);
                return Err(error);
            };
            let error = match outcome {
                Ok(done) => {
                    self.inner.health.worked(&self.inner.name);
                    return Ok(done);
                }
                Err(error) => self.classified(ask, &error, answer),
            };
            let mended = match error.fault() {
                BucketFault::Denied | BucketFault::Forbidden => self.secret_changed(edition),
                BucketFault::Corrupt => true,
                // The client crate takes these for requests that must not be repeated.
                BucketFault::Unavailable => {
                    matches!(ask.action, BucketAction::Remove | BucketAction::Abort)
                }
                _ => false,
            };
            if !again || !mended {
                self.note_failure(ask, &error);
                return Err(error);
            }
            warn!(%error, "trying once more");
            again = false;
        }
    }

    /// A copy that is refused says as much of the bucket it is made from.
    fn note_failure(&self, ask: Ask<'_>, error: &BucketError) {
        let refused = matches!(
            error.fault(),
            BucketFault::Denied | BucketFault::Forbidden | BucketFault::NoBucket
        );
        if ask.action != BucketAction::Copy || !refused {
            self.inner.health.failed(&self.inner.name, error);
        }
    }

    /// What is in the files now; `None` where there are none, or they cannot be used.
    fn edition(&self) -> Option<u64> {
        let secret = self.inner.secret.as_ref()?.secret().ok()?;
        Some(secret.edition)
    }

    fn secret_changed(&self, used: Option<u64>) -> bool {
        match (&self.inner.secret, used) {
            (Some(files), Some(used)) => files.doubt(used),
            _ => false,
        }
    }

    pub(super) fn classified(
        &self,
        ask: Ask<'_>,
        error: &object_store::Error,
        answer: Option<super::transport::Answer>,
    ) -> BucketError {
        let (fault, detail) = classify(error, answer, ask.action);
        let error = self.error(ask, fault);
        match detail {
            Some(detail) => error.with(detail),
            None => error,
        }
    }

    pub(super) fn error(&self, ask: Ask<'_>, fault: BucketFault) -> BucketError {
        BucketError::new(fault, ask.action, &self.inner.name, ask.key)
    }

    /// The key as the client crate carries it: exactly as it is, or refused. `parse` alone does not
    /// encode, but drops a slash at either end.
    pub(super) fn path(&self, ask: Ask<'_>) -> Result<Path, BucketError> {
        let key = ask.key.unwrap_or_default();
        match Path::parse(key) {
            Ok(path) if path.as_ref() == key && !key.is_empty() && !key.contains('\\') => Ok(path),
            _ => Err(self.error(ask, BucketFault::NotSupported)),
        }
    }
}

impl<'a> Ask<'a> {
    pub(super) fn of(action: BucketAction, key: &'a str) -> Self {
        Self { action, key: Some(key), bytes: 0 }
    }

    pub(super) fn carrying(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }
}
