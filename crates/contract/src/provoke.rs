//! A panic on purpose, in builds for development only: what a crash puts out must hold no value, and only a crash shows it.

use lienthong_schemas::Cell;

/// Names the stage that shall panic: `life`, `capture` or `route`. Builds without debug assertions never read it.
pub const VARIABLE: &str = "LIENTHONG_TEST_PANIC";

/// Panics with the texts of the row in hand in its message, when [`VARIABLE`] names this stage. So may any library: cutting a text
/// inside a letter panics with the text.
///
/// # Panics
/// That is what it is for.
#[cfg(debug_assertions)]
pub fn panic_at(stage: &str, texts: impl FnOnce() -> String) {
    static STAGE: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var(VARIABLE).ok());
    assert!(STAGE.as_deref() != Some(stage), "{VARIABLE} asked for a panic with {}", texts());
}

/// Does nothing in builds for use.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn panic_at(_stage: &str, _texts: impl FnOnce() -> String) {}

/// All texts of a row. For [`panic_at`] alone.
#[must_use]
pub fn texts(row: &[Cell<'_>]) -> String {
    row.iter().filter_map(|cell| if let Cell::Str(text) = cell { Some(*text) } else { None }).collect()
}
