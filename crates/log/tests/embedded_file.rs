//! What the embedded engine's file holds, and what several handles and processes may do with it at once.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

#[path = "kafka/source.rs"]
#[allow(dead_code, reason = "every suite uses a part")]
mod source;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, ConsumeOptions, Delivered, Log, TopicPartition, WriterError};
use lienthong_testkit::process::Process;
use rusqlite::Connection;
use source::{TOPIC, body, participant, place, prepare, spec};

const CHILD: &str = "LIENTHONG_CHILD_PUBLISHER";
const SIDE: &str = "lt.quarantine.faults";
const PUBLISHED: usize = 100;

fn file(folder: &Path) -> PathBuf {
    folder.join("log.db")
}

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(file(folder)).expect("log")
}

fn count(sql: &Connection, query: &str) -> i64 {
    sql.query_row(query, [], |row| row.get(0)).expect("a number")
}

#[tokio::test]
async fn a_batch_is_one_row_per_partition_with_offsets_count_times_sum_and_body() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    prepare(&log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    let mut batch = Batch::default();
    for number in 0..1000_i64 {
        let id = format!("e{number}");
        let headers: [(&'static str, &[u8]); 1] = [("ce_id", id.as_bytes())];
        let record =
            NewRecord { key: id.as_bytes(), headers: &headers, value: &[7; 330], time: 5000 - number };
        batch.push(&place(number as u64 % 2), &record).expect("it fits");
    }
    writer.append(&batch).await.expect("append");
    let sql = Connection::open(file(folder.path())).expect("file");
    let mut statement = sql
        .prepare(
            "select base_offset, count, first_time, last_time, epoch, base_sequence, crc32c, body from batch",
        )
        .expect("columns");
    let mut rows = statement.query([]).expect("rows");
    for partition in 0..2_i64 {
        let row = rows.next().expect("row").expect("one row per partition");
        let number = |column: usize| row.get::<_, i64>(column).expect("number");
        assert_eq!((number(0), number(1), number(5)), (0, 500, 1));
        assert_eq!((number(2), number(3)), (5000 - 998 - partition, 5000 - partition));
        assert_eq!(number(4), writer.epoch());
        let body: Vec<u8> = row.get(7).expect("body");
        assert_eq!(number(6), i64::from(crc32c::crc32c(&body)));
        assert_eq!(body, batch.parts[partition as usize].body);
    }
    assert!(rows.next().expect("end").is_none(), "no rows besides");
}

#[tokio::test]
async fn the_file_is_in_wal_mode_gives_space_back_and_carries_its_mark() {
    let folder = tempfile::tempdir().expect("folder");
    drop(open(folder.path()));
    let sql = Connection::open(file(folder.path())).expect("file");
    let mode: String = sql.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("mode");
    assert_eq!(mode, "wal");
    assert_eq!(count(&sql, "pragma auto_vacuum"), 2, "incremental from creation");
    assert_eq!(count(&sql, "pragma application_id"), 0x4c54_4c47);
}

#[tokio::test]
async fn a_reader_between_two_polls_holds_no_transaction() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    prepare(&log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    writer.append(&source::batch(0..30, |_| false)).await.expect("append");
    let options = ConsumeOptions {
        group: "g".into(),
        topics: vec![TOPIC.into()],
        fetch_bytes: 100,
        session: Duration::from_secs(60),
    };
    let mut consumer = log.consume(&options).await.expect("member");
    let mut records = 0;
    while records < 5 {
        match consumer.next(Duration::from_millis(100)).await.expect("next") {
            Some(Delivered::Assigned(source)) => {
                consumer.start(&source, OffsetState::START).await.expect("start");
            }
            Some(Delivered::Records(batch)) => records += batch.entries.len(),
            other => panic!("{other:?}"),
        }
    }
    // More is waiting, and yet the write-ahead log can be emptied.
    let sql = Connection::open(file(folder.path())).expect("file");
    assert_eq!(count(&sql, "pragma wal_checkpoint(truncate)"), 0, "somebody holds a transaction");
    assert_eq!(std::fs::metadata(folder.path().join("log.db-wal")).expect("wal").len(), 0);
}

#[tokio::test]
async fn an_append_under_an_old_epoch_is_refused_and_nothing_of_it_stands_in_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let (first_log, second_log) = (open(folder.path()), open(folder.path()));
    prepare(&first_log).await;
    let topics = [TOPIC.to_owned()];
    let (mut first, _) = first_log.open_writer(&participant(), &topics).await.expect("writer");
    first.append(&source::batch(0..3, |_| false)).await.expect("append");
    let (mut second, recovered) = second_log.open_writer(&participant(), &topics).await.expect("writer");
    assert_eq!(recovered.collected.len(), 3);
    let sql = Connection::open(file(folder.path())).expect("file");
    let everything = "select (select count(*) from batch) + (select sum(next_offset) from lane)";
    let before = count(&sql, everything);
    match first.append(&source::batch(3..6, |_| false)).await {
        Err(WriterError::Fenced { claim, .. }) => assert_eq!(claim, Some(second.epoch())),
        other => panic!("{other:?}"),
    }
    let again = first.heartbeat(1).await;
    assert!(matches!(again, Err(WriterError::Lost(_))), "{again:?}");
    assert_eq!(count(&sql, everything), before);
    second.append(&source::batch(3..6, |_| false)).await.expect("the newer writer goes on");
    assert_eq!(source::check(&first_log).await.ends, [6, 7, 8]);
}

#[tokio::test]
async fn positions_are_compacted_to_what_the_next_writer_needs() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    prepare(&log).await;
    let sql = Connection::open(file(folder.path())).expect("file");
    let mut next = 0;
    let mut epoch = -1;
    for _ in 0..20 {
        let topics = [TOPIC.to_owned()];
        let (mut writer, recovered) = log.open_writer(&participant(), &topics).await.expect("writer");
        assert!(writer.epoch() > epoch, "offsets are never given twice");
        epoch = writer.epoch();
        assert_eq!(recovered.checkpoint.map_or(0, |known| known.counter), next);
        assert!(recovered.collected.is_empty());
        for _ in 0..5 {
            writer.append(&source::batch(next..next + 3, |_| false)).await.expect("append");
            next += 3;
            let _leave = writer.checkpoint(&body(next)).await.expect("checkpoint");
        }
        assert!(count(&sql, "select count(*) from position_record") <= 3, "a claim and two slots");
    }
}

