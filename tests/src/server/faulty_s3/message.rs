//! Requests as they are read from a connection, and answers as they are written to one.

use std::io::{self, BufRead, Read as _, Write};

/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a request's body, at most.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Empty for the server itself.
    pub(super) bucket: String,
    /// Empty for a bucket.
    pub(super) key: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the client asks nothing more on this connection.
    pub(super) is_last: bool,
}

impl Request {
    /// The value of a query parameter; empty for one without.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        query.find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header, its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The headers that belong to the object.
    pub(super) fn attributes(&self) -> Vec<(String, String)> {
        let of_object = |name: &str| {
            let named = ["content-type", "content-encoding", "cache-control"].contains(&name);
            named || name.starts_with("x-amz-meta-")
        };
        self.headers.iter().filter(|(name, _)| of_object(name)).cloned().collect()
    }

    /// Reads one; `None` when the client has closed the connection.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let bad = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut head = from.by_ref().take(HEAD_BYTES_MAX);
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(bad("no request line"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.strip_prefix('/').ok_or_else(|| bad("no path"))?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        let mut request = Self {
            method: method.to_owned(),
            bucket: decode(bucket),
            key: decode(key),
            query: pairs.collect(),
            is_last: words.next() == Some("HTTP/1.0"),
            ..Self::default()
        };
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Err(bad("the head does not end"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad("no header"))?;
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let close = request.header("connection") == Some("close");
        request.is_last |= close;
        if request.header("transfer-encoding").is_some() {
            return Err(bad("bodies have a length here"));
        }
        let length = request.header("content-length").unwrap_or("0");
        let length: u64 = length.parse().map_err(|_| bad("no content length"))?;
        if length > BODY_BYTES_MAX {
            return Err(bad("the body is too long"));
        }
        from.by_ref().take(length).read_to_end(&mut request.body)?;
        if request.body.len() as u64 != length {
            return Err(bad("the body is cut"));
        }
        Ok(Some(request))
    }
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// An answer with a body of its own or none.
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// A failure in the words of S3.
    pub(super) fn failure(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>{code}</Message></Error>"
        );
        Self::new(status, body).with("Content-Type", "application/xml")
    }

    /// With one more header.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Writes it. The answer to HEAD has the length of a body that does not come; of any other,
    /// `body_bytes_max` of the body come at most.
    pub(super) fn write(
        &self,
        to: &mut impl Write,
        is_head: bool,
        body_bytes_max: usize,
    ) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} \r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 && self.status != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        to.write_all(head.as_bytes())?;
        if !is_head {
            to.write_all(&self.body[..self.body.len().min(body_bytes_max)])?;
        }
        to.flush()
    }
}

/// Undoes percent-encoding.
pub(super) fn decode(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
        match (bytes[at], pair) {
            (b'%', (Some(high), Some(low))) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two digits are one byte"));
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
