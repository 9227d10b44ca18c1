//! A panic on purpose, in builds for development only: what a crash puts out must hold no value, and only a crash shows it.

use std::fmt::Debug;

/// Names the stage that shall panic: `capture` or `route`. Builds without debug assertions never read it.
pub const VARIABLE: &str = "LIENTHONG_TEST_PANIC";

/// Panics with the row in hand as its `Debug` tells it, when [`VARIABLE`] names this stage.
///
/// # Panics
/// That is what it is for.
#[cfg(debug_assertions)]
pub fn panic_at(stage: &str, row: impl Debug) {
    static STAGE: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var(VARIABLE).ok());
    assert!(STAGE.as_deref() != Some(stage), "{VARIABLE} asked for a panic with {row:?}");
}

/// Does nothing in builds for use.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn panic_at(_stage: &str, _row: impl Debug) {}
