//! What the demo shows: a table that is drawn again every second, or plain lines in a pipe.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lienthong_demo::{Lag, Verdict};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Told;
use super::fleet::Fleet;
use crate::commands::{connect, route};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::status_record::now;

const COLUMNS: [&str; 7] = ["who", "state", "events", "lag_p50", "lag_p99", "fresh_through", "quarantined"];

/// Draws.
pub(super) struct View {
    folder: PathBuf,
    output: Output,
    told: watch::Receiver<Told>,
    terminal: bool,
    began: Instant,
    /// Lines of the last table, which the next one is drawn over.
    drawn: usize,
}

/// What to look at.
pub(super) fn legend(folder: &Path) -> String {
    format!(
        "A nation lives in {}. Seven ministries' systems publish what happens; eight subscribers receive what their agreements name.\n\
         Look at: lag, from the ministry's commit to the subscriber's row; fresh through, which moves although nothing happens;\n\
         quarantined, rows that broke their contract and were set aside. Ctrl-C ends it with a check of every row.",
        folder.display()
    )
}

/// How to look inside.
pub(super) fn commands(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Everything is in {folder}:\n  lienthong status --site {folder}\n  \
         lienthong tail civil_status --site {folder} --limit 5\n  \
         sqlite3 {folder}/var/subscriber.vss.insurance.db \"select * from insured_child limit 5\"\n  \
         lienthong demo --dir {folder} --for 30s"
    )
}

impl View {
    pub(super) fn new(folder: &Path, output: Output, told: watch::Receiver<Told>) -> Self {
        let terminal = std::io::stdout().is_terminal() && !output.is_json();
        Self { folder: folder.to_owned(), output, told, terminal, began: Instant::now(), drawn: 0 }
    }

    /// How long until it is worth drawing again.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(if self.terminal { 1 } else { 5 })
    }

    /// Shows how things stand.
    pub(super) async fn show(&mut self, fleet: &Fleet) -> Result<(), Failure> {
        let folder = self.folder.clone();
        let names: Vec<(String, String)> =
            fleet.routers.iter().map(|(subscriber, name, _)| (subscriber.clone(), name.clone())).collect();
        let lags = tokio::task::spawn_blocking(move || {
            let at = now();
            let lag =
                |(subscriber, name): &(String, String)| lienthong_demo::lag(&folder, subscriber, name, at);
            names.iter().map(lag).collect::<Result<Vec<Option<Lag>>, _>>()
        });
        let lags = lags.await??;
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for (name, status) in &fleet.connectors {
            let status = status.borrow();
            rows.push(row(
                name,
                connect::words(&status.state).0,
                status.events,
                None,
                status.fresh_through,
                Some(status.quarantined),
            ));
        }
        for ((_, name, status), lag) in fleet.routers.iter().zip(&lags) {
            let status = status.borrow();
            rows.push(row(
                name,
                route::words(&status.state).0,
                status.events,
                *lag,
                status.fresh_through,
                None,
            ));
        }
        if self.terminal {
            self.draw(&rows)
        } else {
            self.line(&rows, &lags)
        }
        Ok(())
    }

    /// Something that is worth a line of its own.
    pub(super) fn say(&mut self, text: &str) {
        self.drawn = 0;
        if !self.output.is_json() {
            println!("{text}");
        }
    }

    /// How the check came out.
    pub(super) fn verdict(&self, verdict: &Verdict) {
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
        println!(
            "check: {} rows are as they must be; {} rows stand aside because their source is wrong; {} differences",
            verdict.equal,
            verdict.refused,
            verdict.differences.len()
        );
        if !rows.is_empty() {
            output::rows(self.output, &columns, &rows);
        }
    }

    fn draw(&mut self, rows: &[Vec<Value>]) {
        let told = *self.told.borrow();
        let title = format!(
            "{:>4} s   {} people live, {} happenings",
            self.began.elapsed().as_secs(),
            told.living,
            told.happened
        );
        let text = format!("{title}\n{}", output::table(self.output, &COLUMNS, rows));
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            // Up to the first line of the last table, and away with it.
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
        }
        // A terminal that is gone ends the demo by its signal.
        let _ = writeln!(out, "{text}");
        self.drawn = text.lines().count();
    }

    fn line(&self, rows: &[Vec<Value>], lags: &[Option<Lag>]) {
        if self.output.is_json() {
            for row in rows {
                output::line(self.output, &COLUMNS, row);
            }
            return;
        }
        let told = *self.told.borrow();
        let live = rows.iter().filter(|row| row[1] == "live").count();
        let count = |row: &Vec<Value>| row[2].as_u64().unwrap_or(0);
        let (published, delivered) = rows.split_at(lienthong_demo::PARTICIPANTS.len());
        let worst =
            |part: fn(&Lag) -> Duration| lags.iter().flatten().map(part).max().map_or("-".to_owned(), millis);
        println!(
            "{:>4} s: {} happenings, {} of {} live, {} events published, {} delivered, slowest subscription p50 {} p99 {}, {} set aside",
            self.began.elapsed().as_secs(),
            told.happened,
            live,
            rows.len(),
            published.iter().map(count).sum::<u64>(),
            delivered.iter().map(count).sum::<u64>(),
            worst(|lag| lag.p50),
            worst(|lag| lag.p99),
            rows.iter().filter_map(|row| row[6].as_u64()).sum::<u64>(),
        );
    }
}

fn row(
    name: &str,
    state: &str,
    events: u64,
    lag: Option<Lag>,
    fresh: Option<i64>,
    quarantined: Option<u64>,
) -> Vec<Value> {
    let age = fresh.map(|time| format!("{:.1} s ago", (now() - time) as f64 / 1e6));
    let (p50, p99) = lag.map(|lag| (millis(lag.p50), millis(lag.p99))).unzip();
    vec![json!(name), json!(state), json!(events), json!(p50), json!(p99), json!(age), json!(quarantined)]
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}
