//! The threads on which object stores are talked to, whoever waits for the answer.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use tokio::runtime::{Builder, Runtime};

/// Threads that encrypt, sign and parse for all object planes of the process.
const THREADS: usize = 2;

/// Runs `work` to its end on those threads, while this one waits. Blocks.
pub(super) fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (answer, answered) = sync_channel(1);
    runtime().spawn(async move {
        // Whoever waited is gone only when its thread panicked.
        let _ = answer.send(work.await);
    });
    answered.recv().expect("requests to an object store do not panic")
}

/// Starts `work` on those threads; the answer is waited for where it is needed.
pub(super) fn start<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Started<T> {
    let (answer, answered) = sync_channel(1);
    let task = runtime().spawn(async move {
        let _ = answer.send(work.await);
    });
    Started { answered, task }
}

/// An answer under way; given up when this is dropped.
#[derive(Debug)]
pub(super) struct Started<T> {
    answered: std::sync::mpsc::Receiver<T>,
    task: tokio::task::JoinHandle<()>,
}

impl<T> Started<T> {
    /// Waits for the answer. Blocks.
    pub(super) fn wait(self) -> T {
        self.answered.recv().expect("requests to an object store do not panic")
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store")
            .enable_all()
            .build()
            .expect("the host provides threads and event polling")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_can_be_waited_for_inside_another_runtime() {
        assert_eq!(
            wait(async {
                tokio::task::yield_now().await;
                7
            }),
            7
        );
        let started = start(std::future::ready("early"));
        assert_eq!(started.wait(), "early");
    }
}
