//! Bytes of stored files on their way out: in pieces, read on blocking threads one piece ahead, each
//! proved to be of what was asked for before it goes.

use super::error::ApiError;
use crate::catalogue::CatalogueError;
use crate::plane::{Plane, PlaneError, Stat, StoredFile};
use crate::state::Relay;
use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use skyspray_dfu::join::Placed;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{Generation, PartIndex};
use skyspray_wire::name::{LogicalName, PlaneName};
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// Bytes read and sent at once. A response holds three pieces at most: one that is read ahead, one
/// that waits, one that is being sent.
pub(super) const PIECE_BYTES: usize = 512 * 1024;

/// Why bytes cannot be sent. Once the response has begun it is cut off.
#[derive(Debug, Error)]
pub(super) enum ContentFault {
    #[error("what is read was replaced or removed meanwhile")]
    Replaced,
    #[error("it changed on the plane while it was read")]
    Changed,
    #[error("part {part} is not what was committed")]
    Corrupt { part: PartIndex },
    #[error(transparent)]
    Plane(#[from] PlaneError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("reading ended without a result")]
    Lost,
}

impl ContentFault {
    /// What a request is told when nothing was sent yet.
    pub(super) fn before_response(self, plane: PlaneName, name: &str) -> ApiError {
        let name = || name.to_owned();
        match self {
            Self::Replaced => ApiError::BeingReplaced { name: name() },
            Self::Changed => ApiError::Changed { path: name() },
            Self::Corrupt { part } => ApiError::Corrupt { name: name(), part },
            Self::Plane(source) => ApiError::Plane { plane, source },
            Self::Catalogue(error) => error.into(),
            Self::Lost => ApiError::Lost,
        }
    }
}

/// A run of the content.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    /// Bytes that are in no part, and where they stand.
    Added { at: u64, bytes: Bytes },
    /// Bytes of a stored file.
    Stored(Box<Stored>),
}

/// A stored file of which bytes are in the content.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) part: PartIndex,
    pub(super) path: RelPath,
    /// Which of its bytes are in the content, and where.
    pub(super) placed: Placed,
    /// Its length as it was committed.
    pub(super) length: u64,
    /// Its digest, where one was committed; proved whenever all its bytes in the content are sent.
    pub(super) digest: Option<Digest>,
    /// For a file that no generation guards: it must stay what it was when it was opened.
    pub(super) opened: Option<(StoredFile, Stat)>,
}

impl Segment {
    fn range(&self) -> Range<u64> {
        match self {
            Self::Added { at, bytes } => *at..*at + bytes.len() as u64,
            Self::Stored(stored) => {
                let Placed { from, to, at } = stored.placed;
                at..at + (to - from)
            }
        }
    }
}

/// What must still hold when a piece was read, for it to be of what was asked for: a sealed
/// job announces itself in the catalogue before it touches a part of the generation before.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) relay: Arc<Relay>,
    pub(super) plane: PlaneName,
    /// `None` where the open file guards itself.
    pub(super) generation: Option<(LogicalName, Generation)>,
}

impl Guard {
    async fn check(&self) -> Result<(), ContentFault> {
        let Some((name, generation)) = &self.generation else { return Ok(()) };
        let catalogue = &self.relay.catalogue;
        let current = catalogue.current(&self.plane, name).await?;
        let same = current.is_some_and(|record| record.generation == *generation);
        if same && !catalogue.is_being_replaced(&self.plane, name).await? {
            Ok(())
        } else {
            Err(ContentFault::Replaced)
        }
    }
}

/// The pieces of `range`, in order. The first is read at once; the slot is given back at the end.
pub(super) struct Pieces {
    guard: Guard,
    ahead: Option<Ahead>,
    _slot: OwnedSemaphorePermit,
}

type Ahead = JoinHandle<(Worker, Result<Option<Bytes>, ContentFault>)>;

impl Pieces {
    /// Begins to read.
    pub(super) fn start(
        guard: Guard,
        plane: Arc<Plane>,
        (segments, range): (Vec<Segment>, Range<u64>),
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let worker = Worker { plane, segments, range, index: 0, open: None };
        Self { guard, ahead: Some(read_ahead(worker)), _slot: slot }
    }

    /// The next piece; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ContentFault> {
        let Some(ahead) = self.ahead.take() else { return Ok(None) };
        let (worker, read) = ahead.await.map_err(|_| ContentFault::Lost)?;
        let piece = match read {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(None),
            Err(fault) => {
                // A part that is gone is no fault where its generation is.
                self.guard.check().await?;
                return Err(fault);
            }
        };
        self.ahead = Some(read_ahead(worker));
        self.guard.check().await?;
        Ok(Some(piece))
    }

    /// All pieces after `first`, for a response. A fault ends it, and so the connection.
    pub(super) fn into_stream(
        self,
        first: Option<Bytes>,
    ) -> impl Stream<Item = Result<Bytes, ContentFault>> {
        stream::unfold((Some(self), first), |(pieces, first)| async move {
            if let Some(piece) = first {
                return Some((Ok(piece), (pieces, None)));
            }
            let mut pieces = pieces?;
            match pieces.next().await {
                Ok(piece) => piece.map(|piece| (Ok(piece), (Some(pieces), None))),
                Err(fault) => {
                    tracing::warn!(error = &fault as &dyn std::error::Error, "response cut off");
                    Some((Err(fault), (None, None)))
                }
            }
        })
    }
}

