//! A client's JSON: no panic, and memory bounded by the frame's length.
#![no_main]

use chatcluster_fuzz::{allocation, frame::decode};

libfuzzer_sys::fuzz_target!(|data: &str| {
    let decoded = allocation::within(4096 + 64 * data.len(), || decode(data));
    if let Err(refused) = decoded {
        assert!(refused.problem.code.status() < 500, "{}", refused.problem);
    }
});
