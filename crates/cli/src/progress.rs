//! Progress of long work: a log line at every change of state; counts in a bar on a terminal, as a log line every ten seconds elsewhere.

use std::io::{IsTerminal as _, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use lienthong_schemas::counted;
use lienthong_telemetry::SERVICE;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::status_record::{FirstLoadRecord, LoadRecord};

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
    /// A first load that is under way.
    fn first_load(&self) -> Option<FirstLoadRecord> {
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
    /// Whether the bar is that of a first load, which has an end.
    loads: bool,
    /// When counts were told last, and what they were.
    counted: (Instant, u64),
}

impl<C: Counts> Teller<C> {
    fn new(title: Title, status: watch::Receiver<C>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| BARS.add(ProgressBar::new_spinner()));
        let teller = Self { title, status, told: None, bar, loads: false, counted: (Instant::now(), 0) };
        teller.set_style();
        teller
    }

    fn set_style(&self) {
        let text = match self.loads {
            true => "{spinner} {msg} [{bar:24}]".to_owned(),
            false => format!("{{spinner}} {{msg}} {{pos}} {} {{per_sec}} {{elapsed}}", C::WHAT),
        };
        if let (Some(bar), Ok(style)) = (&self.bar, ProgressStyle::with_template(&text)) {
            bar.set_style(style.progress_chars("=> "));
        }
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
        let first = self.status.borrow().first_load();
        if first.is_some() != self.loads {
            self.loads = first.is_some();
            self.set_style();
        }
        let status = self.status.borrow();
        let (done, (state, _)) = (status.done(), status.state());
        if let (Some(bar), Some(first)) = (&self.bar, &first) {
            bar.set_length(first.expected.unwrap_or(first.rows));
            bar.set_position(first.rows);
            bar.set_message(format!("{} ({state}): first load, {}", self.title.name, told(first)));
            return;
        }
        if let Some(bar) = &self.bar {
            bar.unset_length();
            let load = status.load().map(|load| format!(" {},", loading(&load))).unwrap_or_default();
            bar.set_message(format!("{} ({state}):{load}", self.title.name));
            bar.set_position(done);
            return;
        }
        let (at, before) = self.counted;
        let Title { kind, name } = &self.title;
        let per_second = (done.saturating_sub(before) as f64 / at.elapsed().as_secs_f64()).round() as u64;
        tracing::info!(target: SERVICE, kind, name, state, events = done, per_second, "counts");
        if let Some(first) = first {
            let (rows, expected) = (first.rows, first.expected.unwrap_or_default());
            let per_second = first.per_second.unwrap_or_default().round();
            let remaining_seconds = first.remaining_seconds.unwrap_or_default().round();
            tracing::info!(target: SERVICE, kind, name, rows, expected, per_second, remaining_seconds, "first load");
        }
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

/// How far a first load is, in words.
fn told(load: &FirstLoadRecord) -> String {
    let of = load.expected.map(|rows| format!(" of about {rows}")).unwrap_or_default();
    let rate = load.per_second.map(|rate| format!(", {rate:.0} per second")).unwrap_or_default();
    let left = load.remaining_seconds.map(|left| Duration::from_secs(left.round() as u64));
    let left = left.map(|left| format!(", about {} remaining", HumanDuration(left))).unwrap_or_default();
    format!("{}{of}{rate}{left}", counted(load.rows, "row"))
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
