//! A demo that runs, its lines as they come, and its shown and promised ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_testkit::database::Database;

use crate::demo::{demo, ended};

/// Longer than any line is waited for.
const LONG: Duration = Duration::from_secs(120);
/// A supervisor kills after it.
const TERM: Duration = Duration::from_secs(10);

/// A demo under way.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command.spawn()?;
        let lines = follow(child.stdout.take().context("a pipe")?);
        Ok(Self { child, lines, said: Vec::new() })
    }

    /// The next line with this text.
    pub(crate) fn line(&mut self, text: &str) -> Result<String> {
        let since = Instant::now();
        loop {
            match self.lines.recv_timeout(LONG.saturating_sub(since.elapsed())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no line with {text}: {:#?}", self.said),
                Err(RecvTimeoutError::Disconnected) => bail!("ended before {text}: {:#?}", self.said),
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) -> Result<Instant> {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "no signal was sent");
        Ok(Instant::now())
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the end: its exit code, and everything that was said on both ways.
    pub(crate) fn ended(mut self) -> Result<(Option<i32>, String)> {
        self.said.extend(self.lines);
        let output = self.child.wait_with_output()?;
        let said = format!("{}\n{}", self.said.join("\n"), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code(), said))
    }

    fn end(self, wanted: i32) -> Result<String> {
        let (code, said) = self.ended()?;
        ensure!(code == Some(wanted), "{code:?}, not {wanted}: {said}");
        Ok(said)
    }
}

fn follow(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Events published, on a line of a pipe.
fn published(line: &str) -> Result<u64> {
    let events = line.split(" events published").next().and_then(|text| text.rsplit(' ').next());
    Ok(events.context("events")?.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_figures_come_before_the_first_day_is_written_however_large_the_nation_is() -> Result<()> {
    for people in ["10000", "100000", "1000000"] {
        let folder = tempfile::tempdir()?;
        let mut running = Running::start(demo(folder.path(), &["--people", people]))?;
        let line = running.line("events published")?;
        ensure!(line.contains("making the nation [") && !line.contains(" 0 rows"), "{people}: {line}");
        running.kill()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ministry_that_has_its_first_day_publishes_while_others_are_still_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut running = Running::start(demo(folder.path(), &["--people", "1000000"]))?;
    let line = loop {
        let line = running.line("events published")?;
        if published(&line)? > 0 {
            break line;
        }
    };
    ensure!(line.contains("making the nation ["), "{line}");
    running.kill()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nation_that_is_ended_while_it_is_made_is_checked_as_it_is_and_continued() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut running = Running::start(demo(folder.path(), &["--people", "12000"]))?;
    let line = running.line("events published")?;
    ensure!(line.contains("making the nation ["), "{line}");
    running.signal("INT")?;
    running.line("life ends")?;
    let said = running.end(0)?;
    ensure!(said.contains("; 0 differences"), "{said}");
    // The ministries that were left out get their first day now.
    let said = ended(&demo(folder.path(), &["--for", "1s"]).output()?, 0)?;
    ensure!(said.contains("; 0 differences"), "{said}");
    let url = format!("sqlite:{}", folder.path().join("var/mps.residence.db").display());
    let rows = Database::open(&url).await?.rows("select count(*) from permanent_residence").await?;
    let count: u32 = rows[0][0].as_deref().unwrap_or_default().parse()?;
    ensure!(count >= 12_000, "{count} residences");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_and_subscriptions_show_how_late_they_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["--people", "300", "--rate", "40", "--for", "8s"];
    let said = ended(&demo(folder.path(), &options).output()?, 0)?;
    let late = said.lines().filter(|line| {
        let lag = |who: &str| line.split(who).nth(1).is_some_and(|lag| !lag.starts_with(" p50 -"));
        lag("slowest publisher") && lag("slowest subscription")
    });
    ensure!(late.count() > 0, "{said}");
    let said = ended(&demo(folder.path(), &[&options[2..], &["--output", "json"]].concat()).output()?, 0)?;
    let mut measured = [0; 2];
    for line in said.lines() {
        let row: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let Some(who) = row["who"].as_str() else { continue };
        ensure!(row["seconds"].is_number() && row.get("lag_p99_seconds").is_some(), "{line}");
        if let (Some(p50), Some(p99)) = (row["lag_p50_seconds"].as_f64(), row["lag_p99_seconds"].as_f64()) {
            ensure!(0.0 <= p50 && p50 <= p99 && p99 < 120.0, "{line}");
            measured[usize::from(who.contains('/'))] += 1;
        }
    }
    ensure!(measured.iter().all(|count| *count > 0), "publishers, subscriptions: {measured:?}: {said}");
    Ok(())
}

/// Somebody else writes to a subscriber's database and does not end.
async fn held(folder: &Path) -> Result<Database> {
    let path = folder.join("var/subscriber.bank.sample.db");
    let mut database = Database::open(&format!("sqlite:{}", path.display())).await?;
    let Database::Sqlite(lock) = &mut database else { bail!("a file of SQLite") };
    lock.execute_batch("begin exclusive")?;
    Ok(database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_within_ten_seconds_and_says_when_the_check_was_not_done() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["--people", "300", "--rate", "20"];
    let mut running = Running::start(demo(folder.path(), &options))?;
    running.line("27 of 27 live")?;
    let asked = running.signal("TERM")?;
    running.line("life ends")?;
    let (code, said) = running.ended()?;
    let took = asked.elapsed();
    // A machine that is busy with other things may be too slow; then this is said.
    let told = match code {
        Some(0) => said.contains("; 0 differences"),
        code => code == Some(130) && said.contains("the check was not done"),
    };
    ensure!(told && took < TERM, "{code:?} {took:?}: {said}");

    let mut running = Running::start(demo(folder.path(), &options))?;
    running.line("people live")?;
    let lock = held(folder.path()).await?;
    running.line("people live")?;
    let asked = running.signal("TERM")?;
    running.line("life ends")?;
    let said = running.end(130)?;
    let took = asked.elapsed();
    ensure!(said.contains("the check was not done") && took < TERM, "{took:?}: {said}");
    drop(lock);
    let said = ended(&demo(folder.path(), &["--for", "1s"]).output()?, 0)?;
    ensure!(said.contains("; 0 differences"), "nothing was lost: {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_ctrl_c_ends_at_once_without_the_check_and_a_passing_folder_goes_away() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_lienthong"));
    command.args(["demo", "--people", "300", "--rate", "20"]).env_remove("LIENTHONG_LOG");
    command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command)?;
    running.line("people live")?;
    let folder = std::fs::read_dir(temporary.path())?.next().context("the demo's folder")??.path();
    let lock = held(&folder).await?;
    running.line("people live")?;
    running.signal("INT")?;
    running.line("life ends")?;
    let line = running.line("delivering: ")?;
    ensure!(line.contains("waiting for bank.sample/population"), "{line}");
    let asked = running.signal("INT")?;
    let said = running.end(130)?;
    ensure!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    ensure!(said.contains("the check was not done"), "{said}");
    ensure!(!folder.exists(), "the folder stays");
    drop(lock);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_another_version_is_refused_with_its_name_and_the_fix() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("var"))?;
    let url = format!("sqlite:{}", folder.path().join("var/demo.db").display());
    let table =
        "create table nation (seed integer, people integer, start text, happened integer not null default 0)";
    let row = "insert into nation values (1, 300, '2026-01-01', 5)";
    Database::open(&url).await?.run(&[table.to_owned(), row.to_owned()]).await?;
    let output = demo(folder.path(), &["--for", "1s"]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{}: {told}", output.status);
    let name = folder.path().canonicalize()?.display().to_string();
    ensure!(told.contains(&name) && told.contains("another version") && told.contains("fix: "), "{told}");
    ensure!(!folder.path().join("lienthong.yaml").exists(), "nothing is written into it");
    Ok(())
}

/// A record that named its holder by its own number, because a child had no PIN yet.
fn left_its_number(line: &str) -> bool {
    let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    event["operation"] == "rekey"
        && event["subject"].as_str().is_some_and(|subject| subject.starts_with("registration_no:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_gets_its_pin_later_leaves_the_subject_that_was_its_registration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut running = Running::start(demo(folder.path(), &["--people", "300", "--rate", "40"]))?;
    let since = Instant::now();
    loop {
        running.line("people live")?;
        let mut tail = Command::new(env!("CARGO_BIN_EXE_lienthong"));
        tail.args(["tail", "civil_status", "--show-values", "--output", "json", "--site"]);
        let output = tail.arg(folder.path()).env_remove("LIENTHONG_LOG").output()?;
        if ended(&output, 0)?.lines().any(left_its_number) {
            break;
        }
        ensure!(since.elapsed() < LONG, "no child got its PIN later: {:#?}", running.said);
    }
    running.signal("INT")?;
    let said = running.end(0)?;
    ensure!(said.contains("; 0 differences"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_a_table_is_drawn_over_the_last_one_under_a_legend() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // A terminal as wide as the table, for `script` begins with one of no width.
    let line = format!(
        "stty cols 150 rows 60; '{}' demo --dir '{}' --people 300 --rate 20 --for 3s",
        env!("CARGO_BIN_EXE_lienthong"),
        folder.path().display()
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_remove("LIENTHONG_LOG")
        .stdin(Stdio::null())
        .output()
        .context("it needs the command script (Debian: apt-get install bsdutils)")?;
    let said = ended(&output, 0)?;
    for part in
        ["A nation lives in ", "Look at: lag", "fresh through, which moves", "Ctrl-C ends it with a check"]
    {
        ensure!(said.contains(part), "the legend has no {part}: {said}");
    }
    let headings = said.lines().find(|line| line.contains("who ") && line.contains("quarantined"));
    let headings = headings.with_context(|| format!("no headings: {said}"))?;
    for heading in ["who", "state", "events", "lag p50", "lag p99", "fresh through", "quarantined"] {
        ensure!(headings.contains(heading), "no {heading}: {headings}");
    }
    let row = said.lines().find(|line| line.contains("vss.insurance/civil_status"));
    ensure!(row.is_some(), "no row of a subscription: {said}");
    ensure!(said.contains("\u{1b}[J") && said.contains("people live"), "drawn once: {said}");
    Ok(())
}
