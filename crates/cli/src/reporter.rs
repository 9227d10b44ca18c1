//! Writes a process's state to `lt.status`, at every change of state and every five seconds, until the work has ended.

use std::sync::Arc;
use std::time::Duration;

use lienthong_log::{Log, LogError};
use tokio::sync::watch;

use crate::status_record::{INTERVAL, StatusRecord};

/// Something that has a state.
pub(crate) trait Reports: Clone + Send + Sync + 'static {
    /// The record of `name` as it is now.
    fn record(&self, name: &str) -> StatusRecord;
}

/// As [`INTERVAL`], while rows are loaded that somebody watches.
const LOADING: Duration = Duration::from_secs(1);
/// Once the work has ended, a log that is away is waited for so long.
const LAST: Duration = Duration::from_secs(2);

/// Reports until the sender is gone; the last record stands. A log that is away is no error here: the work itself tells it.
pub(crate) async fn report<R: Reports>(log: Arc<dyn Log>, name: String, status: watch::Receiver<R>) {
    let mut work = status.clone();
    let over = async {
        while work.changed().await.is_ok() {}
        tokio::time::sleep(LAST).await;
    };
    tokio::select! {
        () = records(log, &name, status) => {}
        () = over => tracing::warn!(name, "the last status could not be written: the log does not answer"),
    }
}

async fn records<R: Reports>(log: Arc<dyn Log>, name: &str, mut status: watch::Receiver<R>) {
    let mut told = None;
    let mut tidied = false;
    loop {
        let current = status.borrow_and_update().record(name);
        let ended = status.has_changed().is_err();
        if let Err(error) = current.write(log.as_ref()).await {
            let text = error.to_string();
            let away = matches!(error, LogError::Unreachable { .. } | LogError::RegistryDown(_));
            if !away && told.as_ref() != Some(&text) {
                tracing::warn!(name, error = text, "status cannot be written");
            }
            told = Some(text);
        }
        if !tidied {
            // Another look comes with the next process.
            tidied = true;
            if let Err(error) = current.tidy(log.as_ref()).await {
                tracing::debug!(name, %error, "former processes' states stay in the log");
            }
        }
        if ended {
            return;
        }
        let changed = async {
            // Only a change of state is told at once, and a load's end; counters wait for the interval.
            while status.changed().await.is_ok() {
                let now = status.borrow().record(name);
                if now.state != current.state
                    || (now.served, now.loads.len()) != (current.served, current.loads.len())
                {
                    return;
                }
            }
        };
        let loading = current.loads.iter().any(|load| !load.done) || current.first_load.is_some();
        // Either way the next round tells.
        let _ = tokio::time::timeout(if loading { LOADING } else { INTERVAL }, changed).await;
    }
}
