//! The embedded engine's append against a bare prepared `INSERT` per record with the same durability, batches of 1,000 records of
//! 360 bytes, one transaction per batch on both sides.

use std::time::Instant;

use anyhow::Result;
use lienthong_contract::participant::ParticipantId;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, Log, TopicPartition, TopicSpec, murmur2};

use crate::paired::{Pairs, ROUNDS, seconds};

const BATCHES: usize = 60;
const RECORDS: usize = 1_000;
const BYTES: usize = 360;
const PARTITIONS: i32 = 4;

pub(crate) async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = EmbeddedLog::open(folder.path().join("log.db"))?;
    let topics = ["lt.bench.live".to_owned(), "lt.bench.bulk".to_owned()];
    let specs = topics.iter().map(|name| spec(name)).collect::<Vec<_>>();
    log.create_topics(&specs).await?;
    let (mut writer, _) = log.open_writer(&ParticipantId::new("bench.writer")?, &topics).await?;
    let bare = rusqlite::Connection::open(folder.path().join("bare.db"))?;
    bare.pragma_update(None, "journal_mode", "wal")?;
    bare.pragma_update(None, "synchronous", "full")?;
    bare.execute_batch(
        "create table record (id integer primary key, partition integer, key blob, value blob)",
    )?;

    let batch = batch();
    let mut pairs = Pairs::default();
    for round in 0..ROUNDS {
        let theirs = || seconds(|| inserts(&bare));
        let first = (round % 2 == 0).then(theirs);
        let start = Instant::now();
        for _ in 0..BATCHES {
            writer.append(&batch).await?;
        }
        let ours = start.elapsed().as_secs_f64();
        pairs.push(ours, first.unwrap_or_else(theirs));
    }
    pairs.report("embedded append", (BATCHES * RECORDS) as u64, "record", 1.5);
    Ok(())
}

fn spec(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: PARTITIONS,
        replication: 1,
        min_insync_replicas: 1,
        retention: None,
        compacted: false,
    }
}

/// Records with the headers that events have; 360 bytes of key, headers' values and value in all.
pub(crate) fn batch() -> Batch {
    let mut batch = Batch::default();
    let headers: [(&'static str, &[u8]); 2] = [("ce_type", b"bench.event"), ("ce_id", b"1-o123456-0")];
    for record in 0..RECORDS {
        let key = format!("{record:012}");
        let value = vec![7_u8; BYTES - key.len() - 22];
        let partition = murmur2::partition(key.as_bytes(), PARTITIONS);
        let target = TopicPartition { topic: "lt.bench.live".into(), partition };
        batch
            .push(&target, &NewRecord { key: key.as_bytes(), headers: &headers, value: &value, time: 1 })
            .expect("it fits");
    }
    batch
}

fn inserts(bare: &rusqlite::Connection) {
    let value = vec![7_u8; BYTES - 12];
    for _ in 0..BATCHES {
        let run = || -> rusqlite::Result<()> {
            bare.execute_batch("begin immediate")?;
            let mut insert =
                bare.prepare_cached("insert into record (partition, key, value) values (?1, ?2, ?3)")?;
            for record in 0..RECORDS {
                let key = format!("{record:012}");
                insert.execute((record as i64 % 4, key.as_bytes(), &value))?;
            }
            bare.execute_batch("commit")
        };
        run().expect("the bare table takes rows");
    }
}