#[tokio::test]
async fn schemas_live_in_the_same_file() {
    let folder = tempfile::tempdir().expect("folder");
    let schema = r#"{"type":"record","name":"Happened","namespace":"test","fields":[]}"#;
    let id = {
        let log = open(folder.path());
        prepare(&log).await;
        log.register_schema(TOPIC, "test.Happened", schema).await.expect("register")
    };
    let copy = tempfile::tempdir().expect("folder");
    std::fs::copy(file(folder.path()), file(copy.path())).expect("one file is all there is");
    let log = open(copy.path());
    assert_eq!(log.schema_id(TOPIC, "test.Happened", schema).await.expect("id"), id);
}

/// Not a test by itself: a process of the test below.
#[tokio::test]
async fn child_publisher() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    publish(&open(Path::new(&folder)), "child").await;
}

async fn publish(log: &EmbeddedLog, who: &str) {
    for number in 0..PUBLISHED {
        let number = number.to_string();
        let headers: [(&str, &[u8]); 1] = [("who", who.as_bytes())];
        log.publish(SIDE, b"key", &headers, number.as_bytes()).await.expect("publish");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_write_at_once_and_nothing_is_lost_or_mixed_up() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    log.create_topics(&[spec(SIDE, 1, false)]).await.expect("topic");
    let mut children: Vec<Process> = (0..2)
        .map(|number| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(["child_publisher", "--exact"]).env(CHILD, folder.path());
            Process::start(&mut command, &folder.path().join(format!("child-{number}"))).expect("process")
        })
        .collect();
    publish(&log, "parent").await;
    for child in &mut children {
        let ended = child.wait(Duration::from_secs(60)).await.expect("it ends");
        assert!(ended.success(), "{}", child.output().expect("output"));
    }
    let source = TopicPartition { topic: SIDE.into(), partition: 0 };
    let batch = log.read(&source, OffsetState::START, 1 << 24).await.expect("read");
    assert_eq!(batch.entries.len(), 3 * PUBLISHED);
    assert!(batch.entries.iter().enumerate().all(|(index, entry)| entry.offset == index as i64));
    let values = |who: &str| {
        let of = batch.entries.iter().map(|entry| batch.record(entry).expect("record"));
        of.filter(|record| record.header("who") == Some(who.as_bytes()))
            .map(|record| String::from_utf8_lossy(record.value).parse::<usize>().expect("number"))
            .collect::<Vec<_>>()
    };
    assert_eq!(values("parent"), (0..PUBLISHED).collect::<Vec<_>>());
    let mut both = values("child");
    both.sort_unstable();
    assert_eq!(both, (0..2 * PUBLISHED).map(|number| number / 2).collect::<Vec<_>>());
}
