//! Progress of long work: a spinner with counts on a terminal, a line every ten seconds in a pipe.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Something that counts.
pub(crate) trait Counts: Clone + Send + Sync + 'static {
    /// Done so far.
    fn done(&self) -> u64;
    /// In a word.
    fn state(&self) -> String;
}

/// Shows progress until finished.
pub(crate) struct Progress {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start<C: Counts>(title: String, unit: &'static str, status: watch::Receiver<C>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = show(title, unit, status) => {}
                _ = stopped => {}
            }
        });
        Self { stop, task }
    }

    pub(crate) async fn finish(self) {
        // The task may have ended already; either way nothing more is shown.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn show<C: Counts>(title: String, unit: &'static str, status: watch::Receiver<C>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos} {per_sec} {elapsed}") {
        bar.set_style(style);
    }
    let started = tokio::time::Instant::now();
    let mut told = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(if terminal { 100 } else { 1000 })).await;
        let (done, state) = {
            let status = status.borrow();
            (status.done(), status.state())
        };
        bar.set_message(format!("{title} ({state}) {unit}:"));
        bar.set_position(done);
        let seconds = started.elapsed().as_secs();
        if !terminal && seconds / 10 > told {
            told = seconds / 10;
            let rate = done / seconds.max(1);
            eprintln!("{title}: {state}, {} {unit}, {}/s", HumanCount(done), HumanCount(rate));
        }
    }
}
