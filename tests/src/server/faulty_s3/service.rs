//! The operations of S3 on the store in memory, behind the parser, the signatures and the answers of
//! `s3s`.

use super::fault::Fault;
use super::store::{Attributes, Bucket, Incoming, Object, Source, Store, range_of};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc64Nvme, Sha256};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Objects in one answer to a listing, at most.
const LIST_MAX: usize = 1000;

/// S3 on a store that the test shares.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    pub(super) store: Arc<Mutex<Store>>,
}

impl Operations {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes with a body to prove it.
#[derive(Debug, Default)]
struct Declared {
    sha256: Option<String>,
    crc64: Option<String>,
}

/// Reads a body, compares it with what was declared of it, and does to it what `fault` says.
async fn received(
    body: Option<StreamingBlob>,
    declared: Declared,
    fault: Option<&Fault>,
) -> S3Result<Incoming> {
    let mut whole = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(bytes) = body.try_next().await.map_err(|_| unlike_signed())? {
            whole.extend_from_slice(&bytes);
        }
    }
    let sent = whole.freeze();
    let mut hasher = ChecksumHasher {
        sha256: declared.sha256.is_some().then(Sha256::new),
        crc64nvme: declared.crc64.is_some().then(Crc64Nvme::new),
        ..ChecksumHasher::default()
    };
    hasher.update(&sent);
    let found = hasher.finalize();
    if (found.checksum_sha256, found.checksum_crc64nvme) != (declared.sha256, declared.crc64) {
        return Err(s3_error!(BadDigest));
    }
    Ok(Incoming { kept: as_stored(&sent, fault), sent })
}

/// A body ends in an error when its hash is not the one that was signed.
fn unlike_signed() -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()));
    error.set_status_code(hyper::http::StatusCode::BAD_REQUEST);
    error
}

/// Bytes as a faulty disk keeps them.
fn as_stored(sent: &Bytes, fault: Option<&Fault>) -> Bytes {
    match fault {
        Some(Fault::FlipByte(at)) if *at < sent.len() => {
            let mut kept = BytesMut::from(&sent[..]);
            kept[*at] = !kept[*at];
            kept.freeze()
        }
        Some(Fault::Truncate(length)) => sent.slice(..sent.len().min(*length)),
        _ => sent.clone(),
    }
}

/// The object a copy names; access points are not told apart here.
fn source(from: &CopySource) -> S3Result<(&str, &str)> {
    match from {
        CopySource::Bucket { bucket, key, .. } => Ok((bucket, key)),
        _ => Err(s3_error!(NotImplemented)),
    }
}

fn length(object: &Object) -> i64 {
    i64::try_from(object.bytes.len()).expect("what is in memory has fewer bytes")
}

