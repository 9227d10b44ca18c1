//! What lies outside the rules is refused with the gap stated: nobody jumps, nobody guesses.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod kafka;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka::Namespace;
use kafka::source::{self, PARTITIONS, TOPIC, body, participant, place, spec};
use lienthong_contract::sink::OffsetState;
use lienthong_log::kafka::{KafkaLog, KafkaLogin, KafkaOptions, KafkaSasl, KafkaTls};
use lienthong_log::record::NewRecord;
use lienthong_log::{
    Batch, CheckedLog, ConsumeOptions, Consumer, Delivered, Log, LogError, TopicPartition, Writer,
    WriterError,
};
use lienthong_testkit::eventually;
use lienthong_testkit::private_kafka::PrivateKafka;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use rdkafka::admin::{AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

async fn writer(log: &dyn Log) -> Result<Box<dyn Writer>, WriterError> {
    Ok(log.open_writer(&participant(), &[TOPIC.to_owned()]).await?.0)
}

/// Deletes what stands before an offset, as retention does.
async fn cut(namespace: &Namespace, source: &TopicPartition, before: i64) {
    let mut list = TopicPartitionList::new();
    let name = format!("{}{}", namespace.prefix, source.topic);
    list.add_partition_offset(&name, source.partition, Offset::Offset(before)).expect("list");
    namespace.admin().delete_records(&list, &AdminOptions::new()).await.expect("deleted");
}

fn broken(opened: Result<Box<dyn Writer>, WriterError>) -> String {
    match opened.map(|_| ()) {
        Err(error @ WriterError::Broken { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_retention_has_passed_is_told_the_gap() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let mut writer = writer(&log).await.expect("writer");
    writer.append(&source::batch(0..60, |_| false)).await.expect("append");
    cut(&namespace, &place(0), 10).await;
    assert_eq!(log.watermarks(&place(0)).await.expect("watermarks").low, 10);
    let error = log.read(&place(0), OffsetState::START, 1000).await.expect_err("gone").to_string();
    assert!(error.contains("offset 0") && error.contains("10"), "{error}");

    let options = ConsumeOptions {
        group: "g".into(),
        topics: vec![TOPIC.into()],
        fetch_bytes: 1 << 20,
        session: Duration::from_secs(6),
    };
    let mut member = log.consume(&options).await.expect("member");
    let mut assigned = 0;
    while assigned < PARTITIONS {
        if let Some(Delivered::Assigned(_)) = member.next(Duration::from_millis(200)).await.expect("next") {
            assigned += 1;
        }
    }
    member.start(&place(0), OffsetState::START).await.expect("start");
    assert_eq!(expired(&mut *member).await, (place(0), 0, 10));
    // Where it may begin, it begins; and a place that goes while it reads is told too.
    let state = OffsetState { next_offset: 10, epoch: writer.epoch(), sequence: 9, fresh_through: 0 };
    member.start(&place(0), state).await.expect("start");
    let Some(Delivered::Records(batch)) = member.next(Duration::from_secs(10)).await.expect("next") else {
        panic!("no records");
    };
    assert_eq!((batch.entries.len(), batch.next_offset), (11, 21));
    member.pause(&place(0)).await.expect("pause");
    writer.append(&source::batch(60..120, |_| false)).await.expect("append");
    cut(&namespace, &place(0), 31).await;
    member.resume(&place(0)).await.expect("resume");
    assert_eq!(expired(&mut *member).await, (place(0), 21, 31));
    member.leave().await.expect("leave");
}

async fn expired(member: &mut dyn Consumer) -> (TopicPartition, i64, i64) {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        match member.next(Duration::from_millis(200)).await.expect("next") {
            None => {}
            Some(Delivered::Expired { source, wanted, low }) => return (source, wanted, low),
            Some(other) => panic!("{other:?}"),
        }
    }
    panic!("the loss was not told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_checkpoint_retention_has_passed_refuses_to_run() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let mut first = writer(&log).await.expect("writer");
    first.append(&source::batch(0..30, |_| false)).await.expect("append");
    let _leave = first.checkpoint(&body(30)).await.expect("checkpoint");
    first.append(&source::batch(30..60, |_| false)).await.expect("append");
    cut(&namespace, &place(1), 11).await;
    // The checkpoint covers what is gone.
    let _second = writer(&log).await.expect("writer");
    cut(&namespace, &place(1), 15).await;
    let error = broken(writer(&log).await);
    assert!(error.contains(TOPIC) && error.contains("offsets 11 to 14 are gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_checkpoint_vouches_for_the_rest_nobody_begins() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let mut writer = writer(&log).await.expect("writer");
    writer.append(&source::batch(0..30, |_| false)).await.expect("append");
    let _leave = writer.checkpoint(&body(30)).await.expect("checkpoint");
    writer.append(&source::batch(30..60, |_| false)).await.expect("append");
    cut(&namespace, &place(0), 15).await;
    let error = log.start_at(&place(0), 0).await.expect_err("in the middle").to_string();
    assert!(error.contains("begins at offset 15") && error.contains("start the connector"), "{error}");
    let _leave = writer.checkpoint(&body(60)).await.expect("checkpoint");
    assert_eq!(log.start_at(&place(0), 0).await.expect("start").next_offset, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_partition_count_is_refused() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let mut first = writer(&log).await.expect("writer");
    let _leave = first.checkpoint(&body(0)).await.expect("checkpoint");
    let name = format!("{}{TOPIC}", namespace.prefix);
    let more = [NewPartitions::new(&name, 5)];
    namespace.admin().create_partitions(&more, &AdminOptions::new()).await.expect("changed");
    let wanted = [spec(TOPIC, PARTITIONS as i32, false)];
    eventually(Duration::from_secs(20), async || {
        Ok(log.describe_topics(&wanted).await?[0].partitions == Some(5))
    })
    .await
    .expect("known");
    let error = broken(writer(&log).await);
    assert!(error.contains("3 partitions") && error.contains('5'), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_positions_topic_is_refused() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    for _ in 0..4 {
        writer(&log).await.expect("writer");
    }
    let admin = namespace.admin();
    let name = format!("{}lt.positions", namespace.prefix);
    admin.delete_topics(&[&name], &AdminOptions::new()).await.expect("deleted");
    let positions = spec("lt.positions", 1, true);
    eventually(Duration::from_secs(20), async || {
        let wanted = std::slice::from_ref(&positions);
        // The name is free a moment after the topic is gone.
        let _busy = log.create_topics(wanted).await;
        let source = TopicPartition { topic: "lt.positions".into(), partition: 0 };
        Ok(log.watermarks(&source).await.is_ok_and(|marks| marks.high == 0))
    })
    .await
    .expect("recreated");
    let error = broken(writer(&log).await);
    assert!(error.contains("fence of epoch") && error.contains("recreated"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_endanger_records_are_described() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let name = format!("{}{TOPIC}", namespace.prefix);
    let dangerous = AlterConfig::new(ResourceSpecifier::Topic(&name))
        .set("retention.ms", "60000")
        .set("cleanup.policy", "compact,delete")
        .set("unclean.leader.election.enable", "true");
    namespace.admin().alter_configs([&dangerous], &AdminOptions::new()).await.expect("altered");
    let wanted = [spec(TOPIC, PARTITIONS as i32, false)];
    let mut said = String::new();
    let known = eventually(Duration::from_secs(20), async || {
        said = format!("{:?}", log.describe_topics(&wanted).await?[0].differences);
        Ok(["for 60 s", "for ever", "compact,delete", "unclean"].iter().all(|word| said.contains(word)))
    });
    known.await.unwrap_or_else(|_| panic!("{said}"));
}

/// What topics are created with; the brokers' own default is less.
const LARGEST: (&str, &str) = ("max.message.bytes", "2097152");

/// Altering replaces all settings of the topic; the brokers' own defaults are not all ours.
async fn alter(namespace: &Namespace, topic: &str, settings: &[(&str, &str)]) {
    let name = format!("{}{topic}", namespace.prefix);
    let resource = AlterConfig::new(ResourceSpecifier::Topic(&name));
    let change = settings.iter().fold(resource, |change, (property, value)| change.set(property, value));
    namespace.admin().alter_configs([&change], &AdminOptions::new()).await.expect("altered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_whose_settings_endanger_a_promise_is_neither_written_nor_delivered_from() {
    let namespace = Namespace::shared();
    let log = Arc::new(namespace.log());
    source::prepare(log.as_ref()).await;
    let specs = vec![spec(TOPIC, PARTITIONS as i32, false), spec("lt.positions", 1, true)];
    let checked = CheckedLog::new(log, specs.clone());
    let options = ConsumeOptions {
        group: "g".into(),
        topics: vec![TOPIC.into()],
        fetch_bytes: 1 << 20,
        session: Duration::from_secs(6),
    };
    writer(&checked).await.expect("as its contract says");
    for (topic, property, value, wanted) in [
        ("lt.positions", "cleanup.policy", "delete", "compact"),
        ("lt.positions", "unclean.leader.election.enable", "true", "false"),
        (TOPIC, "cleanup.policy", "compact", "delete"),
        (TOPIC, "retention.ms", "60000", "retention.ms=-1"),
        (TOPIC, "retention.bytes", "1000", "-1"),
        (TOPIC, "unclean.leader.election.enable", "true", "false"),
        (TOPIC, "message.timestamp.type", "LogAppendTime", "CreateTime"),
        (TOPIC, "max.message.bytes", "1048588", LARGEST.1),
    ] {
        let others = [LARGEST].into_iter().filter(|(name, _)| *name != property);
        alter(&namespace, topic, &others.chain([(property, value)]).collect::<Vec<_>>()).await;
        let mut said = String::new();
        let refused = eventually(Duration::from_secs(20), async || {
            let ended = checked.consume(&options).await.map(|_| ()).err();
            said = ended.as_ref().map(ToString::to_string).unwrap_or_default();
            Ok(matches!(ended, Some(LogError::Topic { .. })))
        });
        refused.await.unwrap_or_else(|_| panic!("{topic} {property}: {said}"));
        assert!([topic, property, wanted, "fix: "].iter().all(|word| said.contains(word)), "{said}");
        let opened = writer(&checked).await.map(|_| ());
        assert!(matches!(opened, Err(WriterError::Log(LogError::Topic { .. }))), "{opened:?}");
        for (topic, policy) in [("lt.positions", "compact"), (TOPIC, "delete")] {
            let settings = [("cleanup.policy", policy), ("retention.ms", "-1"), LARGEST];
            alter(&namespace, topic, &settings).await;
        }
        let free = eventually(Duration::from_secs(20), async || {
            said = checked.consume(&options).await.map_or_else(|error| error.to_string(), |_| String::new());
            Ok(said.is_empty())
        });
        free.await.unwrap_or_else(|_| panic!("{property} is as it should be again: {said}"));
    }
    // More copies in sync than the topic asks for.
    let strict =
        KafkaLog::connect(KafkaOptions { replication: Some(2), ..namespace.options() }).expect("clients");
    let mut more = specs;
    for spec in &mut more {
        (spec.replication, spec.min_insync_replicas) = (2, 2);
    }
    // Fewer copies than the contract wants are told, with who can make more.
    let told = &strict.describe_topics(&more).await.expect("described")[0].differences;
    let copies = told.iter().find(|difference| difference.property == "replication").expect("replication");
    assert_eq!((copies.found.as_str(), copies.wanted.as_str(), copies.endangers), ("1", "2", false));
    assert!(copies.fix.contains("reassign the partitions"), "{}", copies.fix);
    let error =
        CheckedLog::new(Arc::new(strict), more).consume(&options).await.map(|_| ()).expect_err("too few");
    assert!(error.to_string().contains("min.insync.replicas is 1; it should be 2"), "{error}");
}

/// As [`source::batch`], with one event that no compression makes small.
fn batch_with_a_large_event(events: std::ops::Range<u64>, large: u64, skipped: &HashSet<Box<str>>) -> Batch {
    let mut batch = Batch::default();
    let mut noise = vec![0; 100_000];
    StdRng::seed_from_u64(large).fill_bytes(&mut noise);
    for number in events {
        let id = format!("e{number}");
        if !skipped.contains(id.as_str()) {
            let value = if number == large { noise.as_slice() } else { b"small" };
            let headers: [(&'static str, &[u8]); 2] =
                [("ce_id", id.as_bytes()), ("ce_type", b"test.happened")];
            let record = NewRecord { key: id.as_bytes(), headers: &headers, value, time: 1 };
            batch.push(&place(number % PARTITIONS), &record).expect("it fits");
        }
    }
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_topic_no_longer_takes_ends_the_writer_and_nothing_behind_it_is_seen() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let topics = [TOPIC.to_owned()];
    let (mut first, _) = log.open_writer(&participant(), &topics).await.expect("writer");
    first.append(&source::batch(0..30, |_| false)).await.expect("append");
    let _leave = first.checkpoint(&body(30)).await.expect("checkpoint");
    alter(&namespace, TOPIC, &[("max.message.bytes", "50000")]).await;
    // The broker takes the setting a moment after it has said yes.
    let until = Instant::now() + Duration::from_secs(20);
    let (mut begin, none) = (30, HashSet::new());
    let (large, error) = loop {
        let large = begin + 15;
        let events = batch_with_a_large_event(begin..begin + 30, large, &none);
        match first.append(&events).await {
            Ok(()) => begin += 30,
            Err(error) => break (large, error),
        }
        assert!(Instant::now() < until, "the topic goes on taking large records");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let end = begin + 30;
    let text = error.to_string();
    assert!(matches!(error, WriterError::Broken { .. }), "{error:?}");
    let words =
        ["does not take a record", "set max.message.bytes of the topic to 2097152", "topics describe"];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");

    let ended = |told: Result<(), WriterError>| match told {
        Err(WriterError::Lost(reason)) => assert!(reason.contains("this writer has ended"), "{reason}"),
        other => panic!("{other:?}"),
    };
    for number in end..end + 3 {
        ended(first.append(&source::batch(number..number + 1, |_| false)).await);
    }
    ended(first.heartbeat(1).await);
    ended(first.checkpoint(&body(begin)).await.map(|_| ()));

    // Everything up to the batch is there; of the batch, in the refused record's partition, nothing from that record on.
    let seen = source::check(&log).await;
    for (partition, seen) in (0..PARTITIONS).zip(&seen.ends) {
        let first_unseen = |from: u64| (from..).find(|number| number % PARTITIONS == partition);
        assert!(Some(*seen) >= first_unseen(begin), "{partition}: {seen} of {begin}");
        let most = if large % PARTITIONS == partition { Some(large) } else { first_unseen(end) };
        assert!(Some(*seen) <= most, "{partition}: {seen} of {most:?}");
    }

    // As it should be again, the next writer goes on behind what is seen.
    alter(&namespace, TOPIC, &[LARGEST]).await;
    let until = Instant::now() + Duration::from_secs(20);
    let (mut next, recovered) = loop {
        let (mut next, recovered) = log.open_writer(&participant(), &topics).await.expect("writer");
        let rest = batch_with_a_large_event(30..end, large, &recovered.collected);
        match next.append(&rest).await {
            Ok(()) => break (next, recovered),
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    assert_eq!(recovered.checkpoint, Some(body(30)));
    let _leave = next.checkpoint(&body(end)).await.expect("checkpoint");
    let ends: Vec<u64> = source::check(&log).await.ends;
    assert_eq!(ends, [end, end + 1, end + 2], "every event once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_down_are_named() {
    let options = KafkaOptions::new("127.0.0.1:9", &lienthong_testkit::env::registry());
    let log = KafkaLog::connect(options).expect("clients");
    let error = log.watermarks(&place(0)).await.expect_err("nobody there");
    assert!(matches!(&error, LogError::Unreachable { address, .. } if address == "127.0.0.1:9"), "{error:?}");
}

#[test]
fn a_file_that_cannot_be_used_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().expect("folder");
    let (absent, broken) = (folder.path().join("absent.pem"), folder.path().join("broken.pem"));
    std::fs::write(&broken, "no certificate").expect("file");
    for ca in [absent, broken] {
        let tls = Some(KafkaTls { ca: Some(ca), ..KafkaTls::default() });
        let options = KafkaOptions { tls, ..KafkaOptions::new("127.0.0.1:9", "https://127.0.0.1:9") };
        let error = KafkaLog::connect(options).expect_err("not usable");
        assert!(matches!(error, LogError::Options { .. }), "{error:?}");
        assert!(error.to_string().contains("fix: correct `log`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_as_a_refusal() {
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"broker\" password=\"b\" user_broker=\"b\" user_moj=\"right\";";
    let broker = PrivateKafka::start(&[
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_PLAINTEXT",
        "inter.broker.listener.name=PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN",
        "sasl.mechanism.inter.broker.protocol=PLAIN",
        &format!("listener.name.plaintext.plain.sasl.jaas.config={login}"),
    ])
    .await
    .expect("broker");
    let options = |password: &str| KafkaOptions {
        replication: Some(1),
        sasl: Some(KafkaSasl {
            mechanism: "PLAIN".into(),
            login: KafkaLogin { username: "moj".into(), password: password.into() },
        }),
        ..KafkaOptions::new(&broker.address(), &lienthong_testkit::env::registry())
    };
    let log = KafkaLog::connect(options("right")).expect("clients");
    log.create_topics(&[spec(TOPIC, 1, false)]).await.expect("topic");
    let log = KafkaLog::connect(options("wr0ng")).expect("clients");
    let error = log.watermarks(&place(0)).await.expect_err("refused");
    assert!(matches!(error, LogError::Refused(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("wr0ng"), "{error}");
}
