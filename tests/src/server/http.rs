//! A blocking HTTP client for what the harness itself asks of its servers: one request a
//! connection, on the loopback address, over TLS where the server wants it.

use super::ca::TestCa;
use crate::error::HarnessError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long one read or write may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server listens, and whom to trust there.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// What to ask.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// Path and query, encoded.
    pub(super) target: &'a str,
    /// Headers beside `Host` and `Content-Length`.
    pub(super) headers: Vec<(&'a str, String)>,
    /// The body.
    pub(super) body: &'a [u8],
}

/// What was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Endpoint {
    /// A server on this port of the loopback address; with `ca`, over TLS.
    pub(super) fn new(port: u16, ca: Option<&TestCa>) -> Result<Self, HarnessError> {
        let tls = ca.map(client).transpose()?;
        Ok(Self { port, tls: tls.map(Arc::new) })
    }

    /// `127.0.0.1:port`, as the `Host` header has it.
    pub(super) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL, without a path.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Sends a request; a server that cannot be reached is an error, any status is not.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Response, HarnessError> {
        self.exchange(request).map_err(|error| HarnessError::Answered {
            request: format!("{} {}", request.method, request.target),
            status: 0,
            body: error.to_string(),
        })
    }

    fn exchange(&self, request: &Request<'_>) -> io::Result<Response> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // With HTTP/1.0 the end of the connection ends the answer.
        let mut head = format!("{} {} HTTP/1.0\r\n", request.method, request.target);
        let _ = write!(head, "Host: {}\r\n", self.authority());
        for (name, value) in &request.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", request.body.len());
        let answer = match &self.tls {
            None => converse(stream, &head, request.body)?,
            Some(config) => {
                let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
                let session = ClientConnection::new(Arc::clone(config), name);
                let session = session.map_err(io::Error::other)?;
                converse(StreamOwned::new(session, stream), &head, request.body)?
            }
        };
        parse(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
    }
}

fn converse(mut stream: impl Read + Write, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A TLS server may close without its goodbye; the length says whether all came.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

/// Takes an answer apart; `None` when it is cut short or is none.
fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let response = Response { status, headers, body: answer[end + 4..].to_vec() };
    let length = response.header("content-length").and_then(|value| value.parse::<usize>().ok());
    // An answer to HEAD has the length of what it does not bring.
    let whole =
        length.is_none_or(|length| response.body.is_empty() || response.body.len() == length);
    whole.then_some(response)
}

fn client(ca: &TestCa) -> Result<ClientConfig, HarnessError> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(ca.pem().as_bytes());
    roots.add(certificate.expect("the CA wrote its own PEM")).map_err(HarnessError::Tls)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(HarnessError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
