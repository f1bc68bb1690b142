//! The objects and open uploads of the in-memory server, and the rules of S3 on them.

use crate::server::s3::OpenUpload;
use bytes::{Bytes, BytesMut};
use s3s::dto::{ETag, ETagCondition, Metadata, Range as AskedRange, Timestamp};
use s3s::{S3Error, S3Result, s3_error};
use skyspray_link::seam::{Clock as _, SystemClock};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Bytes of each part but the last, at least.
pub const PART_BYTES_MIN: usize = 5 << 20;

/// Bytes of an object that is copied in one request, at most, until a test says otherwise.
const COPY_BYTES_MAX: u64 = 5 << 30;

/// All a server holds.
#[derive(Debug)]
pub(super) struct Store {
    buckets: BTreeMap<String, Bucket>,
    uploads_ever: u64,
    /// Bytes of an object that is copied in one request, at most.
    pub(super) copy_bytes_max: u64,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
}

/// What belongs to an object beside its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    pub(super) cache_control: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) etag: ETag,
    pub(super) attributes: Attributes,
    pub(super) modified: Timestamp,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    attributes: Attributes,
    pub(super) parts: BTreeMap<i32, Part>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) etag: ETag,
}

/// Bytes that come, and as what a faulty disk keeps them.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// As they came: what answers are about.
    pub(super) sent: Bytes,
    /// As they are kept.
    pub(super) kept: Bytes,
}

/// One run of an object that is copied, as its request names it.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) if_match: Option<&'a ETagCondition>,
}

impl Default for Store {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), uploads_ever: 0, copy_bytes_max: COPY_BYTES_MAX }
    }
}

