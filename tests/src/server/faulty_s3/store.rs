//! The objects and open uploads of the in-memory server, and what each operation does to them.

use super::fault::{Fault, Operation};
use super::message::{Answer, Request};
use crate::server::s3::{OpenUpload, elements, encode};
use crate::server::time::Stamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of each part but the last, at least.
pub const PART_BYTES_MIN: usize = 5 << 20;

/// Objects in one answer to a listing, at most.
const LIST_MAX: usize = 1000;

/// All a server holds.
#[derive(Debug, Default)]
pub(super) struct Store {
    buckets: BTreeMap<String, Bucket>,
    uploads_ever: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Clone, Debug)]
struct Object {
    bytes: Vec<u8>,
    etag: String,
    attributes: Vec<(String, String)>,
    modified: Stamp,
}

#[derive(Debug)]
struct Upload {
    key: String,
    attributes: Vec<(String, String)>,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug)]
struct Part {
    bytes: Vec<u8>,
    etag: String,
}

/// A failure: status and code.
type Failed = (u16, &'static str);

const NO_BUCKET: Failed = (404, "NoSuchBucket");
const NO_KEY: Failed = (404, "NoSuchKey");
const NO_UPLOAD: Failed = (404, "NoSuchUpload");
const PRECONDITION: Failed = (412, "PreconditionFailed");

/// The kind of a request.
pub(super) fn operation(request: &Request) -> Operation {
    let has = |name| request.query(name).is_some();
    let object = !request.key.is_empty();
    match request.method.as_str() {
        "PUT" if !object => Operation::CreateBucket,
        "PUT" if has("partNumber") && request.header("x-amz-copy-source").is_none() => {
            Operation::UploadPart
        }
        "PUT" if has("partNumber") => Operation::Other,
        "PUT" if request.header("x-amz-copy-source").is_some() => Operation::Copy,
        "PUT" => Operation::Put,
        "POST" if !object && has("delete") => Operation::DeleteMany,
        "POST" if object && has("uploads") => Operation::CreateMultipart,
        "POST" if object && has("uploadId") => Operation::CompleteMultipart,
        "GET" if object && has("uploadId") => Operation::ListParts,
        "GET" if object => Operation::Get,
        "GET" if has("uploads") => Operation::ListUploads,
        "GET" if !request.bucket.is_empty() => Operation::List,
        "HEAD" if object => Operation::Head,
        "HEAD" => Operation::HeadBucket,
        "DELETE" if has("uploadId") => Operation::AbortMultipart,
        "DELETE" if object => Operation::Delete,
        "DELETE" => Operation::DeleteBucket,
        _ => Operation::Other,
    }
}

impl Store {
    /// The bytes of an object.
    pub(super) fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        Some(self.buckets.get(bucket)?.objects.get(key)?.bytes.clone())
    }

    /// The keys of a bucket.
    pub(super) fn keys(&self, bucket: &str) -> Vec<String> {
        let bucket = self.buckets.get(bucket);
        bucket.map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
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

    /// Does what is asked, with what `fault` does to stored bytes and answered ETags.
    pub(super) fn answer(
        &mut self,
        operation: Operation,
        request: &Request,
        fault: Option<&Fault>,
    ) -> Answer {
        let done = match operation {
            Operation::CreateBucket => self.create_bucket(&request.bucket),
            Operation::DeleteBucket => self.delete_bucket(&request.bucket),
            Operation::CreateMultipart => self.create_multipart(request),
            Operation::Copy => self.copy(request),
            Operation::Other => Err((501, "NotImplemented")),
            _ => match self.buckets.get_mut(&request.bucket) {
                Some(bucket) => bucket.answer(operation, request, fault),
                None => Err(NO_BUCKET),
            },
        };
        done.unwrap_or_else(|(status, code)| Answer::failure(status, code))
    }

    /// Makes a bucket.
    pub(super) fn create_bucket(&mut self, name: &str) -> Result<Answer, Failed> {
        if self.buckets.contains_key(name) {
            return Err((409, "BucketAlreadyOwnedByYou"));
        }
        self.buckets.insert(name.to_owned(), Bucket::default());
        Ok(Answer::new(200, ""))
    }

    fn delete_bucket(&mut self, name: &str) -> Result<Answer, Failed> {
        if !self.buckets.get(name).ok_or(NO_BUCKET)?.objects.is_empty() {
            return Err((409, "BucketNotEmpty"));
        }
        self.buckets.remove(name);
        Ok(Answer::new(204, ""))
    }

    fn create_multipart(&mut self, request: &Request) -> Result<Answer, Failed> {
        let bucket = self.buckets.get_mut(&request.bucket).ok_or(NO_BUCKET)?;
        self.uploads_ever += 1;
        let (key, id) = (request.key.clone(), format!("upload-{}", self.uploads_ever));
        let body = format!(
            "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key>\
             <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escape(&request.bucket),
            escape(&key)
        );
        let upload = Upload { key, attributes: request.attributes(), parts: BTreeMap::new() };
        bucket.uploads.insert(id, upload);
        Ok(xml(body))
    }

    fn copy(&mut self, request: &Request) -> Result<Answer, Failed> {
        let source = request.header("x-amz-copy-source").unwrap_or_default();
        let source = super::message::decode(source);
        let source = source.trim_start_matches('/').split_once('/').ok_or(NO_KEY)?;
        let from = self.buckets.get(source.0).ok_or(NO_BUCKET)?;
        let object = from.objects.get(source.1).ok_or(NO_KEY)?.clone();
        let bucket = self.buckets.get_mut(&request.bucket).ok_or(NO_BUCKET)?;
        bucket.check_conditions(request)?;
        let body =
            format!("<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>", escape(&object.etag));
        bucket.objects.insert(request.key.clone(), object);
        Ok(xml(body))
    }
}

impl Bucket {
    fn answer(
        &mut self,
        operation: Operation,
        request: &Request,
        fault: Option<&Fault>,
    ) -> Result<Answer, Failed> {
        match operation {
            Operation::HeadBucket => Ok(Answer::new(200, "")),
            Operation::List => Ok(self.list(request)),
            Operation::ListUploads => Ok(self.list_uploads()),
            Operation::ListParts => self.list_parts(request),
            Operation::Put => self.put(request, fault),
            Operation::Get | Operation::Head => self.get(request),
            Operation::Delete => {
                self.objects.remove(&request.key);
                Ok(Answer::new(204, ""))
            }
            Operation::DeleteMany => {
                let keys = elements(&String::from_utf8_lossy(&request.body), "Key");
                let mut deleted = String::new();
                for key in &keys {
                    self.objects.remove(key);
                    deleted.push_str(&format!("<Deleted><Key>{}</Key></Deleted>", escape(key)));
                }
                Ok(xml(format!("<DeleteResult>{deleted}</DeleteResult>")))
            }
            Operation::UploadPart => self.upload_part(request, fault),
            Operation::CompleteMultipart => self.complete(request),
            Operation::AbortMultipart => {
                let id = request.query("uploadId").unwrap_or_default();
                self.uploads.remove(id).map(|_| Answer::new(204, "")).ok_or(NO_UPLOAD)
            }
            _ => Err((501, "NotImplemented")),
        }
    }

    /// Whether the object that is there allows a write.
    fn check_conditions(&self, request: &Request) -> Result<(), Failed> {
        let there = self.objects.get(&request.key);
        let create = request.header("if-none-match") == Some("*");
        let expected = request.header("if-match");
        let fits = expected.is_none_or(|etag| there.is_some_and(|object| object.etag == etag));
        if (create && there.is_some()) || !fits { Err(PRECONDITION) } else { Ok(()) }
    }

    fn put(&mut self, request: &Request, fault: Option<&Fault>) -> Result<Answer, Failed> {
        check_digests(request)?;
        self.check_conditions(request)?;
        let etag = etag(&request.body);
        let bytes = as_stored(request.body.clone(), fault);
        let (attributes, modified) = (request.attributes(), Stamp::now());
        let object = Object { bytes, etag: etag.clone(), attributes, modified };
        self.objects.insert(request.key.clone(), object);
        Ok(Answer::new(200, "").with("ETag", as_told(etag, fault)))
    }

    fn upload_part(&mut self, request: &Request, fault: Option<&Fault>) -> Result<Answer, Failed> {
        let id = request.query("uploadId").unwrap_or_default();
        let upload = self.uploads.get_mut(id).filter(|upload| upload.key == request.key);
        let upload = upload.ok_or(NO_UPLOAD)?;
        let number = request.query("partNumber").and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=10_000).contains(number));
        let number = number.ok_or((400, "InvalidArgument"))?;
        check_digests(request)?;
        let etag = etag(&request.body);
        let bytes = as_stored(request.body.clone(), fault);
        upload.parts.insert(number, Part { bytes, etag: etag.clone() });
        Ok(Answer::new(200, "").with("ETag", as_told(etag, fault)))
    }

    fn complete(&mut self, request: &Request) -> Result<Answer, Failed> {
        let id = request.query("uploadId").unwrap_or_default();
        let upload = self.uploads.get(id).filter(|upload| upload.key == request.key);
        let upload = upload.ok_or(NO_UPLOAD)?;
        self.check_conditions(request)?;
        let listed = listed_parts(&String::from_utf8_lossy(&request.body))?;
        let (mut bytes, mut etags) = (Vec::new(), String::new());
        for (position, (number, told)) in listed.iter().enumerate() {
            let stored =
                upload.parts.get(number).filter(|part| part.etag.trim_matches('"') == told);
            let stored = stored.ok_or((400, "InvalidPart"))?;
            if position + 1 < listed.len() && stored.bytes.len() < PART_BYTES_MIN {
                return Err((400, "EntityTooSmall"));
            }
            bytes.extend_from_slice(&stored.bytes);
            etags.push_str(&stored.etag);
        }
        let (hash, count) = (etag(etags.as_bytes()), listed.len());
        let etag = format!("\"{}-{count}\"", hash.trim_matches('"'));
        let upload = self.uploads.remove(id).ok_or(NO_UPLOAD)?;
        let (attributes, modified) = (upload.attributes, Stamp::now());
        let object = Object { bytes, etag: etag.clone(), attributes, modified };
        self.objects.insert(upload.key, object);
        let etag = escape(&etag);
        Ok(xml(format!(
            "<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
        )))
    }

    fn get(&self, request: &Request) -> Result<Answer, Failed> {
        let object = self.objects.get(&request.key).ok_or(NO_KEY)?;
        if request.header("if-match").is_some_and(|etag| etag != "*" && etag != object.etag) {
            return Err(PRECONDITION);
        }
        let unchanged = request.header("if-none-match").is_some_and(|etag| etag == object.etag);
        let whole = 0..object.bytes.len();
        let wanted = match request.header("range") {
            Some(range) => range_of(range, whole.end).ok_or((416, "InvalidRange"))?,
            None => whole.clone(),
        };
        let (status, body) = if unchanged {
            (304, Vec::new())
        } else {
            let status = if request.header("range").is_some() { 206 } else { 200 };
            (status, object.bytes[wanted.clone()].to_vec())
        };
        let mut answer = Answer::new(status, body).with("ETag", &object.etag);
        answer = answer.with("Last-Modified", object.modified.http_date());
        answer = answer.with("Accept-Ranges", "bytes");
        if status == 206 {
            let Range { start, end } = wanted;
            let range = format!("bytes {start}-{}/{}", end.saturating_sub(1), whole.end);
            answer = answer.with("Content-Range", range);
        }
        answer.headers.extend(object.attributes.iter().cloned());
        Ok(answer)
    }

    fn list(&self, request: &Request) -> Answer {
        let query = |name| request.query(name).unwrap_or_default();
        let (prefix, delimiter) = (query("prefix"), query("delimiter"));
        let after = request.query("continuation-token").unwrap_or_else(|| query("start-after"));
        let most = query("max-keys").parse().unwrap_or(LIST_MAX).min(LIST_MAX);
        let name = |text: &str| {
            if query("encoding-type") == "url" { encode(text, true) } else { escape(text) }
        };
        let (mut entries, mut last, mut truncated) = (Vec::new(), String::new(), false);
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let end = if delimiter.is_empty() { None } else { rest.find(delimiter) };
            let shown =
                end.map_or(key.as_str(), |end| &key[..prefix.len() + end + delimiter.len()]);
            if shown <= after || key.as_str() <= after || shown == last {
                continue;
            }
            if entries.len() == most {
                truncated = true;
                break;
            }
            last = shown.to_owned();
            entries.push(match end {
                Some(_) => {
                    format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", name(shown))
                }
                None => format!(
                    "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag>\
                     <Size>{}</Size></Contents>",
                    name(shown),
                    object.modified.iso(),
                    escape(&object.etag),
                    object.bytes.len()
                ),
            });
        }
        let next = if truncated {
            format!("<NextContinuationToken>{}</NextContinuationToken>", escape(&last))
        } else {
            String::new()
        };
        xml(format!(
            "<ListBucketResult><IsTruncated>{truncated}</IsTruncated><KeyCount>{}</KeyCount>{next}{}\
             </ListBucketResult>",
            entries.len(),
            entries.concat()
        ))
    }

    fn list_uploads(&self) -> Answer {
        let entry = |(id, upload): (&String, &Upload)| {
            let key = escape(&upload.key);
            format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
        };
        let uploads: Vec<_> = self.uploads.iter().map(entry).collect();
        let uploads = uploads.concat();
        xml(format!(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{uploads}\
             </ListMultipartUploadsResult>"
        ))
    }

    fn list_parts(&self, request: &Request) -> Result<Answer, Failed> {
        let id = request.query("uploadId").unwrap_or_default();
        let entry = |(number, part): (&u32, &Part)| {
            let (etag, length) = (escape(&part.etag), part.bytes.len());
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{length}</Size></Part>"
            )
        };
        let parts = self.uploads.get(id).ok_or(NO_UPLOAD)?.parts.iter().map(entry);
        let parts = parts.collect::<Vec<_>>().concat();
        Ok(xml(format!(
            "<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>"
        )))
    }
}

