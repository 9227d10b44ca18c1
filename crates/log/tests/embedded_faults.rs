//! The embedded engine when its writer is killed, its disk is full, its file is damaged, foreign or of another layout.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

#[path = "kafka/source.rs"]
#[allow(dead_code, reason = "every suite uses a part")]
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::{EmbeddedLog, EmbeddedOptions};
use lienthong_log::{Log, LogError, WriterError};
use lienthong_testkit::process::Process;
use lienthong_testkit::seed;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use source::{Forgotten, PARTITIONS, TOPIC, participant, place};

const CHILD: &str = "LIENTHONG_CHILD_WRITER";
const KILLS: u64 = 200;

fn file(folder: &Path) -> PathBuf {
    folder.join("log.db")
}

/// Not a test by itself: what the processes of the kill test do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writer() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = Path::new(&folder);
    let log = EmbeddedLog::open(file(folder)).expect("log");
    let ended = source::publish(&log, &Forgotten::new(folder), u64::MAX, seed()).await;
    println!("ended: {}", ended.expect_err("the source has no end"));
}

fn writer_process(folder: &Path, round: u64, seed: u64) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["child_writer", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .env("LIENTHONG_TEST_SEED", seed.to_string());
    Process::start(&mut command, &folder.join(format!("killed-{round}"))).expect("process")
}

/// The last event that a process was told to be durable, plus one.
fn acked(output: &str) -> u64 {
    let mut told =
        output.lines().filter_map(|line| line.strip_prefix("acked ")).filter_map(|text| text.parse().ok());
    told.next_back().unwrap_or(0)
}

