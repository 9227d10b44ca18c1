//! Blocking database work inside async methods.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work` without holding up other tasks where the runtime can move them to another thread.
pub(crate) fn run<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::CurrentThread) | Err(_) => work(),
        Ok(_) => tokio::task::block_in_place(work),
    }
}
