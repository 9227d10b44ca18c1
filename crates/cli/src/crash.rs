//! A panic is a defect of this program: whichever process and thread it happens in, it is told by its place, and ends with exit code 1.
//!
//! **Invariant:** what a panic says is let out only when it is a text of the program itself. A text that was put together may hold
//! somebody's values: a cut in the middle of a letter shows the whole name.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{AssertUnwindSafe, PanicHookInfo};

use lienthong_telemetry::{LogFormat, SERVICE};

use crate::exit::Failure;

const LEFT_OUT: &str = "(its text is left out: it may hold values)";

/// Tells panics in this way from now on, in all threads.
pub(crate) fn tell(format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        let line = line(panic);
        match format {
            LogFormat::Text => eprintln!("lienthong: {line}"),
            LogFormat::Json => tracing::error!(target: SERVICE, "{line}"),
        }
    }));
}

/// Does `work`; a panic in it is a failure.
pub(crate) fn caught(work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Failure::defect()))
}

fn line(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    let (thread, text) = (thread.name().unwrap_or("without a name"), text(panic.payload()));
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    format!("a defect of this program at {place}, thread {thread}: {text}{trace}")
}

fn text(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or(LEFT_OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(work: impl FnOnce() + Send + 'static) -> &'static str {
        text(std::thread::spawn(work).join().expect_err("it panics").as_ref())
    }

    #[test]
    fn a_text_that_was_put_together_is_left_out_and_one_of_the_program_is_not() {
        let name = String::from("Nguyễn");
        assert_eq!(said(move || assert!(name[..5].is_empty(), "cut")), LEFT_OUT);
        let digits = 12;
        assert_eq!(said(move || panic!("{digits} digits")), LEFT_OUT);
        assert_eq!(said(|| panic!("nobody asked")), "nobody asked");
    }
}
