//! Random and mutated bytes for every decoder of foreign bytes; the bodies are those that fuzzers drive (`fuzz/`).

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::time::{Duration, Instant};

use lienthong_testkit::seed;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Cases per decoder, and for the one that writes files.
const CASES: usize = 20_000;
const FILE_CASES: usize = 60;
/// A case that takes longer than this, on a busy machine, is stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// All cases together stay far below this.
const MEMORY_KIB: u64 = 1 << 20;

/// What mutations put in: numbers at their ends, and what texts stumble over.
const PIECES: [&[u8]; 12] = [
    &[0],
    &[0xff],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff; 8],
    b"-9223372036854775808",
    b"18446744073709551616",
    b"\"",
    b"[[[[[[[[",
    b"null",
    "ệ".as_bytes(),
    &[0xed, 0xa0, 0x80],
];

fn mutated(from: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..6)).min(bytes.len());
        match random.random_range(0..5) {
            0 => drop(bytes.splice(at..end, PIECES[random.random_range(0..PIECES.len())].iter().copied())),
            1 => drop(bytes.drain(at..end)),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            3 => bytes.truncate(at),
            _ => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
        }
    }
    bytes
}

fn random_bytes(random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(0..200);
    (0..length).map(|_| random.random()).collect()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn no_decoder_panics_hangs_or_takes_memory_out_of_proportion() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    for (name, body, seeds) in bodies::ALL {
        let began = Instant::now();
        let mut random = StdRng::seed_from_u64(seed);
        let seeds = seeds();
        let cases = if name == "site" { FILE_CASES } else { CASES };
        let drive = |bytes: &[u8]| {
            let began = Instant::now();
            let outcome = std::panic::catch_unwind(|| body(bytes));
            assert!(outcome.is_ok(), "{name} panics on {bytes:02x?}");
            assert!(began.elapsed() < PATIENCE, "{name} took {:?} for {bytes:02x?}", began.elapsed());
        };
        for bytes in &seeds {
            drive(bytes);
        }
        for case in 0..cases {
            let bytes = match case % 4 {
                0 => random_bytes(&mut random),
                _ => mutated(&seeds[random.random_range(0..seeds.len())], &mut random),
            };
            drive(&bytes);
        }
        println!("{name}: {} beginnings, {cases} cases in {:?}", seeds.len(), began.elapsed());
        assert!(peak_kib() < MEMORY_KIB, "{name} took {} KiB", peak_kib());
    }
}