fn done<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait]
impl S3 for Operations {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.store().create_bucket(&req.input.bucket)?;
        done(CreateBucketOutput::default())
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.store().bucket(&req.input.bucket)?;
        done(HeadBucketOutput::default())
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.store().delete_bucket(&req.input.bucket)?;
        let output = DeleteBucketOutput::default();
        Ok(S3Response::with_status(output, hyper::http::StatusCode::NO_CONTENT))
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let (fault, input) = (req.extensions.get::<Fault>(), req.input);
        let declared = Declared { sha256: input.checksum_sha256, crc64: input.checksum_crc64nvme };
        let bytes = received(input.body, declared, fault).await?;
        let attributes = Attributes {
            cache_control: input.cache_control,
            content_encoding: input.content_encoding,
            content_type: input.content_type,
            metadata: input.metadata,
        };
        let conditions = (input.if_match.as_ref(), input.if_none_match.as_ref());
        let mut store = self.store();
        let bucket = store.bucket(&input.bucket)?;
        let etag = bucket.put((&input.key, attributes), bytes, conditions)?;
        done(PutObjectOutput { e_tag: Some(etag), ..PutObjectOutput::default() })
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = req.input;
        let (bucket, key) = source(&input.copy_source)?;
        let from = Source { bucket, key, if_match: input.copy_source_if_match.as_ref() };
        let copied = self.store().copy(&from, &input.bucket, &input.key)?;
        let result = CopyObjectResult { e_tag: Some(copied.etag), ..CopyObjectResult::default() };
        done(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let object = {
            let mut store = self.store();
            let bucket = store.bucket(&input.bucket)?;
            bucket.object(&input.key, input.if_match.as_ref())?.clone()
        };
        let total = object.bytes.len();
        let range = input.range.map(|asked| range_of(asked, total)).transpose()?;
        let bytes = range.clone().map_or(object.bytes.clone(), |range| object.bytes.slice(range));
        let shown = |range: std::ops::Range<usize>| {
            format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1))
        };
        let sent = i64::try_from(bytes.len()).expect("what is in memory has fewer bytes");
        done(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            cache_control: object.attributes.cache_control,
            content_encoding: object.attributes.content_encoding,
            content_length: Some(sent),
            content_range: range.map(shown),
            content_type: object.attributes.content_type,
            e_tag: Some(object.etag),
            last_modified: Some(object.modified),
            metadata: object.attributes.metadata,
            ..GetObjectOutput::default()
        })
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let mut store = self.store();
        let bucket = store.bucket(&input.bucket)?;
        let object = bucket.object(&input.key, input.if_match.as_ref())?;
        done(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: object.attributes.cache_control.clone(),
            content_encoding: object.attributes.content_encoding.clone(),
            content_length: Some(length(object)),
            content_type: object.attributes.content_type.clone(),
            e_tag: Some(object.etag.clone()),
            last_modified: Some(object.modified.clone()),
            metadata: object.attributes.metadata.clone(),
            ..HeadObjectOutput::default()
        })
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.store().bucket(&req.input.bucket)?.objects.remove(&req.input.key);
        let output = DeleteObjectOutput::default();
        Ok(S3Response::with_status(output, hyper::http::StatusCode::NO_CONTENT))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut store = self.store();
        let bucket = store.bucket(&req.input.bucket)?;
        let removed = req.input.delete.objects.into_iter().map(|object| {
            bucket.objects.remove(&object.key);
            DeletedObject { key: Some(object.key), ..DeletedObject::default() }
        });
        let deleted = Some(removed.collect());
        done(DeleteObjectsOutput { deleted, ..DeleteObjectsOutput::default() })
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        if req.input.encoding_type.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        done(listed(self.store().bucket(&req.input.bucket)?, &req.input))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let attributes = Attributes {
            cache_control: input.cache_control,
            content_encoding: input.content_encoding,
            content_type: input.content_type,
            metadata: input.metadata,
        };
        let id = self.store().begin(&input.bucket, &input.key, attributes)?;
        done(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let (fault, input) = (req.extensions.get::<Fault>(), req.input);
        let declared = Declared { sha256: input.checksum_sha256, crc64: input.checksum_crc64nvme };
        let bytes = received(input.body, declared, fault).await?;
        let mut store = self.store();
        let upload = store.bucket(&input.bucket)?.upload(&input.upload_id, &input.key)?;
        let etag = upload.put(input.part_number, bytes)?;
        done(UploadPartOutput { e_tag: Some(etag), ..UploadPartOutput::default() })
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let (fault, input) = (req.extensions.get::<Fault>(), req.input);
        let (bucket, key) = source(&input.copy_source)?;
        let from = Source { bucket, key, if_match: input.copy_source_if_match.as_ref() };
        let mut store = self.store();
        let object = store.source(&from)?;
        let bytes = match &input.copy_source_range {
            None => object.bytes,
            Some(asked) => object.bytes.slice(copied_range(asked, object.bytes.len())?),
        };
        let bytes = Incoming { kept: as_stored(&bytes, fault), sent: bytes };
        let upload = store.bucket(&input.bucket)?.upload(&input.upload_id, &input.key)?;
        let etag = upload.put(input.part_number, bytes)?;
        let result = CopyPartResult { e_tag: Some(etag), ..CopyPartResult::default() };
        done(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        })
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let named = parts.into_iter().map(|part| part.part_number.zip(part.e_tag));
        let named: Option<Vec<_>> = named.collect();
        let named = named.ok_or_else(|| s3_error!(MalformedXML))?;
        let conditions = (input.if_match.as_ref(), input.if_none_match.as_ref());
        let mut store = self.store();
        let bucket = store.bucket(&input.bucket)?;
        let etag = bucket.complete((&input.upload_id, &input.key), &named, conditions)?;
        done(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag),
            ..CompleteMultipartUploadOutput::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let mut store = self.store();
        let bucket = store.bucket(&req.input.bucket)?;
        bucket.upload(&req.input.upload_id, &req.input.key)?;
        bucket.uploads.remove(&req.input.upload_id);
        let output = AbortMultipartUploadOutput::default();
        Ok(S3Response::with_status(output, hyper::http::StatusCode::NO_CONTENT))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let mut store = self.store();
        let bucket = store.bucket(&req.input.bucket)?;
        let prefix = req.input.prefix.unwrap_or_default();
        let mut open: Vec<_> = bucket
            .uploads
            .iter()
            .filter(|(_, upload)| upload.key.starts_with(&prefix))
            .map(|(id, upload)| (upload.key.clone(), id.clone()))
            .collect();
        open.sort();
        let entry = |(key, id)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            ..MultipartUpload::default()
        };
        done(ListMultipartUploadsOutput {
            bucket: Some(req.input.bucket),
            is_truncated: Some(false),
            uploads: Some(open.into_iter().map(entry).collect()),
            ..ListMultipartUploadsOutput::default()
        })
    }

    async fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let mut store = self.store();
        let bucket = store.bucket(&req.input.bucket)?;
        let upload = bucket.upload(&req.input.upload_id, &req.input.key)?;
        let entry = |(number, part): (&i32, &super::store::Part)| Part {
            e_tag: Some(part.etag.clone()),
            part_number: Some(*number),
            size: i64::try_from(part.bytes.len()).ok(),
            ..Part::default()
        };
        done(ListPartsOutput {
            is_truncated: Some(false),
            parts: Some(upload.parts.iter().map(entry).collect()),
            ..ListPartsOutput::default()
        })
    }
}

