//! What the parts of a new logical file are made of: those of another one, or files of a plane.

use super::error::CopyError;
use super::original::{Ended, Original, Read};
use super::sources::Sources;
use crate::catalogue::Catalogue;
use skyspray_dfu::split::SplitError;
use skyspray_link::seam::files::BufferPool;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// What is read.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// A logical file, part by part.
    Original(Arc<Original>),
    /// Files of a plane, one after the other.
    Sources(Arc<Sources>),
}

impl Input {
    /// Reads everything once and says what it finds; what was read is proved only by its `End`.
    /// Blocks.
    pub(super) fn read(&self, pool: &BufferPool, out: &SyncSender<Read>) -> Result<(), Ended> {
        match self {
            Self::Original(original) => original.read(pool, out),
            Self::Sources(sources) => sources.read(pool, out),
        }
    }

    /// What is told of records that are not what they should be.
    pub(super) fn records(&self, source: SplitError) -> CopyError {
        match self {
            Self::Original(original) => CopyError::Records { name: original.shown(), source },
            Self::Sources(sources) => sources.records(source).into(),
        }
    }

    /// That what was read still stands for what it was read as.
    ///
    /// # Errors
    ///
    /// [`CopyError::Replaced`], or the catalogue failed.
    pub(super) async fn recheck(&self, catalogue: &Catalogue) -> Result<(), CopyError> {
        match self {
            Self::Original(original) if !original.is_current(catalogue).await? => {
                Err(CopyError::Replaced { name: original.shown() })
            }
            // Each file was looked at again when its last byte was read.
            Self::Original(_) | Self::Sources(_) => Ok(()),
        }
    }
}
