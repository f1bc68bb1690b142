//! Copies that the store makes by itself, from a bucket its credential may read: no byte passes
//! through here.

use super::bucket::{Ask, Bucket, ObjectTag, PieceId, UploadId};
use super::error::{BucketAction, BucketError, BucketFault};
use super::signed::{AnswerFault, Question, Said, encoded, encoded_path, failed};
use super::transport::{ASSEMBLY_GRACE, at_floor};
use crate::config::ObjectKind;
use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::Event;
use reqwest::Method;
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// How much is copied in one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopySizes {
    /// Largest object that is copied as a whole, in bytes; S3 and Google copy 5 GiB.
    pub(super) whole_bytes_max: u64,
    /// Bytes of each piece of a larger one but the last, where they are few enough.
    pub(super) piece_bytes: u64,
}

impl Default for CopySizes {
    fn default() -> Self {
        Self { whole_bytes_max: 5 << 30, piece_bytes: 256 << 20 }
    }
}

/// An object that is copied.
#[derive(Clone, Copy, Debug)]
pub(in crate::plane) struct CopyOf<'a> {
    pub(in crate::plane) bucket: &'a Bucket,
    pub(in crate::plane) key: &'a str,
    /// Its length in bytes.
    pub(in crate::plane) length: u64,
    /// The tag it had when it was looked at: with another content it is not copied, where the store
    /// keeps such conditions.
    pub(in crate::plane) tag: Option<&'a ObjectTag>,
}

impl Bucket {
    /// Copies an object within the bucket, and replaces what is at `to`.
    ///
    /// # Errors
    ///
    /// As for [`Bucket::copy_from`].
    pub(in crate::plane) async fn copy(&self, from: &str, to: &str) -> Result<(), BucketError> {
        let found = self.stat(from).await?;
        let tag = found.tag.as_ref();
        self.copy_from(CopyOf { bucket: self, key: from, length: found.length, tag }, to).await
    }

    /// Copies an object as a whole, and replaces what is at `to`.
    ///
    /// # Errors
    ///
    /// The store's. [`BucketFault::NotSupported`] where [`Bucket::copies_from`] says so;
    /// [`BucketFault::TooLarge`] above [`super::bucket::BucketLimits::copy_bytes_max`] where there
    /// is another way, [`Bucket::copy_piece`]; [`BucketFault::Changed`] when the object has another
    /// tag; [`BucketFault::Denied`] and [`BucketFault::Forbidden`] when the credential of this
    /// bucket may not read the other.
    pub(in crate::plane) async fn copy_from(
        &self,
        from: CopyOf<'_>,
        to: &str,
    ) -> Result<(), BucketError> {
        let ask = Ask::of(BucketAction::Copy, from.key);
        self.path(ask)?;
        self.path(Ask::of(BucketAction::Copy, to))?;
        if !self.copies_from(from.bucket) {
            return Err(self.error(ask, BucketFault::NotSupported));
        }
        let large = from.length > self.limits().copy_bytes_max;
        match self.inner.kind {
            ObjectKind::S3 if large => Err(self.error(ask, BucketFault::TooLarge)),
            ObjectKind::S3 => self.copy_s3(from, to).await,
            ObjectKind::Azure => self.copy_azure(from, to).await,
            ObjectKind::Gcs if large => self.rewrite(from, to).await,
            ObjectKind::Gcs => self.copy_gcs(from, to).await,
        }
    }

    /// Whether [`Bucket::copy_from`] can copy from the bucket `source`, as far as is known without
    /// asking the store: both are of one service and, on Azure, of one account.
    pub(in crate::plane) fn copies_from(&self, source: &Bucket) -> bool {
        let (own, other) = (&*self.inner, &*source.inner);
        own.kind == other.kind && own.service == other.service
    }

    /// What is said of an object that has another tag than when it was committed.
    pub(in crate::plane) fn changed(&self, key: &str) -> BucketError {
        self.error(Ask::of(BucketAction::Copy, key), BucketFault::Changed)
    }

    /// Whether objects too large for one request can be copied by [`Bucket::copy_piece`].
    pub(in crate::plane) fn copies_pieces(&self) -> bool {
        self.inner.kind == ObjectKind::S3
    }

    /// The pieces in which an object of `length` bytes is copied, in order: few enough for one
    /// upload.
    pub(in crate::plane) fn copied_pieces(&self, length: u64) -> Vec<Range<u64>> {
        let fewest = length.div_ceil(u64::from(self.limits().pieces_max));
        let piece = self.inner.copies.piece_bytes.max(fewest).max(1);
        let starts = (0..length.div_ceil(piece)).map(|index| index * piece);
        starts.map(|start| start..(start + piece).min(length)).collect()
    }