fn read_ahead(mut worker: Worker) -> Ahead {
    tokio::task::spawn_blocking(move || {
        let read = worker.next();
        (worker, read)
    })
}

/// Reads pieces in order. Blocks.
struct Worker {
    plane: Arc<Plane>,
    segments: Vec<Segment>,
    /// What is still wanted of the content.
    range: Range<u64>,
    /// The segment that is read.
    index: usize,
    open: Option<OpenPart>,
}

/// The part that is being read.
struct OpenPart {
    file: StoredFile,
    /// What it must stay, where nothing else guards it.
    stat: Option<Stat>,
    /// Bytes of the part that are still to be read.
    left: Range<u64>,
    /// Only where all of the part is read.
    hasher: Option<blake3::Hasher>,
}

impl Worker {
    fn next(&mut self) -> Result<Option<Bytes>, ContentFault> {
        while let Some(segment) = self.segments.get(self.index) {
            let whole = segment.range();
            let wanted = whole.start.max(self.range.start)..whole.end.min(self.range.end);
            if wanted.is_empty() {
                self.index += 1;
                continue;
            }
            match segment {
                Segment::Added { at, bytes } => {
                    let index = |place| usize::try_from(place - at).expect("within few bytes");
                    let piece = bytes.slice(index(wanted.start)..index(wanted.end));
                    self.index += 1;
                    return Ok(Some(piece));
                }
                Segment::Stored(stored) => {
                    let mut part = match self.open.take() {
                        Some(part) => part,
                        None => open(&self.plane, stored, &wanted)?,
                    };
                    let piece = part.read(stored, &wanted)?;
                    if part.left.is_empty() {
                        self.index += 1;
                    } else {
                        self.open = Some(part);
                    }
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn open(plane: &Plane, stored: &Stored, wanted: &Range<u64>) -> Result<OpenPart, ContentFault> {
    let Placed { from, at, .. } = stored.placed;
    let whole = stored.placed.to - from == wanted.end - wanted.start;
    let (file, stat) = match &stored.opened {
        Some((file, stat)) => (file.clone(), Some(*stat)),
        None => {
            let opened = plane.open(&stored.path).map_err(|error| match error {
                PlaneError::Missing { .. } => ContentFault::Corrupt { part: stored.part },
                error => error.into(),
            });
            let file = opened?;
            if file.stat()?.length != stored.length {
                return Err(ContentFault::Corrupt { part: stored.part });
            }
            (file, None)
        }
    };
    let proved = whole && stored.digest.is_some();
    // Header and footer are read as well where that proves the part.
    let left = if proved {
        file.advise_sequential();
        0..stored.length
    } else {
        from + (wanted.start - at)..from + (wanted.end - at)
    };
    Ok(OpenPart { file, stat, left, hasher: proved.then(blake3::Hasher::new) })
}

impl OpenPart {
    /// The next bytes of the part that are wanted; none where they are header or footer.
    fn read(&mut self, stored: &Stored, wanted: &Range<u64>) -> Result<Bytes, ContentFault> {
        let offset = self.left.start;
        let count = usize::try_from(self.left.end - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            let read = self.file.read_at(&mut bytes[filled..], offset + filled as u64)?;
            if read == 0 {
                return Err(ContentFault::Corrupt { part: stored.part });
            }
            filled += read;
        }
        if let Some(stat) = self.stat
            && self.file.stat()? != stat
        {
            return Err(ContentFault::Changed);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        self.left.start += count as u64;
        // The bytes are believed only once the last of them is hashed.
        if self.left.is_empty() {
            self.finish(stored)?;
        }
        let Placed { from, at, .. } = stored.placed;
        let window = from + (wanted.start - at)..from + (wanted.end - at);
        let (start, end) = (window.start.max(offset), window.end.min(offset + count as u64));
        if start >= end {
            return Ok(Bytes::new());
        }
        let index = |place: u64| usize::try_from(place - offset).expect("within a piece");
        Ok(Bytes::from(bytes).slice(index(start)..index(end)))
    }

    fn finish(&self, stored: &Stored) -> Result<(), ContentFault> {
        match (&self.hasher, &stored.digest) {
            (Some(hasher), Some(digest)) if Digest(*hasher.finalize().as_bytes()) != *digest => {
                Err(ContentFault::Corrupt { part: stored.part })
            }
            _ => Ok(()),
        }
    }
}
