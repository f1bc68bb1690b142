//! Access to an S3 server that does not go through the product: to prepare buckets and to look at
//! what was stored.

use super::http::{Endpoint, Request, Response};
use super::time::Stamp;
use crate::error::HarnessError;
use ring::{digest, hmac};
use std::fmt::{self, Write as _};

/// The region test servers are in.
pub const REGION: &str = "us-east-1";

/// An account at a server.
#[derive(Clone)]
pub struct S3 {
    endpoint: Endpoint,
    access_key: String,
    secret_key: String,
    ca_pem: Option<String>,
}

/// A multipart upload that was neither completed nor aborted.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OpenUpload {
    /// The key of the object it would become.
    pub key: String,
    /// Its id.
    pub upload: String,
}

impl S3 {
    pub(super) fn new(
        endpoint: Endpoint,
        (access, secret): (&str, &str),
        ca: Option<&str>,
    ) -> Self {
        let (access_key, secret_key) = (access.to_owned(), secret.to_owned());
        Self { endpoint, access_key, secret_key, ca_pem: ca.map(str::to_owned) }
    }

    /// The URL of the server; buckets are its paths.
    pub fn endpoint(&self) -> String {
        self.endpoint.url()
    }

    /// The id of the key.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The secret of the key.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// The same server with the key of another account.
    #[must_use]
    pub fn with_key_of(&self, other: &Self) -> Self {
        let (access_key, secret_key) = (other.access_key.clone(), other.secret_key.clone());
        Self { access_key, secret_key, ..self.clone() }
    }

    /// The certificate of the CA to trust, PEM, where the server speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Makes a bucket.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn create_bucket(&self, bucket: &str) -> Result<(), HarnessError> {
        self.expect("PUT", &format!("/{bucket}"), &[], b"").map(drop)
    }

    /// Stores an object.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) -> Result<(), HarnessError> {
        self.expect("PUT", &format!("/{bucket}/{key}"), &[], body).map(drop)
    }

    /// The bytes of an object; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, HarnessError> {
        match self.request("GET", &format!("/{bucket}/{key}"), &[], b"")? {
            response if response.status == 404 => Ok(None),
            response => done("GET", key, response).map(|response| Some(response.body)),
        }
    }

    /// Removes an object.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<(), HarnessError> {
        self.expect("DELETE", &format!("/{bucket}/{key}"), &[], b"").map(drop)
    }

    /// The keys that begin with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, HarnessError> {
        let mut keys = Vec::new();
        let mut after = String::new();
        loop {
            let query = [("list-type", "2"), ("prefix", prefix), ("start-after", &after)];
            let text = self.expect("GET", &format!("/{bucket}"), &query, b"")?.text();
            keys.extend(elements(&text, "Key"));
            match keys.last() {
                Some(last)
                    if elements(&text, "IsTruncated").first().is_some_and(|t| t == "true") =>
                {
                    after.clone_from(last);
                }
                _ => return Ok(keys),
            }
        }
    }

    /// The multipart uploads that are open, at most 1000, in order of key and id.
    ///
    /// # Errors
    ///
    /// The server refuses or is not reached.
    pub fn open_uploads(&self, bucket: &str) -> Result<Vec<OpenUpload>, HarnessError> {
        let text = self.expect("GET", &format!("/{bucket}"), &[("uploads", "")], b"")?.text();
        let uploads = text.split("<Upload>").skip(1).filter_map(|upload| {
            let first = |name| elements(upload, name).into_iter().next();
            Some(OpenUpload { key: first("Key")?, upload: first("UploadId")? })
        });
        let mut uploads: Vec<_> = uploads.collect();
        uploads.sort();
        Ok(uploads)
    }

    fn expect(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HarnessError> {
        done(method, path, self.request(method, path, query, body)?)
    }

    /// Sends a signed request for a path that is not yet encoded, and hands on any answer.
    ///
    /// # Errors
    ///
    /// The server is not reached.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HarnessError> {
        let stamp = Stamp::now();
        let path = encode(path, true);
        let mut pairs: Vec<_> =
            query.iter().map(|(name, value)| (encode(name, false), encode(value, false))).collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = pairs.join("&");
        let hash = hex(digest::digest(&digest::SHA256, body).as_ref());
        let (host, time) = (self.endpoint.authority(), stamp.amz_time());
        let signed = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{hash}\n\
             x-amz-date:{time}\n\n{signed}\n{hash}"
        );
        let scope = format!("{}/{REGION}/s3/aws4_request", stamp.amz_date());
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
        let signature = hex(&self.sign(&stamp.amz_date(), &text));
        let key = &self.access_key;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, \
             Signature={signature}"
        );
        let headers = vec![
            ("Authorization", authorization),
            ("x-amz-content-sha256", hash),
            ("x-amz-date", time),
        ];
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        self.endpoint.send(&Request { method, target: &target, headers, body })
    }

    fn sign(&self, date: &str, text: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.secret_key).into_bytes();
        [date, REGION, "s3", "aws4_request", text]
            .iter()
            .fold(first, |key, word| mac(&key, word.as_bytes()))
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.endpoint();
        f.debug_struct("S3").field("endpoint", &url).finish_non_exhaustive()
    }
}

pub(super) fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// A response that is a success.
pub(super) fn done(method: &str, path: &str, response: Response) -> Result<Response, HarnessError> {
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let request = format!("{method} {path}");
    Err(HarnessError::Answered { request, status: response.status, body: response.text() })
}

/// Percent-encodes all but the unreserved characters, and slashes where they part a path.
pub(super) fn encode(text: &str, path: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (path && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The texts of the elements of this name.
pub(super) fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let texts = xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next());
    texts.map(unescape).collect()
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_read_back() {
        assert_eq!(encode("/a b/ü%", true), "/a%20b/%C3%BC%25");
        assert_eq!(encode("a/b", false), "a%2Fb");
        assert_eq!(elements("<Key>a&amp;b</Key><Key>c</Key>", "Key"), ["a&b", "c"]);
    }

    #[test]
    fn secrets_do_not_show() {
        let account = S3::new(Endpoint::new(1, None).unwrap(), ("id", "secret-word"), None);
        assert!(!format!("{account:?}").contains("secret-word"));
    }
}