    /// Copies a run of an object as the piece `index` (from 0) of an upload to `to`.
    ///
    /// # Errors
    ///
    /// As for [`Bucket::copy_from`] and [`Bucket::put_piece`].
    pub(in crate::plane) async fn copy_piece(
        &self,
        (from, range): (CopyOf<'_>, Range<u64>),
        (to, upload): (&str, &UploadId),
        index: u32,
    ) -> Result<PieceId, BucketError> {
        let ask = Ask::of(BucketAction::Copy, from.key);
        let number = index + 1;
        let url = format!(
            "{}?partNumber={number}&uploadId={}",
            self.inner.signed.object(to),
            encoded(&upload.0)
        );
        let mut headers = from.s3_headers();
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        headers.push(("x-amz-copy-source-range", range));
        let question = Question { method: Method::PUT, url, headers };
        let copy = || async {
            let said = self.inner.signed.ask(&self.inner.store, &question).await?;
            receipt(&said.text).ok_or_else(|| failed(AnswerFault::Form))
        };
        self.run(ask, copy).await
    }

    async fn copy_s3(&self, from: CopyOf<'_>, to: &str) -> Result<(), BucketError> {
        let url = self.inner.signed.object(to);
        let question = Question { method: Method::PUT, url, headers: from.s3_headers() };
        let copy = || async {
            let said = self.inner.signed.ask(&self.inner.store, &question).await?;
            let copied = elements(&said.text, "CopyObjectResult", ["ETag"]);
            copied.map(drop).ok_or_else(|| failed(AnswerFault::Form))
        };
        self.run(Ask::of(BucketAction::Copy, from.key), copy).await
    }

    async fn copy_gcs(&self, from: CopyOf<'_>, to: &str) -> Result<(), BucketError> {
        let url = self.inner.signed.object(to);
        let mut headers = vec![("x-goog-copy-source", from.path())];
        headers.extend(from.tag.map(|tag| ("x-goog-copy-source-if-match", tag.quoted())));
        let question = Question { method: Method::PUT, url, headers };
        let copy = || async { self.inner.signed.ask(&self.inner.store, &question).await.map(drop) };
        self.run(Ask::of(BucketAction::Copy, from.key), copy).await
    }

    /// Has Google copy an object in steps, each of which goes on where the last one ended.
    async fn rewrite(&self, from: CopyOf<'_>, to: &str) -> Result<(), BucketError> {
        let ask = Ask::of(BucketAction::Copy, from.key);
        let begun = format!(
            "{}/storage/v1/b/{}/o/{}/rewriteTo/b/{}/o/{}",
            self.inner.signed.service(),
            from.bucket.name(),
            encoded(from.key),
            self.name(),
            encoded(to)
        );
        let deadline = Instant::now() + ASSEMBLY_GRACE + at_floor(from.length);
        let mut url = begun.clone();
        loop {
            let question = Question { method: Method::POST, url, headers: Vec::new() };
            let step = || async {
                let said = self.inner.signed.ask(&self.inner.store, &question).await?;
                serde_json::from_str(&said.text).map_err(|_| failed(AnswerFault::Form))
            };
            match self.run(ask, step).await? {
                Rewritten { done: true, .. } => return Ok(()),
                Rewritten { rewrite_token: Some(token), .. } if Instant::now() < deadline => {
                    url = format!("{begun}?rewriteToken={}", encoded(&token));
                }
                Rewritten { rewrite_token: Some(_), .. } => {
                    return Err(self.error(ask, BucketFault::Unavailable));
                }
                Rewritten { rewrite_token: None, .. } => {
                    return Err(self.error(ask, BucketFault::Corrupt));
                }
            }
        }
    }

    /// Azure may copy after it has answered, and says at the copy how far it is.
    async fn copy_azure(&self, from: CopyOf<'_>, to: &str) -> Result<(), BucketError> {
        let ask = Ask::of(BucketAction::Copy, from.key);
        let url = self.inner.signed.object(to);
        let copy = || async {
            let source = from.bucket.inner.signed.object(from.key);
            let source = from.bucket.inner.store.as_source(source).await?;
            let mut headers = vec![("x-ms-copy-source", source)];
            headers.extend(from.tag.map(|tag| ("x-ms-source-if-match", tag.quoted())));
            let question = Question { method: Method::PUT, url: url.clone(), headers };
            self.inner.signed.ask(&self.inner.store, &question).await
        };
        let mut said = self.run(ask, copy).await?;
        let Some(id) = header(&said, COPY_ID) else {
            return Err(self.error(ask, BucketFault::Corrupt));
        };
        let deadline = Instant::now() + ASSEMBLY_GRACE + at_floor(from.length);
        let mut pause = Duration::from_millis(50);
        let question = Question { method: Method::HEAD, url: url.clone(), headers: Vec::new() };
        loop {
            match header(&said, "x-ms-copy-status").as_deref() {
                // Somebody else copies or has written there meanwhile.
                _ if header(&said, COPY_ID).as_ref() != Some(&id) => {
                    return Err(self.error(ask, BucketFault::Changed));
                }
                Some("success") => return Ok(()),
                Some("pending") if Instant::now() < deadline => {}
                Some("failed" | "aborted" | "pending") => {
                    return Err(self.error(ask, BucketFault::Unavailable));
                }
                _ => return Err(self.error(ask, BucketFault::Corrupt)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
            let look = || self.inner.signed.ask(&self.inner.store, &question);
            said = self.run(ask, look).await?;
        }
    }

    /// The same with other sizes than those of the real stores.
    #[cfg(test)]
    pub(in crate::plane) fn copying(self, whole_bytes_max: u64, piece_bytes: u64) -> Self {
        let inner = std::sync::Arc::into_inner(self.inner);
        let mut inner = inner.expect("nobody shares a bucket that was just opened");
        inner.copies = CopySizes { whole_bytes_max, piece_bytes };
        Self { inner: std::sync::Arc::new(inner) }
    }
}

impl CopyOf<'_> {
    /// `/bucket/key`, encoded.
    fn path(&self) -> String {
        format!("/{}/{}", self.bucket.name(), encoded_path(self.key))
    }

    fn s3_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-amz-copy-source", self.path())];
        headers.extend(self.tag.map(|tag| ("x-amz-copy-source-if-match", tag.quoted())));
        headers
    }
}

/// How far Google is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rewritten {
    done: bool,
    rewrite_token: Option<String>,
}

