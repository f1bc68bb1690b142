//! What goes wrong next, and what was asked so far.

use crate::wait::PATIENCE;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A kind of request.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Operation {
    /// Make a bucket.
    CreateBucket,
    /// Look whether there is a bucket.
    HeadBucket,
    /// Remove a bucket.
    DeleteBucket,
    /// List objects.
    List,
    /// List open uploads.
    ListUploads,
    /// List the parts of an upload.
    ListParts,
    /// Store an object in one request.
    Put,
    /// Copy an object.
    Copy,
    /// Read an object or a range of one.
    Get,
    /// Look at an object.
    Head,
    /// Remove an object.
    Delete,
    /// Remove many objects.
    DeleteMany,
    /// Begin an upload.
    CreateMultipart,
    /// Store a part of an upload.
    UploadPart,
    /// Store a run of an object as a part of an upload.
    UploadPartCopy,
    /// Make an object of an upload.
    CompleteMultipart,
    /// Give an upload up.
    AbortMultipart,
    /// Anything else; the server does not do it.
    Other,
}

/// A failure as S3 words it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// 500, a fault of the server; to be tried again.
    Internal,
    /// 503, too many requests; to be tried again, later.
    SlowDown,
    /// 429, too many requests, as servers other than the original say it.
    TooManyRequests,
    /// 403, the key may not do this.
    AccessDenied,
    /// 400, the key has run out.
    ExpiredToken,
    /// 404, the upload is not open: completed or given up by somebody.
    NoSuchUpload,
    /// 501, the server does not do it.
    NotImplemented,
}

impl Failure {
    pub(super) fn parts(self) -> (u16, &'static str) {
        match self {
            Self::Internal => (500, "InternalError"),
            Self::SlowDown => (503, "SlowDown"),
            Self::TooManyRequests => (429, "TooManyRequests"),
            Self::AccessDenied => (403, "AccessDenied"),
            Self::ExpiredToken => (400, "ExpiredToken"),
            Self::NoSuchUpload => (404, "NoSuchUpload"),
            Self::NotImplemented => (501, "NotImplemented"),
        }
    }
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done and this is answered.
    Fail(Failure),
    /// Nothing is done; a status of success comes with a failure as its body, as completing an
    /// upload may end.
    FailWithin200,
    /// Nothing is done and the connection is reset.
    Reset,
    /// It is done, and the connection is reset.
    LoseReply,
    /// Nothing is done until the gate opens.
    Hold(Gate),
    /// It is done, and the answer waits until the gate opens.
    HoldReply(Gate),
    /// What is sent is stored, and the ETag in the answer is another one.
    WrongETag,
    /// The byte at this offset is stored as its complement, and answered for as if it were not.
    FlipByte(usize),
    /// So many bytes are stored, and answered for as if they were all.
    Truncate(usize),
    /// After so many bytes of the body of the answer the connection is reset.
    CutReply(usize),
}

/// What holds requests back until a test opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    shared: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    reached: u64,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all through, for ever.
    pub fn open(&self) {
        self.lock().open = true;
        self.shared.1.notify_all();
    }

    /// Waits until so many requests have reached it.
    ///
    /// # Panics
    ///
    /// When they do not within [`PATIENCE`].
    pub fn wait_reached(&self, requests: u64) {
        let waited = self
            .shared
            .1
            .wait_timeout_while(self.lock(), PATIENCE, |state| state.reached < requests);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(state.reached >= requests, "{} requests reached the gate", state.reached);
    }

    /// Waits until it is open, and no longer than tests wait for anything.
    pub(super) fn pass(&self) {
        let mut state = self.lock();
        state.reached += 1;
        self.shared.1.notify_all();
        let passed = self.shared.1.wait_timeout_while(state, PATIENCE, |state| !state.open);
        drop(passed.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plan of faults and the count of requests. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    shared: Arc<(Mutex<Plan>, Condvar)>,
}

#[derive(Debug, Default)]
struct Plan {
    next: BTreeMap<Operation, VecDeque<Fault>>,
    every: BTreeMap<Operation, Fault>,
    all: Option<Fault>,
    requests: BTreeMap<Operation, u64>,
    injected: u64,
}

impl Faults {
    /// The next request of this kind goes wrong so, after those that were planned before.
    pub fn next(&self, operation: Operation, fault: Fault) {
        self.times(operation, 1, fault);
    }

    /// So many further requests of this kind go wrong so.
    pub fn times(&self, operation: Operation, times: usize, fault: Fault) {
        let mut plan = self.lock();
        let queue = plan.next.entry(operation).or_default();
        queue.extend(std::iter::repeat_n(fault, times));
    }

    /// Requests of this kind go wrong so until [`Self::clear`], once what was planned for single
    /// ones is used up.
    pub fn every(&self, operation: Operation, fault: Fault) {
        self.lock().every.insert(operation, fault);
    }

    /// Requests of all kinds go wrong so until [`Self::clear`], where nothing else is planned.
    pub fn everything(&self, fault: Fault) {
        self.lock().all = Some(fault);
    }

    /// Nothing goes wrong any more. Gates stay as they are.
    pub fn clear(&self) {
        let mut plan = self.lock();
        plan.next.clear();
        plan.every.clear();
        plan.all = None;
    }

    /// How many requests of this kind came, whatever became of them.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.lock().requests.get(&operation).copied().unwrap_or(0)
    }

    /// How many requests went wrong as planned.
    pub fn injected(&self) -> u64 {
        self.lock().injected
    }

    /// Waits until so many requests of this kind came.
    ///
    /// # Panics
    ///
    /// When they do not within [`PATIENCE`].
    pub fn wait_requests(&self, operation: Operation, requests: u64) {
        let came = |plan: &Plan| plan.requests.get(&operation).copied().unwrap_or(0);
        let waited =
            self.shared.1.wait_timeout_while(self.lock(), PATIENCE, |plan| came(plan) < requests);
        let (plan, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(came(&plan) >= requests, "{} requests of {operation:?} came", came(&plan));
    }

    /// Counts a request and takes what goes wrong with it.
    pub(super) fn take(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.lock();
        *plan.requests.entry(operation).or_default() += 1;
        let single = plan.next.get_mut(&operation).and_then(VecDeque::pop_front);
        let fault = single.or_else(|| plan.every.get(&operation).or(plan.all.as_ref()).cloned());
        plan.injected += u64::from(fault.is_some());
        self.shared.1.notify_all();
        fault
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