/// Every event once and in order, and every one below `acked` there.
async fn assert_holds(log: &dyn Log, acked: u64) {
    let seen = source::check(log).await;
    let least = seen.ends.iter().min().expect("partitions");
    assert!(
        *least >= acked.saturating_sub(PARTITIONS - 1),
        "{acked} were acknowledged, the log holds {:?}",
        seen.ends
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_two_hundred_random_instants_loses_and_doubles_nothing_that_was_acknowledged() {
    let first = seed();
    println!("LIENTHONG_TEST_SEED={first}");
    let mut random = StdRng::seed_from_u64(first);
    let folder = tempfile::tempdir().expect("folder");
    let log = EmbeddedLog::open(file(folder.path())).expect("log");
    source::prepare(&log).await;
    let (mut highest, mut published) = (0, 0);
    for round in 0..KILLS {
        let mut victim = writer_process(folder.path(), round, first + round);
        tokio::time::sleep(Duration::from_millis(random.random_range(5..90))).await;
        victim.kill9().expect("killed");
        let output = victim.output().expect("output");
        published += u64::from(output.contains("acked "));
        highest = highest.max(acked(&output));
        if round % 20 == 19 {
            assert_holds(&log, highest).await;
        }
    }
    assert!(published > KILLS / 4, "only {published} writers came to publish");
    let forgotten = Forgotten::new(folder.path());
    let limit = highest + 1_000;
    source::publish(&log, &forgotten, limit, first).await.expect("a last writer");
    assert_holds(&log, limit).await;
    println!("{published} of {KILLS} had published; {limit} events");
}

/// Fills a log with some events; gives how many.
async fn filled(log: &dyn Log) -> u64 {
    source::prepare(log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    writer.append(&source::batch(0..300, |_| false)).await.expect("append");
    300
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_has_its_own_error_and_what_was_acknowledged_stays() {
    let folder = tempfile::tempdir().expect("folder");
    let options = EmbeddedOptions { max_pages: Some(60), ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open_with(file(folder.path()), options).expect("log");
    source::prepare(&log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    let mut acked = 0;
    let error = loop {
        match writer.append(&source::batch(acked..acked + 200, |_| false)).await {
            Ok(()) => acked += 200,
            Err(error) => break error,
        }
        assert!(acked < 100_000, "the disk never was full");
    };
    assert!(matches!(error, WriterError::Log(LogError::DiskFull(_))), "{error}");
    assert!(acked > 0);
    let again = writer.append(&source::batch(acked..acked + 1, |_| false)).await;
    assert!(matches!(again, Err(WriterError::Lost(_))), "an error ends a writer for good");
    assert_holds(&log, acked).await;
    drop((writer, log));
    // There is room again.
    let log = EmbeddedLog::open(file(folder.path())).expect("log");
    let forgotten = Forgotten::new(folder.path());
    source::publish(&log, &forgotten, acked + 500, 1).await.expect("a new writer");
    assert_holds(&log, acked + 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_batch_is_told_with_its_place_and_nothing_of_it_is_given_out() {
    let folder = tempfile::tempdir().expect("folder");
    let log = EmbeddedLog::open(file(folder.path())).expect("log");
    filled(&log).await;
    let sql = rusqlite::Connection::open(file(folder.path())).expect("file");
    // One bit of one body, as a bad disk would turn it.
    let body: Vec<u8> =
        sql.query_row("select body from batch where id = 1", [], |row| row.get(0)).expect("batch");
    let mut turned = body;
    turned[100] ^= 1;
    sql.execute("update batch set body = ?1 where id = 1", [turned]).expect("turned");
    let mut told = Vec::new();
    for partition in 0..PARTITIONS {
        if let Err(error) = log.read(&place(partition), OffsetState::START, 1 << 20).await {
            told.push((partition, error));
        }
    }
    let [(partition, error)] = told.as_slice() else { panic!("one partition is damaged: {told:?}") };
    assert!(matches!(error, LogError::File { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("is damaged") && text.contains(&format!("{TOPIC}/{partition}")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_head_a_foreign_file_and_another_layout_are_told_apart() {
    let folder = tempfile::tempdir().expect("folder");
    let told = |path: &Path| EmbeddedLog::open(path).expect_err("refused").to_string();

    let path = file(folder.path());
    drop(EmbeddedLog::open(&path).expect("log"));
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[..32].fill(0xAA);
    std::fs::write(&path, bytes).expect("write");
    assert!(told(&path).contains("is damaged"), "{}", told(&path));

    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, but long enough to look like one".repeat(40))
        .expect("write");
    assert!(told(&text).contains("not an SQLite file"), "{}", told(&text));

    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign)
        .expect("file")
        .execute_batch("create table theirs (a)")
        .expect("table");
    assert!(told(&foreign).contains("another program's"), "{}", told(&foreign));
    let kept: i64 = rusqlite::Connection::open(&foreign)
        .and_then(|sql| sql.query_row("select count(*) from sqlite_master", [], |row| row.get(0)))
        .expect("file");
    assert_eq!(kept, 1, "nothing was added to it");

    for (change, word) in [(-1, "older"), (1, "newer")] {
        let path = folder.path().join(word);
        drop(EmbeddedLog::open(&path).expect("log"));
        let sql = rusqlite::Connection::open(&path).expect("file");
        let version: i32 = sql.pragma_query_value(None, "user_version", |row| row.get(0)).expect("version");
        sql.pragma_update(None, "user_version", version + change).expect("version");
        drop(sql);
        assert!(told(&path).contains(word), "{}", told(&path));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_by_age_and_by_size_gives_the_space_back() {
    let folder = tempfile::tempdir().expect("folder");
    let path = file(folder.path());
    let options = EmbeddedOptions { retention_bytes: Some(1 << 20), ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open_with(&path, options).expect("log");
    source::prepare(&log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    for start in (0..60_000).step_by(500) {
        writer.append(&source::batch(start..start + 500, |_| false)).await.expect("append");
    }
    let size = || {
        let sql = rusqlite::Connection::open(&path).expect("file");
        sql.execute_batch("pragma wal_checkpoint(truncate)").expect("checkpoint");
        std::fs::metadata(&path).expect("file").len()
    };
    let before = size();
    log.maintain().expect("maintained");
    let after = size();
    assert!(after < before / 3, "{before} bytes became {after}");
    for partition in 0..PARTITIONS {
        let marks = log.watermarks(&place(partition)).await.expect("marks");
        assert!(marks.low > 0 && marks.low < marks.high, "{marks:?}");
    }

    // By age: everything that is older than an hour, the head only.
    let sql = rusqlite::Connection::open(&path).expect("file");
    sql.execute_batch("update topic set retention_ms = 3600000; update batch set append_time = 1")
        .expect("aged");
    drop(sql);
    log.maintain().expect("maintained");
    for partition in 0..PARTITIONS {
        let marks = log.watermarks(&place(partition)).await.expect("marks");
        assert_eq!(marks.low, marks.high, "all of it is old");
    }
}
