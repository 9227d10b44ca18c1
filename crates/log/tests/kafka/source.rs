//! An endless source whose events are known beforehand, a writer that publishes it, and a check of what readers see.
//!
//! Event number `n` has the id `e<n>` and goes to partition `n % 3`. The position is the number of events read.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lienthong_contract::participant::ParticipantId;
use lienthong_contract::position::Lineage;
use lienthong_contract::sink::OffsetState;
use lienthong_log::control::schemas;
use lienthong_log::marks::state_after;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, CheckpointBody, Log, LogError, TopicPartition, TopicSpec, WriterError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Its only topic.
pub const TOPIC: &str = "lt.faults.live";
/// Partitions of that topic.
pub const PARTITIONS: u64 = 3;

/// The participant.
pub fn participant() -> ParticipantId {
    ParticipantId::new("moj.faults").expect("participant")
}

/// A partition of the topic.
pub fn place(partition: u64) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition: partition as i32 }
}

/// A topic as this suite wants it.
pub fn spec(name: &str, partitions: i32, compacted: bool) -> TopicSpec {
    let (replication, min_insync_replicas) = (1, 1);
    TopicSpec { name: name.into(), partitions, replication, min_insync_replicas, retention: None, compacted }
}

/// Asks again while brokers or registry have no answer in time, as every user of a log does: a machine that runs many tests may be slow.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, LogError>) -> Result<T, LogError> {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match ask().await {
            Err(LogError::Unreachable { .. } | LogError::RegistryDown(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            answered => return answered,
        }
    }
}

/// Creates topics and registers the control records' schemas.
pub async fn prepare(log: &dyn Log) {
    let specs = [spec(TOPIC, PARTITIONS as i32, false), spec("lt.positions", 1, true)];
    log.create_topics(&specs).await.expect("topics");
    for (name, text) in schemas() {
        patiently(async || log.register_schema(TOPIC, name, text).await).await.expect("schema");
    }
}

/// A checkpoint of a position.
pub fn body(position: u64) -> CheckpointBody {
    CheckpointBody {
        position: position.to_string(),
        lineage: Lineage { parts: Vec::new() },
        lineage_epoch: 1,
        counter: position,
    }
}

/// Events that are not among `skipped`, in the order of the source.
pub fn batch(events: std::ops::Range<u64>, skipped: impl Fn(&str) -> bool) -> Batch {
    let mut batch = Batch::default();
    for number in events {
        let id = format!("e{number}");
        if !skipped(&id) {
            let headers: [(&'static str, &[u8]); 2] =
                [("ce_id", id.as_bytes()), ("ce_type", b"test.happened")];
            let record = NewRecord { key: id.as_bytes(), headers: &headers, value: &[7; 300], time: 1 };
            batch.push(&place(number % PARTITIONS), &record).expect("it fits");
        }
    }
    batch
}

/// What the source has forgotten, in a file that all its writers share.
#[derive(Clone)]
pub struct Forgotten(PathBuf);

impl Forgotten {
    /// In a folder.
    pub fn new(folder: &Path) -> Self {
        Self(folder.join("forgotten"))
    }

    /// Every event below this number is gone.
    pub fn get(&self) -> u64 {
        std::fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    fn raise(&self, position: u64) {
        if position > self.get() {
            // A writer that is killed in between leaves the old file.
            let new = self.0.with_extension(std::process::id().to_string());
            std::fs::write(&new, position.to_string()).expect("file");
            std::fs::rename(&new, &self.0).expect("file");
        }
    }
}

/// Opens a writer and publishes until `limit` events are out and covered by a checkpoint, or until it ends. Gives the position.
pub async fn publish(
    log: &dyn Log,
    forgotten: &Forgotten,
    limit: u64,
    seed: u64,
) -> Result<u64, WriterError> {
    let mut random = StdRng::seed_from_u64(seed);
    let before = forgotten.get();
    let (mut writer, recovered) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await?;
    let mut next: u64 =
        recovered.checkpoint.map_or(0, |body| body.position.parse().expect("a position of this source"));
    assert!(next >= before, "LOST: the source has forgotten up to {before}, and the log knows {next}");
    // A checkpoint must cover every collected id.
    let number = |id: &str| id[1..].parse::<u64>().expect("an id of this source");
    let covered = recovered.collected.iter().map(|id| number(id) + 1).max().unwrap_or(0);
    println!("open {next}");
    loop {
        for _ in 0..random.random_range(1..12) {
            let end = (next + random.random_range(1..200)).min(limit);
            writer.append(&batch(next..end, |id| recovered.collected.contains(id))).await?;
            next = end;
            // Every event below is acknowledged.
            println!("acked {next}");
        }
        if random.random_ratio(1, 4) {
            writer.heartbeat(1_000_000).await?;
        }
        if next >= covered.min(limit) {
            let _leave = writer.checkpoint(&body(next)).await?;
            forgotten.raise(next);
            println!("forget {next}");
            if next == limit {
                return Ok(next);
            }
        }
    }
}

/// As [`publish`], with a new writer after every end, for outages.
pub async fn publish_stubbornly(log: &dyn Log, forgotten: &Forgotten, limit: u64, seed: u64) {
    for attempt in 0.. {
        match publish(log, forgotten, limit, seed + attempt).await {
            Ok(_) => return,
            Err(error) => println!("ended: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What readers have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Number of the last event, plus one, per partition.
    pub ends: Vec<u64>,
    /// Records that did not count.
    pub ignored: u64,
}

/// Reads everything by the rule: in every partition each of its events once, in order, with dense sequences.
pub async fn check(log: &dyn Log) -> Seen {
    let mut seen = Seen::default();
    for partition in 0..PARTITIONS {
        let source = place(partition);
        let mut state = OffsetState::START;
        let mut expected = partition;
        let mut sequence = 0;
        loop {
            let batch = patiently(async || log.read(&source, state, 1 << 20).await).await.expect("read");
            for entry in &batch.entries {
                let record = batch.record(entry).expect("record");
                let id = record.header("ce_id").expect("id");
                assert_eq!(String::from_utf8_lossy(id), format!("e{expected}"), "partition {partition}");
                // Heartbeats stand between events.
                assert!(entry.sequence > sequence, "sequence {} after {sequence}", entry.sequence);
                sequence = entry.sequence;
                expected += PARTITIONS;
            }
            seen.ignored += batch.ignored;
            if batch.next_offset == state.next_offset {
                break;
            }
            state = state_after(&state, &batch);
        }
        assert!(state.sequence >= expected / PARTITIONS);
        seen.ends.push(expected);
    }
    seen
}
