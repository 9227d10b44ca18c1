//! A setting of the C library that must stand before a process begins.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// glibc's bound on arenas.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts the program again in the same process with at most two arenas. Blocking work moves from thread to thread, and every thread
/// fills an arena of its own: measured, a router that drains a backlog takes more than twice the memory without this. A value that
/// the operator has set stands.
pub(crate) fn bound_arenas() {
    if !cfg!(target_env = "gnu") || std::env::var_os(ARENAS).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) else { return };
    let error = Command::new(program).arg0(name).args(arguments).env(ARENAS, "2").exec();
    // Only reached when it failed: more memory, and nothing else, is lost.
    eprintln!("lienthong: the allocator could not be bounded: {}", error.kind());
}
