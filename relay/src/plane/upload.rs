//! Uploads to object stores, as the catalogue remembers them for whoever goes on with a part.

use super::{PieceId, UploadId};

/// An upload of one part with all that is stored of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upload {
    /// The upload.
    pub id: UploadId,
    /// Its pieces by their numbers, from 0 without gaps: piece `n` is chunk `n` of the part.
    pub pieces: Vec<PieceId>,
}
