//! Ctrl-C and SIGTERM become tokens; a second one ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Everything that stops in good order has stopped by then; a supervisor kills after ten seconds.
const LATE: std::time::Duration = std::time::Duration::from_secs(8);

/// The way to stop.
#[derive(Clone)]
pub(crate) struct Stop {
    /// Cancelled at the first Ctrl-C or SIGTERM.
    pub(crate) asked: CancellationToken,
    /// Cancelled some seconds later: whoever still waits for something drops it.
    pub(crate) late: CancellationToken,
}

/// Listens for signals.
pub(crate) fn stop() -> std::io::Result<Stop> {
    let stop = Stop { asked: CancellationToken::new(), late: CancellationToken::new() };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let Stop { asked, late } = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        asked.cancel();
        tokio::spawn(async move {
            tokio::time::sleep(LATE).await;
            late.cancel();
        });
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // The operator insists; kill -9 at any instant is safe, and so is this.
        std::process::exit(130);
    });
    Ok(stop)
}
