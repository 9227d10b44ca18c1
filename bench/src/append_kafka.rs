//! The Kafka engine's append against a bare idempotent producer that sends the same bytes with the same settings.

use std::time::{Duration, Instant};

use anyhow::Result;
use lienthong_contract::participant::ParticipantId;
use lienthong_log::kafka::{KafkaLog, KafkaOptions};
use lienthong_log::{Batch, Log, RecordRef, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::append_embedded::batch;
use crate::paired::{Pairs, ROUNDS};

const BATCHES: usize = 100;

pub(crate) async fn run() -> Result<()> {
    let prefix = lienthong_testkit::kafka::namespace();
    let brokers = lienthong_testkit::env::kafka();
    let log = KafkaLog::connect(KafkaOptions {
        prefix: prefix.clone(),
        ..KafkaOptions::new(&brokers, &lienthong_testkit::env::registry())
    })?;
    let topics = ["lt.bench.live".to_owned(), "lt.bench.bulk".to_owned()];
    let mut specs: Vec<TopicSpec> = topics.iter().map(|name| spec(name, false)).collect();
    specs.push(spec("lt.positions", true));
    log.create_topics(&specs).await?;
    for topic in &topics {
        for (name, text) in lienthong_log::control::schemas() {
            log.register_schema(topic, name, text).await?;
        }
    }
    let (mut writer, _) = log.open_writer(&ParticipantId::new("bench.writer")?, &topics).await?;
    let bare = bare()?;

    let batch = batch();
    let records = (BATCHES * batch.len()) as u64;
    let topic = format!("{prefix}lt.bench.bulk");
    let mut pairs = Pairs::default();
    for round in 0..ROUNDS {
        let first = if round % 2 == 0 { Some(send(&bare, &topic, &batch)?) } else { None };
        let start = Instant::now();
        for _ in 0..BATCHES {
            writer.append(&batch).await?;
        }
        let ours = start.elapsed().as_secs_f64();
        let theirs = match first {
            Some(seconds) => seconds,
            None => send(&bare, &topic, &batch)?,
        };
        pairs.push(ours, theirs);
    }
    pairs.report("kafka append", records, "record", 0.85);
    drop((writer, bare));
    crate::topics::delete(&prefix).await
}

fn bare() -> Result<ThreadedProducer<DefaultProducerContext>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", lienthong_testkit::env::kafka());
    for (key, value) in
        [("enable.idempotence", "true"), ("acks", "all"), ("compression.type", "lz4"), ("linger.ms", "1")]
    {
        config.set(key, value);
    }
    Ok(config.create()?)
}

/// Seconds for the bare append of at least so many records of the size of a row.
pub(crate) async fn bare_seconds(records: u64) -> Result<f64> {
    let prefix = lienthong_testkit::kafka::namespace();
    let log = KafkaLog::connect(KafkaOptions {
        prefix: prefix.clone(),
        ..KafkaOptions::new(&lienthong_testkit::env::kafka(), &lienthong_testkit::env::registry())
    })?;
    let topic = "lt.bench.bulk";
    log.create_topics(&[spec(topic, false)]).await?;
    let (bare, batch) = (bare()?, batch());
    let each = (BATCHES * batch.len()) as u64;
    let times = records.div_ceil(each);
    let mut seconds = 0.0;
    for _ in 0..times {
        seconds += send(&bare, &format!("{prefix}{topic}"), &batch)?;
    }
    crate::topics::delete(&prefix).await?;
    Ok(seconds * records as f64 / (times * each) as f64)
}

fn spec(name: &str, compacted: bool) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: if compacted { 1 } else { 4 },
        replication: 1,
        min_insync_replicas: 1,
        retention: None,
        compacted,
    }
}

/// Sends the batch's records with the headers that the writer would add, and waits for every batch as the writer does.
fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, batch: &Batch) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..BATCHES {
        for part in &batch.parts {
            let mut at = 0;
            while at < part.body.len() {
                let (record, next) = RecordRef::read(&part.body, at)?;
                at = next;
                let added = [("ce_writerepoch", b"1".as_slice()), ("ce_partitionsequence", b"123456")];
                let mut headers = OwnedHeaders::new_with_capacity(4);
                for (key, value) in record.headers().chain(added) {
                    headers = headers.insert(Header { key, value: Some(value) });
                }
                let mut message = BaseRecord::to(topic)
                    .partition(part.target.partition)
                    .key(record.key)
                    .payload(record.value)
                    .headers(headers);
                while let Err((_, back)) = producer.send(message) {
                    std::thread::sleep(Duration::from_micros(200));
                    message = back;
                }
            }
        }
        while producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
