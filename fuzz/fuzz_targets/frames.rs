//! Frames from a worker are hostile: any bytes decode or are refused, and what decodes encodes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrows_types::frame::{FromWorker, PREFIX_BYTES, ToWorker};

fuzz_target!(|data: &[u8]| {
    if let Ok(frame) = FromWorker::decode(data) {
        let bytes = frame.encode().unwrap();
        assert!(FromWorker::decode(&bytes[PREFIX_BYTES..]).is_ok());
    }
    if let Ok(frame) = ToWorker::decode(data) {
        let bytes = frame.encode().unwrap();
        assert!(ToWorker::decode(&bytes[PREFIX_BYTES..]).is_ok());
    }
});
