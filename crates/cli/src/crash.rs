//! What a panic puts out: where it happened and how the program got there, never what was in hand.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// From now on a panic tells its place, and its message only when that is a constant of the program: a message that was put together
/// may hold a value, as that of a text which was cut inside a letter does.
pub(crate) fn tell_without_values() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("lienthong: {}", told(panic));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            eprintln!("{trace}");
        }
    }));
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
    match panic.payload().downcast_ref::<&'static str>() {
        Some(message) => format!("panicked at {place}: {message}"),
        None => format!("panicked at {place}; its message is withheld, because it may hold a value"),
    }
}
