//! Uploads that a bucket holds open for one key: the one thing the client crate cannot ask for.

use super::bucket::{Ask, Bucket, UploadId};
use super::error::{BucketAction, BucketDetail, BucketError};
use super::store::Store;
use super::transport::Connector;
use crate::config::{ObjectKind, ObjectSettings};
use futures_util::StreamExt as _;
use object_store::ClientOptions;
use object_store::aws::AwsAuthorizer;
use object_store::client::{
    HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, HttpResponseBody,
};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use thiserror::Error;

/// How a bucket is asked for its open uploads.
pub(super) struct UploadListing {
    client: HttpClient,
    /// URL of the bucket, without a slash at its end.
    url: String,
    region: String,
}

impl UploadListing {
    /// `None` for a kind of store whose uploads have no names.
    pub(super) fn open(
        settings: &ObjectSettings,
        bucket: &str,
        connector: &Connector,
    ) -> Result<Option<Self>, BucketDetail> {
        let url = match settings.kind {
            ObjectKind::Azure => return Ok(None),
            ObjectKind::S3 => s3_url(settings, bucket),
            ObjectKind::Gcs => {
                let base = settings.endpoint.as_deref().unwrap_or(GCS_ENDPOINT);
                format!("{base}/{bucket}")
            }
        };
        let options = ClientOptions::new().with_allow_http(settings.allow_http);
        let client = connector.connect(&options).map_err(|_| BucketDetail::Client)?;
        Ok(Some(Self { client, url, region: settings.region.clone() }))
    }

    async fn ask(&self, store: &Store, key: &str) -> object_store::Result<Vec<UploadId>> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        // Keys that begin with this one follow it, so the first page holds all of its uploads.
        let url = format!("{}?max-uploads=1000&prefix={}&uploads=", self.url, encoded(key));
        *request.uri_mut() = url.parse().map_err(|_| failed(ListingFault::Url))?;
        match store {
            Store::S3(s3) => {
                let credential = s3.credentials().get_credential().await?;
                AwsAuthorizer::new(&credential, "s3", &self.region)
                    .try_authorize(&mut request, None)?;
            }
            Store::Gcs(gcs) => {
                let credential = gcs.credentials().get_credential().await?;
                let bearer = HeaderValue::from_str(&format!("Bearer {}", credential.bearer));
                let mut bearer = bearer.map_err(|_| failed(ListingFault::Url))?;
                bearer.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, bearer);
            }
            Store::Azure(_) => return Ok(Vec::new()),
        }
        let response = self.client.execute(request).await;
        let response = response.map_err(|error| object_store::Error::Generic {
            store: "listing",
            source: Box::new(error),
        })?;
        let status = response.status();
        if !status.is_success() {
            return Err(failed(ListingFault::Status { status: status.as_u16() }));
        }
        let text = whole(response.into_body()).await.map_err(failed)?;
        parse(&text, key).ok_or_else(|| failed(ListingFault::Form))
    }
}

impl Bucket {
    /// The uploads to exactly `key` that the store holds open, whoever began them. Always empty on
    /// Azure, whose uploads have no names.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(in crate::plane) async fn open_uploads(
        &self,
        key: &str,
    ) -> Result<Vec<UploadId>, BucketError> {
        let Some(listing) = &self.inner.listing else { return Ok(Vec::new()) };
        self.run(Ask::of(BucketAction::List, key), || listing.ask(&self.inner.store, key)).await
    }
}

/// Why a list of uploads is of no use. Nothing of what a store wrote is in it.
#[derive(Debug, Error)]
enum ListingFault {
    #[error("the list of uploads has no usable address")]
    Url,
    #[error("the list of uploads is answered with {status}")]
    Status { status: u16 },
    #[error("the list of uploads breaks off")]
    Broken,
    #[error("the list of uploads is longer than {ANSWER_BYTES_MAX} bytes")]
    Long,
    #[error("the list of uploads is not in the form of S3")]
    Form,
}

fn failed(fault: ListingFault) -> object_store::Error {
    object_store::Error::Generic { store: "listing", source: Box::new(fault) }
}

