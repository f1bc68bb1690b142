//! A chunk header from any bytes: refused, or exactly the bytes it was read from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyspray_wire::chunk::{CHUNK_HEADER_BYTES, ChunkHeader};
use skyspray_wire::ids::{ChunkSize, Epoch};
use skyspray_wire::receiver::Receiver;

fuzz_target!(|bytes: [u8; CHUNK_HEADER_BYTES]| {
    let Ok(header) = ChunkHeader::decode(&bytes) else { return };
    assert_eq!(header.encode(), bytes);
    for exponent in 10..=30 {
        let size = ChunkSize::try_new(1 << exponent).expect("a power of two in range");
        if let Ok(chunk) = header.index(size) {
            assert_eq!(size.offset_of(chunk), header.offset);
            assert!(header.raw_length <= size.bytes());
        }
        let mut receiver = Receiver::new(header.job, Epoch(header.epoch.0), size, u32::MAX);
        if receiver.handle_header(&header).is_ok() {
            assert_eq!(receiver.handle_header(&header).err(), None, "asked again");
        }
    }
});
