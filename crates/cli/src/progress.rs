//! Progress of long work: a log line at every change of state; counts in a bar on a terminal, as a log line every ten seconds elsewhere.

use std::io::{IsTerminal as _, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lienthong_schemas::counted;
use lienthong_telemetry::SERVICE;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::status_record::LoadRecord;

/// How often counts are told.
const COUNTS: Duration = Duration::from_secs(10);
/// How often a bar is drawn.
const DRAW: Duration = Duration::from_millis(100);

/// All bars of the process: lines are written between them, not into them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Something that counts.
pub(crate) trait Counts: Clone + Send + Sync + 'static {
    /// What is counted.
    const WHAT: &'static str = "events";
    /// How many so far.
    fn done(&self) -> u64;
    /// In a word, and why when it waits or has halted.
    fn state(&self) -> (&'static str, Option<&str>);
    /// Rows that somebody asked for and that are being loaded.
    fn load(&self) -> Option<LoadRecord> {
        None
    }
}

/// Whose progress it is.
#[derive(Clone, Debug)]
pub(crate) struct Title {
    /// `connector` or `subscription`.
    pub(crate) kind: &'static str,
    /// Participant, or `subscriber/family`.
    pub(crate) name: String,
}

/// Shows progress until finished.
pub(crate) struct Progress {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn start<C: Counts>(title: Title, status: watch::Receiver<C>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut teller = Teller::new(title, status);
            tokio::select! {
                () = teller.tell() => {}
                _ = stopped => {}
            }
            teller.last();
        });
        Self { stop, task }
    }

    pub(crate) async fn finish(self) {
        // The task may have ended already; either way nothing more is shown.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Teller<C> {
    title: Title,
    status: watch::Receiver<C>,
    /// State and cause that were told last.
    told: Option<(&'static str, Option<String>)>,
    bar: Option<ProgressBar>,
    /// When counts were told last, and what they were.
    counted: (Instant, u64),
}

impl<C: Counts> Teller<C> {
    fn new(title: Title, status: watch::Receiver<C>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| BARS.add(ProgressBar::new_spinner()));
        let style = ProgressStyle::with_template(&format!(
            "{{spinner}} {{msg}} {{pos}} {} {{per_sec}} {{elapsed}}",
            C::WHAT
        ));
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style);
        }
        Self { title, status, told: None, bar, counted: (Instant::now(), 0) }
    }

    async fn tell(&mut self) {
        let every = if self.bar.is_some() { DRAW } else { COUNTS };
        let mut tick = tokio::time::interval_at(Instant::now() + every, every);
        // After a pause of the machine one line, not all that were missed.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.counts(),
                changed = self.status.changed() => if changed.is_err() { return },
            }
            self.state();
        }
    }

    /// One line per change; a state that lasts is told once, whatever is tried in between.
    fn state(&mut self) {
        let (state, cause) = {
            let status = self.status.borrow_and_update();
            let (state, cause) = status.state();
            (state, cause.map(str::to_owned))
        };
        if self.told.as_ref().is_some_and(|told| *told == (state, cause.clone())) {
            return;
        }
        let Title { kind, name } = &self.title;
        match &cause {
            Some(cause) if state == "waiting" => {
                tracing::warn!(target: SERVICE, kind, name, state, cause, "state")
            }
            // Why it halted is the command's own answer, at once or at its end.
            Some(_) | None => tracing::info!(target: SERVICE, kind, name, state, "state"),
        }
        self.told = Some((state, cause));
    }

    fn counts(&mut self) {
        let status = self.status.borrow();
        let (done, (state, _)) = (status.done(), status.state());
        if let Some(bar) = &self.bar {
            let load = status.load().map(|load| format!(" {},", loading(&load))).unwrap_or_default();
            bar.set_message(format!("{} ({state}):{load}", self.title.name));
            bar.set_position(done);
            return;
        }
        let (at, before) = self.counted;
        let Title { kind, name } = &self.title;
        let per_second = (done.saturating_sub(before) as f64 / at.elapsed().as_secs_f64()).round() as u64;
        tracing::info!(target: SERVICE, kind, name, state, events = done, per_second, "counts");
        if let Some(load) = status.load() {
            let remaining = load.remaining().unwrap_or_default();
            let (request, rows, estimated) = (load.id, load.rows, load.estimated);
            tracing::info!(target: SERVICE, kind, name, request, rows, remaining, estimated, "load");
        }
        drop(status);
        self.counted = (Instant::now(), done);
    }

    fn last(&mut self) {
        self.state();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far a load has come, in words.
pub(crate) fn loading(load: &LoadRecord) -> String {
    let about = if load.estimated { "about " } else { "" };
    let remaining = load.remaining().map(|rows| format!(", {about}{rows} remaining")).unwrap_or_default();
    format!("{} loaded{remaining}", counted(load.rows, "row"))
}

/// Standard error, beside the bars.
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().write(line))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