fn header(said: &Said, name: &str) -> Option<String> {
    Some(said.headers.get(name)?.to_str().ok()?.to_owned())
}

/// The receipt for a piece that was copied, in the form that the client crate completes uploads with.
fn receipt(text: &str) -> Option<PieceId> {
    let names = ["ETag", "ChecksumSHA256", "ChecksumCRC64NVME"];
    let [tag, sha256, crc64] = elements(text, "CopyPartResult", names)?;
    let tag = tag?;
    if sha256.is_none() && crc64.is_none() {
        return Some(PieceId(tag));
    }
    let fields = [("e_tag", Some(tag)), ("checksum_sha256", sha256), ("checksum_crc64nvme", crc64)];
    let fields = fields.iter().filter_map(|(name, value)| {
        Some(format!("<{name}>{}</{name}>", escape(value.as_deref()?)))
    });
    Some(PieceId(format!("<PartMetadata>{}</PartMetadata>", fields.collect::<String>())))
}

/// The texts of elements of a document that is a `root`; `None` for any other.
fn elements<const N: usize>(
    text: &str,
    root: &str,
    names: [&str; N],
) -> Option<[Option<String>; N]> {
    let mut reader = Reader::from_str(text);
    let (mut path, mut is_one): (Vec<String>, bool) = (Vec::new(), false);
    let mut found = [const { None }; N];
    loop {
        let more = match reader.read_event().ok()? {
            Event::Start(start) => {
                let name = start.local_name();
                is_one |= path.is_empty() && name.as_ref() == root;
                path.push(name.as_ref().to_owned());
                continue;
            }
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::Text(text) => text.to_string(),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => character.to_string(),
                None => resolve_predefined_entity(&reference)?.to_owned(),
            },
            Event::Eof => return is_one.then_some(found),
            _ => continue,
        };
        if let [_, name] = &path[..]
            && let Some(at) = names.iter().position(|wanted| wanted == name)
        {
            found[at].get_or_insert_with(String::new).push_str(&more);
        }
    }
}

/// Azure's name for a copy, at the answer that begins it and at the object that it makes.
const COPY_ID: &str = "x-ms-copy-id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_of_a_copied_piece_has_what_completing_needs() {
        let plain = "<?xml version=\"1.0\"?><CopyPartResult xmlns=\"x\"><LastModified>t\
                     </LastModified><ETag>&quot;a&#45;1&quot;</ETag></CopyPartResult>";
        assert_eq!(receipt(plain), Some(PieceId("\"a-1\"".to_owned())));
        let checked = "<CopyPartResult><ETag>\"a\"</ETag><ChecksumCRC64NVME>c=</ChecksumCRC64NVME>\
                       </CopyPartResult>";
        let expected = "<PartMetadata><e_tag>&quot;a&quot;</e_tag><checksum_crc64nvme>c=\
                        </checksum_crc64nvme></PartMetadata>";
        assert_eq!(receipt(checked), Some(PieceId(expected.to_owned())));
        assert_eq!(receipt("<CopyPartResult></CopyPartResult>"), None);
        assert_eq!(receipt("<Other><ETag>a</ETag></Other>"), None);
        assert_eq!(receipt("no xml <"), None);
    }
}