fn s3_url(settings: &ObjectSettings, bucket: &str) -> String {
    let endpoint = settings.endpoint.clone();
    let endpoint =
        endpoint.unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", settings.region));
    match endpoint.split_once("://") {
        Some((scheme, host)) if !settings.path_style => format!("{scheme}://{bucket}.{host}"),
        _ => format!("{endpoint}/{bucket}"),
    }
}

/// Percent-encoded as signatures want it: everything but letters, digits and `-._~`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

async fn whole(body: HttpResponseBody) -> Result<String, ListingFault> {
    let mut stream = body.bytes_stream();
    let mut text = Vec::new();
    while let Some(bytes) = stream.next().await {
        text.extend_from_slice(&bytes.map_err(|_| ListingFault::Broken)?);
        if text.len() > ANSWER_BYTES_MAX {
            return Err(ListingFault::Long);
        }
    }
    String::from_utf8(text).map_err(|_| ListingFault::Form)
}

/// The uploads of `key` in a `ListMultipartUploadsResult`; `None` for anything else.
fn parse(text: &str, key: &str) -> Option<Vec<UploadId>> {
    let mut reader = Reader::from_str(text);
    let mut list = List::default();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => list.enter(start.local_name().as_ref()),
            Event::Text(text) => list.text(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => list.text(character.encode_utf8(&mut [0; 4])),
                None => list.text(resolve_predefined_entity(&reference)?),
            },
            Event::End(_) => list.leave(key),
            Event::Eof => return list.is_one.then_some(list.uploads),
            _ => {}
        }
    }
}

/// A list of uploads while it is read.
#[derive(Debug, Default)]
struct List {
    is_one: bool,
    /// Elements around the next text.
    path: Vec<String>,
    key: String,
    id: String,
    uploads: Vec<UploadId>,
}

impl List {
    fn enter(&mut self, name: &str) {
        self.is_one |= self.path.is_empty() && name == "ListMultipartUploadsResult";
        if name == "Upload" {
            self.key.clear();
            self.id.clear();
        }
        self.path.push(name.to_owned());
    }

    fn text(&mut self, text: &str) {
        let mut innermost = self.path.iter().rev().map(String::as_str);
        match (innermost.next(), innermost.next()) {
            (Some("Key"), Some("Upload")) => self.key.push_str(text),
            (Some("UploadId"), Some("Upload")) => self.id.push_str(text),
            _ => {}
        }
    }

    fn leave(&mut self, key: &str) {
        if self.path.pop().as_deref() == Some("Upload") && self.key == key {
            self.uploads.push(UploadId(self.id.clone()));
        }
    }
}

/// Where Google keeps buckets.
const GCS_ENDPOINT: &str = "https://storage.googleapis.com";

/// Longest list that is read; 1,000 uploads with long keys have less.
const ANSWER_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uploads_of_the_key_itself_are_taken_from_a_list() {
        let list = r#"<?xml version="1.0"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><Prefix>a&amp;b</Prefix><IsTruncated>false</IsTruncated>
              <Upload><Key>a&amp;b</Key><UploadId>one</UploadId><Owner><ID>x</ID></Owner></Upload>
              <Upload><UploadId>tw&#111;</UploadId><Key>a&#38;b</Key></Upload>
              <Upload><Key>a&amp;bc</Key><UploadId>other</UploadId></Upload>
            </ListMultipartUploadsResult>"#;

        let found = parse(list, "a&b").unwrap();

        assert_eq!(found, [UploadId("one".into()), UploadId("two".into())]);
        assert_eq!(parse(list, "z"), Some(Vec::new()));
        assert_eq!(parse("<Error><Code>NoSuchBucket</Code></Error>", "a&b"), None);
        assert_eq!(parse("not xml <", "a&b"), None);
    }

    #[test]
    fn a_key_is_encoded_byte_by_byte() {
        assert_eq!(encoded("a/ü b~1.x"), "a%2F%C3%BC%20b~1.x");
    }
}