/// The numbers and ETags, without quotes, of the parts that a request to complete names.
fn listed_parts(text: &str) -> Result<Vec<(u32, String)>, Failed> {
    let part = |part: &str| {
        let number = elements(part, "PartNumber").first()?.parse().ok()?;
        let etag = elements(part, "ETag").into_iter().next()?;
        Some((number, etag.trim_matches('"').to_owned()))
    };
    let parts: Option<Vec<(u32, String)>> = text.split("<Part>").skip(1).map(part).collect();
    let parts = parts.filter(|parts| !parts.is_empty()).ok_or((400, "MalformedXML"))?;
    let ascend = parts.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if ascend { Ok(parts) } else { Err((400, "InvalidPartOrder")) }
}

/// Bytes as a faulty disk keeps them.
fn as_stored(mut bytes: Vec<u8>, fault: Option<&Fault>) -> Vec<u8> {
    match fault {
        Some(Fault::FlipByte(at)) => {
            if let Some(byte) = bytes.get_mut(*at) {
                *byte = !*byte;
            }
        }
        Some(Fault::Truncate(length)) => bytes.truncate(*length),
        _ => {}
    }
    bytes
}

fn as_told(right: String, fault: Option<&Fault>) -> String {
    if matches!(fault, Some(Fault::WrongETag)) { etag(right.as_bytes()) } else { right }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32])
}

/// Compares what came with the digests that came with it.
fn check_digests(request: &Request) -> Result<(), Failed> {
    let sha256 = || digest::digest(&digest::SHA256, &request.body);
    let declared = request.header("x-amz-checksum-sha256");
    if declared.is_some_and(|declared| declared != STANDARD.encode(sha256().as_ref())) {
        return Err((400, "BadDigest"));
    }
    let signed = request.header("x-amz-content-sha256").filter(|text| text.len() == 64);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if signed.is_some_and(|signed| signed != hex(sha256().as_ref())) {
        return Err((400, "XAmzContentSHA256Mismatch"));
    }
    Ok(())
}

/// The bytes that `bytes=…` asks for of so many; `None` when there are none.
pub(super) fn range_of(header: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return None,
    };
    (range.start < range.end).then_some(range)
}

fn xml(body: String) -> Answer {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    Answer::new(200, body).with("Content-Type", "application/xml")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
