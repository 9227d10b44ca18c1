//! Ctrl-C and SIGTERM become tokens; a second one ends the process at once.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Everything that stops in good order has stopped by then; a supervisor kills after ten seconds.
pub(crate) const LATE: std::time::Duration = std::time::Duration::from_secs(8);

/// The way to stop.
#[derive(Clone)]
pub(crate) struct Stop {
    /// Cancelled at the first Ctrl-C or SIGTERM.
    pub(crate) asked: CancellationToken,
    /// Cancelled some seconds later: whoever still waits for something drops it.
    pub(crate) late: CancellationToken,
    /// Cancelled with `asked` when it was SIGTERM: nobody sits before the terminal, and the process must end in time.
    pub(crate) terminated: CancellationToken,
    /// What is done before the second signal ends the process.
    pub(crate) insisted: Arc<OnceLock<Farewell>>,
}

/// Short: the operator waits.
type Farewell = Box<dyn Fn() + Send + Sync>;

impl Stop {
    /// Nobody has asked yet.
    pub(crate) fn unasked() -> Self {
        let [asked, late, terminated] = [(); 3].map(|()| CancellationToken::new());
        Self { asked, late, terminated, insisted: Arc::default() }
    }
}

/// Listens for signals.
pub(crate) fn stop() -> std::io::Result<Stop> {
    let stop = Stop::unasked();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let Stop { asked, late, terminated, insisted } = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => terminated.cancel(),
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
        if let Some(farewell) = insisted.get() {
            farewell();
        }
        // The operator insists; kill -9 at any instant is safe, and so is this.
        std::process::exit(130);
    });
    Ok(stop)
}
