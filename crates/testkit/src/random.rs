//! Seeds of random tests.

use rand::Rng as _;

/// The seed of a random test: `LIENTHONG_TEST_SEED`, or a new one that leaves room for counting up. The caller prints it.
///
/// # Panics
/// When the variable is set and is no number.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var("LIENTHONG_TEST_SEED") {
        Ok(text) => text.parse().expect("LIENTHONG_TEST_SEED is a whole number"),
        Err(_) => u64::from(rand::rng().random::<u32>()),
    }
}
