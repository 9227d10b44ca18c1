//! Chance that is the same on every machine and in every version: ChaCha8 with sampling of our own.
//!
//! The sampling of `rand` may change between versions and with the width of `usize`; ours is pinned by a test of the whole history.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// The one source of chance of a nation.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Less than `bound`, evenly to one in 2^32.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred.
    pub(crate) fn percent(&mut self, of_hundred: u32) -> bool {
        self.below(100) < of_hundred
    }

    /// True in so many of 100,000.
    pub(crate) fn per_100k(&mut self, rate: u32) -> bool {
        self.below(100_000) < rate
    }

    /// One of the items.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }

    /// The index of a weight, as often as it weighs.
    pub(crate) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let total: u32 = weights.clone().sum();
        let mut left = self.below(total);
        for (index, weight) in weights.enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        0
    }
}

/// A number that depends on its three arguments only: chance for rows that are made again whenever they are asked for.
pub(crate) fn mixed(seed: u64, about: u64, salt: u64) -> u64 {
    let mut z = seed ^ about.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

/// True in so many of 100,000 of what is numbered by `about`.
pub(crate) fn hit(seed: u64, about: u64, salt: u64, rate: u32) -> bool {
    mixed(seed, about, salt) % 100_000 < u64::from(rate)
}
