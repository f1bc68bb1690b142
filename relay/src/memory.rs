//! How the memory budget of a serving relay is shared out.

use crate::config::RelaySettings;
use crate::plane::ObjectMemory;
use crate::state::{BLOCKING_THREADS, Relay};
use skyspray_link::receive::ReceivePool;
use skyspray_link::seam::files::BufferPool;
use skyspray_wire::ids::ChunkSize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

/// How long a buffer lies idle, at least, before its memory goes back.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);

/// What memory is counted in, in bytes: the chunk of a file plane.
pub(crate) const UNIT: usize = 1024 * 1024;

/// The budget in units, by what they are for. Three quarters are for chunks on their way in, one for
/// those on their way out.
///
/// Where there are planes of objects a chunk waits much longer for the store than for a disk, also
/// after it was decompressed: a quarter is for such chunks then, and an eighth for reading ahead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Memory {
    pub(crate) inbound: usize,
    pub(crate) decompressed: usize,
    pub(crate) outbound: usize,
    pub(crate) ahead: usize,
}

impl Memory {
    /// The shares for a relay with these settings.
    pub(crate) fn shared_out(settings: &RelaySettings) -> Self {
        assert_eq!(UNIT, ChunkSize::FILE_PLANE.bytes() as usize, "a unit is a chunk");
        let objects = settings.planes.values().any(|plane| plane.object.is_some());
        let units = settings.limits.memory_bytes / UNIT as u64;
        Self::of(usize::try_from(units).unwrap_or(usize::MAX / 16), objects)
    }

    fn of(units: usize, objects: bool) -> Self {
        if !objects {
            let inbound = units * 3 / 4;
            let outbound = (units - inbound).max(8);
            let decompressed = BLOCKING_THREADS;
            return Self { inbound: inbound.max(4), decompressed, outbound, ahead: 0 };
        }
        let quarter = (units / 4).max(8);
        Self {
            inbound: (units * 3 / 8).max(8),
            decompressed: quarter,
            outbound: quarter,
            ahead: units / 8,
        }
    }

    /// Memory of planes of objects.
    pub(crate) fn for_objects(&self) -> ObjectMemory {
        // So that a chunk of every job fits beside others, on each of its ways.
        let units = self.inbound.min(self.decompressed).min(self.outbound);
        let largest = u32::try_from(units * UNIT).unwrap_or(u32::MAX);
        ObjectMemory { chunk_bytes_max: largest, ahead: Arc::new(Semaphore::new(self.ahead)) }
    }

    /// Buffers of chunks on their way in.
    pub(crate) fn receive_pool(&self) -> ReceivePool {
        let bodies = BufferPool::new(self.inbound, UNIT);
        ReceivePool::new(bodies, BufferPool::new(self.decompressed, UNIT))
    }
}

/// Gives the host back what no job has needed for [`TRIM_INTERVAL`], again and again.
pub(crate) async fn keep(relay: Arc<Relay>) {
    let mut ticks = interval(TRIM_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        relay.receive_pool.trim();
        relay.send_buffers.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_out_and_never_exceeded_by_more_than_what_is_needed_at_least() {
        let of = |units, objects| {
            let Memory { inbound, decompressed, outbound, ahead } = Memory::of(units, objects);
            (inbound, decompressed, outbound, ahead)
        };

        assert_eq!(of(128, false), (96, 6, 32, 0));
        assert_eq!(of(128, true), (48, 32, 32, 16));
        assert_eq!(of(16, true), (8, 8, 8, 2), "one chunk of 8 MiB fits on every way");
    }

    #[test]
    fn the_largest_chunk_fits_every_way() {
        let chunk = |units| Memory::of(units, true).for_objects().chunk_bytes_max >> 20;

        assert_eq!([chunk(16), chunk(128), chunk(1024)], [8, 32, 256]);
    }
}
