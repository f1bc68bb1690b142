//! The files of sources that are open at the moment: few, however many sources there are.

use skyspray_link::seam::files::File;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that sources found together keep open: more than a command reads side by side, and far
/// below what a process may open.
pub(super) const OPEN_MAX: usize = 16;

/// Open files by the numbers of their sources, the one opened last at the end.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    // Sources share it on whatever thread they are read; never held while the host is asked.
    files: Mutex<VecDeque<(usize, Arc<dyn File>)>>,
}

impl OpenFiles {
    pub(super) fn find(&self, number: usize) -> Option<Arc<dyn File>> {
        let files = self.files();
        files.iter().find(|(open, _)| *open == number).map(|(_, file)| file.clone())
    }

    /// Keeps a file open, in place of the one opened first when there are too many.
    pub(super) fn keep(&self, number: usize, file: Arc<dyn File>) {
        let mut files = self.files();
        files.push_back((number, file));
        if files.len() > OPEN_MAX {
            files.pop_front();
        }
    }

    pub(super) fn close(&self, number: usize) {
        self.files().retain(|(open, _)| *open != number);
    }

    fn files(&self) -> MutexGuard<'_, VecDeque<(usize, Arc<dyn File>)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