/// `x-amz-copy-source-range`: both ends are named and inside the object.
fn copied_range(asked: &str, length: usize) -> S3Result<std::ops::Range<usize>> {
    match Range::parse(asked) {
        Ok(Range::Int { last: Some(last), .. }) if last >= length as u64 => {
            Err(s3_error!(InvalidArgument))
        }
        Ok(range @ Range::Int { last: Some(_), .. }) => range_of(range, length),
        _ => Err(s3_error!(InvalidArgument)),
    }
}

/// One page of the keys of a bucket.
fn listed(bucket: &Bucket, asked: &ListObjectsV2Input) -> ListObjectsV2Output {
    let prefix = asked.prefix.as_deref().unwrap_or_default();
    let delimiter = asked.delimiter.as_deref().unwrap_or_default();
    let after = asked.continuation_token.as_deref().or(asked.start_after.as_deref());
    let after = after.unwrap_or_default();
    let most = asked.max_keys.and_then(|most| usize::try_from(most).ok());
    let most = most.unwrap_or(LIST_MAX).min(LIST_MAX);
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    let (mut last, mut truncated) = (String::new(), false);
    for (key, object) in bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let end = if delimiter.is_empty() { None } else { rest.find(delimiter) };
        let shown = end.map_or(key.as_str(), |end| &key[..prefix.len() + end + delimiter.len()]);
        if shown <= after || key.as_str() <= after || shown == last {
            continue;
        }
        if contents.len() + prefixes.len() == most {
            truncated = true;
            break;
        }
        last = shown.to_owned();
        match end {
            Some(_) => prefixes.push(CommonPrefix { prefix: Some(shown.to_owned()) }),
            None => contents.push(s3s::dto::Object {
                e_tag: Some(object.etag.clone()),
                key: Some(shown.to_owned()),
                last_modified: Some(object.modified.clone()),
                size: Some(length(object)),
                ..s3s::dto::Object::default()
            }),
        }
    }
    ListObjectsV2Output {
        name: Some(asked.bucket.clone()),
        is_truncated: Some(truncated),
        key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
        next_continuation_token: truncated.then_some(last),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        ..ListObjectsV2Output::default()
    }
}
