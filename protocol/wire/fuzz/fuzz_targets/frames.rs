//! Messages from any bytes: refused, or a message that is written and read again as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyspray_wire::frame::{self, FrameError, LENGTH_BYTES};
use skyspray_wire::limits::FRAME_MAX;
use skyspray_wire::message::{ChunkReply, Reply, Request};
use skyspray_wire::receipt::{Receipt, SignedReceipt};
use std::fmt::Debug;

fuzz_target!(|bytes: &[u8]| {
    if let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>()
        && let Ok(length) = frame::decode_length(*prefix)
    {
        assert!(length <= FRAME_MAX as usize);
    }
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => read::<Request>(bytes),
        1 => read::<Reply>(bytes),
        2 => read::<ChunkReply>(bytes),
        3 => read::<Receipt>(bytes),
        _ => read::<SignedReceipt>(bytes),
    }
});

fn read<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(message) = frame::decode::<T>(bytes) else { return };
    match frame::encode(&message) {
        Ok(framed) => {
            let (prefix, body) = framed.split_first_chunk().expect("a frame has its length");
            assert_eq!(frame::decode_length(*prefix).ok(), Some(body.len()));
            assert_eq!(frame::decode::<T>(body).expect("it was written here"), message);
        }
        // A name in normal form may be longer than what it was read from.
        Err(FrameError::TooLong { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
