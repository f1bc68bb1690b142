//! A client of the relay's HTTP interface that hides nothing: one request, one connection, all that
//! came back.

use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// How long the interface may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Http {
    /// `address:port`.
    pub address: String,
    /// The bearer token; `None` for nobody.
    pub token: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The bytes after the head, as many as came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; `None` without it.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Bytes the head announced.
    ///
    /// # Panics
    ///
    /// When it announced none.
    pub fn announced(&self) -> usize {
        let length = self.header("content-length").expect("the length is announced");
        length.parse().expect("the length is a number")
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        let shown = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", shown()))
    }
}

/// A response of which the body is not read yet.
#[derive(Debug)]
pub struct Begun {
    answer: Answer,
    stream: TcpStream,
}

impl Begun {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// Reads what is left, to the end of the connection however it comes.
    pub fn finish(mut self) -> Answer {
        let mut block = vec![0; 1 << 16];
        // A connection that is cut off is an end like any other: what was announced tells.
        while let Ok(read @ 1..) = self.stream.read(&mut block) {
            self.answer.body.extend_from_slice(&block[..read]);
        }
        self.answer
    }
}

impl Http {
    /// Sends `METHOD path` with these headers and body, and reads the answer.
    ///
    /// # Panics
    ///
    /// When there is no answer in HTTP.
    pub fn send(&self, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.begin(what, headers, body).finish()
    }

    /// As [`Http::send`] for a GET without a body.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(&format!("GET {path}"), headers, b"")
    }

    /// As [`Http::send`], up to the end of the answer's head.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn begin(&self, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Begun {
        let begun = self.try_begin(what, headers, body);
        begun.unwrap_or_else(|error| panic!("{what} at {}: {error}", self.address))
    }

    fn try_begin(&self, what: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Begun> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let mut head =
            format!("{what} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut received = Vec::new();
        let end = loop {
            let mut block = [0; 4096];
            let read = stream.read(&mut block)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            received.extend_from_slice(&block[..read]);
            if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let answer = parse(&received[..end], &received[end + 4..]);
        Ok(Begun { answer: answer.ok_or(io::ErrorKind::InvalidData)?, stream })
    }
}

fn parse(head: &[u8], body: &[u8]) -> Option<Answer> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
    Some(Answer { status, headers, body: body.to_vec() })
}
