//! Drives `bodies::pgoutput`.
#![no_main]

#[allow(dead_code, reason = "a target drives one of them")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::pgoutput(data));
