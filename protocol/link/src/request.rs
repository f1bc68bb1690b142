//! Requests: a frame out, frames back, on a stream of their own.

use crate::session::{Session, SessionError};
use quinn::{RecvStream, SendStream};
use serde::{Serialize, de::DeserializeOwned};
use skyspray_wire::frame::{self, LENGTH_BYTES};
use skyspray_wire::message::{Reply, Request};
use skyspray_wire::refusal::Refusal;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// How long a frame may take once its stream is expected to carry one.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// How long an answer may take; a commit of many parts is the longest.
pub const REPLY_DEADLINE: Duration = Duration::from_secs(120);

/// Why a request has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The relay said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The session or stream ended first.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// An answer of another kind than the request has.
    #[error("the answer is not one to this request")]
    Unexpected,
}

/// One request stream, from either end.
#[derive(Debug)]
pub struct Exchange {
    send: SendStream,
    recv: RecvStream,
}

impl Exchange {
    pub(crate) fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv }
    }

    /// Sends one frame.
    ///
    /// # Errors
    ///
    /// The stream or session is gone, or the message is too long for a frame.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), SessionError> {
        let bytes = frame::encode(message).map_err(SessionError::malformed)?;
        self.send.write_all(&bytes).await?;
        Ok(())
    }

    /// States that no more frames follow in this direction.
    pub fn finish(&mut self) {
        // Fails only when the stream is finished or reset already.
        let _ = self.send.finish();
    }

    /// Returns once the peer reads no more of what is sent on this stream: it let go of the stream,
    /// or of the session.
    pub async fn stopped(&mut self) {
        // Why does not matter to those who have nobody to send to.
        let _ = self.send.stopped().await;
    }

    /// Reads the one frame of a request; it must come at once.
    ///
    /// # Errors
    ///
    /// Silence, a broken stream, or bytes that are no such message.
    pub async fn receive_request<T: DeserializeOwned>(&mut self) -> Result<T, SessionError> {
        self.receive_within(FRAME_DEADLINE).await
    }

    /// Reads the next frame of an answer.
    ///
    /// # Errors
    ///
    /// Silence for `deadline`, a broken stream, or bytes that are no such message.
    pub async fn receive_within<T: DeserializeOwned>(
        &mut self,
        deadline: Duration,
    ) -> Result<T, SessionError> {
        timeout(deadline, read_frame(&mut self.recv))
            .await
            .map_err(|_| SessionError::Silent { seconds: deadline.as_secs() })?
    }

    /// Reads the next frame of an answer, however long it takes while the session lives.
    ///
    /// # Errors
    ///
    /// A broken stream or session, or bytes that are no reply.
    pub async fn next_reply(&mut self) -> Result<Reply, RequestError> {
        match read_frame(&mut self.recv).await? {
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }

    /// Reads the next frame of an answer within [`REPLY_DEADLINE`].
    ///
    /// # Errors
    ///
    /// A refusal, silence, a broken stream or session, or bytes that are no reply.
    pub async fn reply(&mut self) -> Result<Reply, RequestError> {
        match self.receive_within(REPLY_DEADLINE).await? {
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }
}

impl Session {
    /// Sends a request; the answer's frames are read from what this returns.
    ///
    /// # Errors
    ///
    /// The session is gone, or the request is too long for a frame.
    pub async fn request(&self, request: &Request) -> Result<Exchange, RequestError> {
        let mut exchange = self.open_request().await?;
        exchange.send(request).await?;
        exchange.finish();
        Ok(exchange)
    }

    /// Sends a request whose answer is one frame.
    ///
    /// # Errors
    ///
    /// As for [`Session::request`] and [`Exchange::reply`].
    pub async fn ask(&self, request: &Request) -> Result<Reply, RequestError> {
        self.request(request).await?.reply().await
    }
}

pub(crate) async fn read_frame<T: DeserializeOwned>(
    recv: &mut RecvStream,
) -> Result<T, SessionError> {
    let mut prefix = [0; LENGTH_BYTES];
    recv.read_exact(&mut prefix).await?;
    let length = frame::decode_length(prefix).map_err(SessionError::malformed)?;
    let mut bytes = vec![0; length];
    recv.read_exact(&mut bytes).await?;
    frame::decode(&bytes).map_err(SessionError::malformed)
}
