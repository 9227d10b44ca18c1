//! What the demo shows: a table that is drawn again every second, or plain lines in a pipe.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lienthong_demo::Verdict;
use lienthong_schemas::counted;
use serde_json::{Value, json};

use super::figures::{COLUMNS, Figures};
use super::fleet::Fleet;
use super::told::Told;
use crate::exit::Failure;
use crate::output::{self, Output};

/// Draws.
pub(super) struct View {
    folder: PathBuf,
    output: Output,
    terminal: bool,
    began: Instant,
    /// When figures, or how far an end is, were shown last.
    shown: Option<Instant>,
    /// Which part of the end was shown last.
    phase: &'static str,
    /// Lines that the next drawing takes the place of.
    drawn: usize,
}

impl View {
    /// Its clock begins here.
    pub(super) fn new(folder: &Path, output: Output) -> Self {
        let terminal = std::io::stdout().is_terminal() && !output.is_json();
        let folder = folder.to_owned();
        Self { folder, output, terminal, began: Instant::now(), shown: None, phase: "", drawn: 0 }
    }

    /// What to look at.
    pub(super) fn legend(&self) {
        let text = format!(
            "A nation lives in {}. Seven ministries' systems publish what happens; eight subscribers receive what their agreements name.\n\
             Look at: lag, from the ministry's commit to the log (publishers) and to the subscriber's row (subscriptions, as ministry/family);\n\
             fresh through, which moves although nothing happens; quarantined, rows that broke their contract and were set aside.\n\
             Ctrl-C ends it with a check of every row.",
            self.folder.display()
        );
        output::done(self.output, &text, &json!({"folder": self.folder}));
    }

    /// Shows how things stand, when it is time to. The first figures come as soon as there are any.
    pub(super) async fn show(&mut self, fleet: &Fleet, told: &Told) -> Result<(), Failure> {
        if !self.is_due() {
            return Ok(());
        }
        let figures = Figures::read(&self.folder, fleet, told).await?;
        if self.terminal {
            let table = output::table(self.output, &COLUMNS, &figures.rows());
            self.draw(&format!("{:>4} s   {}\n{table}", self.seconds(), told.words()));
        } else if self.shown.is_none() && !told.any() && !figures.any() {
            return Ok(());
        } else if self.output.is_json() {
            let seconds = self.exact_seconds();
            println!("{}", json!({"seconds": seconds, "nation": told.object()}));
            for row in figures.rows() {
                let mut object = json!({"seconds": seconds});
                COLUMNS.iter().zip(row).for_each(|(column, value)| object[*column] = value);
                println!("{object}");
            }
        } else {
            println!("{:>4} s: {}; {}", self.seconds(), told.words(), figures.words());
        }
        self.shown = Some(Instant::now());
        Ok(())
    }

    /// How far a part of the end is; at its begin and from time to time.
    pub(super) fn phase(&mut self, what: &'static str, text: &str) {
        if self.phase == what && !self.is_due() {
            return;
        }
        self.phase = what;
        self.shown = Some(Instant::now());
        if self.output.is_json() {
            println!("{}", json!({"seconds": self.exact_seconds(), "phase": what, "text": text}));
        } else if self.terminal {
            self.draw(&format!("{:>4} s   {what}: {text}", self.seconds()));
        } else {
            println!("{:>4} s: {what}: {text}", self.seconds());
        }
    }

    /// Something that is worth a line of its own; what was drawn last stays.
    pub(super) fn say(&mut self, text: &str) {
        self.drawn = 0;
        if !self.output.is_json() {
            println!("{text}");
        }
    }

    /// How the check came out.
    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        let columns = ["subscriber", "table", "difference", "count"];
        let difference = |found: &lienthong_demo::Difference| {
            vec![json!(found.subscriber), json!(found.table), json!(found.kind), json!(found.count)]
        };
        let rows: Vec<Vec<Value>> = verdict.differences.iter().map(difference).collect();
        if self.output.is_json() {
            let differences: Vec<Value> = rows.iter().map(|row| output::object(&columns, row)).collect();
            let summary = [json!(verdict.equal), json!(verdict.refused), json!(differences)];
            output::line(self.output, &["equal", "set_aside", "differences"], &summary);
            return;
        }
        self.say(&format!(
            "check: as they must be: {}; set aside because their source is wrong: {}; {}",
            counted(verdict.equal, "row"),
            counted(verdict.refused, "row"),
            counted(verdict.differences.len(), "difference")
        ));
        if !rows.is_empty() {
            output::rows(self.output, &columns, &rows);
        }
    }

    fn is_due(&self) -> bool {
        let interval = Duration::from_secs(if self.terminal { 1 } else { 5 });
        self.shown.is_none_or(|at| at.elapsed() >= interval)
    }

    fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn exact_seconds(&self) -> f64 {
        (self.began.elapsed().as_secs_f64() * 10.0).round() / 10.0
    }

    fn draw(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            // Up to the first line of what was drawn last, and away with it.
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
        }
        // Lines are cut at the edge meanwhile: one that goes on below would be one line more than was counted. A terminal that is gone
        // ends the demo by its signal.
        let _ = writeln!(out, "\x1b[?7l{text}\x1b[?7h");
        self.drawn = text.lines().count();
    }
}