impl Store {
    /// Makes a bucket.
    pub(super) fn create_bucket(&mut self, name: &str) -> S3Result<()> {
        if self.buckets.contains_key(name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        self.buckets.insert(name.to_owned(), Bucket::default());
        Ok(())
    }

    /// Removes a bucket that is empty.
    pub(super) fn delete_bucket(&mut self, name: &str) -> S3Result<()> {
        if !self.bucket(name)?.objects.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        self.buckets.remove(name);
        Ok(())
    }

    /// A bucket.
    pub(super) fn bucket(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// Begins an upload and returns its id.
    pub(super) fn begin(&mut self, name: &str, key: &str, own: Attributes) -> S3Result<String> {
        let id = format!("upload-{}", self.uploads_ever + 1);
        let upload = Upload { key: key.to_owned(), attributes: own, parts: BTreeMap::new() };
        self.bucket(name)?.uploads.insert(id.clone(), upload);
        self.uploads_ever += 1;
        Ok(id)
    }

    /// The object that is to be copied.
    pub(super) fn source(&self, from: &Source<'_>) -> S3Result<Object> {
        let bucket = self.buckets.get(from.bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let object = bucket.objects.get(from.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        match from.if_match.is_none_or(|wanted| fits(wanted, Some(object))) {
            true => Ok(object.clone()),
            false => Err(s3_error!(PreconditionFailed)),
        }
    }

    /// Copies an object; what it is a copy of is returned.
    pub(super) fn copy(&mut self, from: &Source<'_>, name: &str, key: &str) -> S3Result<Object> {
        let object = self.source(from)?;
        if object.bytes.len() as u64 > self.copy_bytes_max {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source"
            ));
        }
        let copy = Object { modified: now(), ..object.clone() };
        self.bucket(name)?.objects.insert(key.to_owned(), copy);
        Ok(object)
    }

    /// The uploads of a bucket.
    pub(super) fn open_uploads(&self, bucket: &str) -> Vec<OpenUpload> {
        let uploads = self.buckets.get(bucket).into_iter().flat_map(|bucket| &bucket.uploads);
        let open = |(id, upload): (&String, &Upload)| OpenUpload {
            key: upload.key.clone(),
            upload: id.clone(),
        };
        let mut open: Vec<_> = uploads.map(open).collect();
        open.sort();
        open
    }
}

impl Bucket {
    /// An object as it is asked for.
    pub(super) fn object(&self, key: &str, if_match: Option<&ETagCondition>) -> S3Result<&Object> {
        let object = self.objects.get(key).ok_or_else(|| s3_error!(NoSuchKey))?;
        match if_match.is_none_or(|wanted| fits(wanted, Some(object))) {
            true => Ok(object),
            false => Err(s3_error!(PreconditionFailed)),
        }
    }

    /// Whether the object that is there allows a write.
    fn may_write(
        &self,
        key: &str,
        (if_match, if_none_match): (Option<&ETagCondition>, Option<&ETagCondition>),
    ) -> S3Result<()> {
        let there = self.objects.get(key);
        let wanted = if_match.is_none_or(|wanted| fits(wanted, there));
        let unwanted = if_none_match.is_some_and(|unwanted| fits(unwanted, there));
        if wanted && !unwanted { Ok(()) } else { Err(s3_error!(PreconditionFailed)) }
    }

    /// Stores an object.
    pub(super) fn put(
        &mut self,
        (key, attributes): (&str, Attributes),
        bytes: Incoming,
        conditions: (Option<&ETagCondition>, Option<&ETagCondition>),
    ) -> S3Result<ETag> {
        self.may_write(key, conditions)?;
        let etag = etag(&bytes.sent);
        let modified = now();
        let object = Object { bytes: bytes.kept, etag: etag.clone(), attributes, modified };
        self.objects.insert(key.to_owned(), object);
        Ok(etag)
    }

    /// An upload that is open.
    pub(super) fn upload(&mut self, id: &str, key: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(id).filter(|upload| upload.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// Makes an object of the parts `listed`, by number and tag.
    pub(super) fn complete(
        &mut self,
        (id, key): (&str, &str),
        listed: &[(i32, ETag)],
        conditions: (Option<&ETagCondition>, Option<&ETagCondition>),
    ) -> S3Result<ETag> {
        let bytes = self.upload(id, key)?.joined(listed)?;
        self.may_write(key, conditions)?;
        let tags: String = listed.iter().map(|(_, tag)| tag.value()).collect();
        let hash = etag(tags.as_bytes());
        let etag = ETag::Strong(format!("{}-{}", hash.value(), listed.len()));
        let upload = self.uploads.remove(id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let (attributes, modified) = (upload.attributes, now());
        let object = Object { bytes, etag: etag.clone(), attributes, modified };
        self.objects.insert(upload.key, object);
        Ok(etag)
    }
}

impl Upload {
    /// Stores a part in the place of one of the same number.
    pub(super) fn put(&mut self, number: i32, bytes: Incoming) -> S3Result<ETag> {
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(InvalidArgument));
        }
        let etag = etag(&bytes.sent);
        self.parts.insert(number, Part { bytes: bytes.kept, etag: etag.clone() });
        Ok(etag)
    }

    /// The bytes of the listed parts.
    fn joined(&self, listed: &[(i32, ETag)]) -> S3Result<Bytes> {
        if listed.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        if !listed.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(s3_error!(InvalidPartOrder));
        }
        let mut bytes = BytesMut::new();
        for (position, (number, told)) in listed.iter().enumerate() {
            let part = self.parts.get(number).filter(|part| part.etag == *told);
            let part = part.ok_or_else(|| s3_error!(InvalidPart))?;
            if position + 1 < listed.len() && part.bytes.len() < PART_BYTES_MIN {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(&part.bytes);
        }
        Ok(bytes.freeze())
    }
}

/// Whether what is there is what a condition names.
fn fits(condition: &ETagCondition, there: Option<&Object>) -> bool {
    match condition {
        ETagCondition::Any => there.is_some(),
        ETagCondition::ETag(tag) => there.is_some_and(|object| object.etag == *tag),
    }
}

/// The bytes of an object that a range asks for.
pub(super) fn range_of(asked: AskedRange, length: usize) -> S3Result<Range<usize>> {
    let refused = || -> S3Error { s3_error!(InvalidRange) };
    let found = asked.check(length as u64).map_err(|_| refused())?;
    let index = |number: u64| usize::try_from(number).map_err(|_| refused());
    Ok(index(found.start)?..index(found.end)?)
}

/// This moment to the second, as heads and listings both tell it.
fn now() -> Timestamp {
    let since = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.expect("the clock is past 1970").as_secs();
    (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// The tag of content.
pub(super) fn etag(bytes: &[u8]) -> ETag {
    ETag::Strong(blake3::hash(bytes).to_hex()[..32].to_owned())
}
