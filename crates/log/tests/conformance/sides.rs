//! Promises about side topics, topics and schemas.

use super::*;
use lienthong_log::{CheckedLog, ConsumeOptions, LogError};

pub async fn the_newest_value_per_key_is_kept(fixture: Fixture) {
    let topic = fixture.status();
    for round in 0..5_u8 {
        fixture.log.put(&topic, b"connector", &[round]).await.expect("put");
    }
    fixture.log.put(&topic, b"router", b"running").await.expect("put");
    let table = fixture.log.table(&topic).await.expect("table");
    let expected =
        BTreeMap::from([(b"connector".to_vec(), vec![4]), (b"router".to_vec(), b"running".to_vec())]);
    assert_eq!(table, expected);
    fixture.log.remove(&topic, b"connector").await.expect("remove");
    fixture.log.remove(&topic, b"never there").await.expect("remove");
    let table = fixture.log.table(&topic).await.expect("table");
    assert_eq!(table.into_keys().collect::<Vec<_>>(), [b"router".to_vec()]);
}

pub async fn published_records_are_read_in_order_with_headers(fixture: Fixture) {
    let topic = fixture.side();
    for number in 0..5_u8 {
        let headers: [(&str, &[u8]); 2] = [("ce_id", b"q"), ("reason", &[number])];
        fixture.log.publish(&topic, b"key", &headers, &[number; 3]).await.expect("publish");
    }
    let source = TopicPartition { topic: topic.as_str().into(), partition: 0 };
    let batch = fixture.log.read(&source, OffsetState::START, 1 << 20).await.expect("read");
    assert_eq!((batch.entries.len(), batch.ignored), (5, 0));
    for (number, entry) in batch.entries.iter().enumerate() {
        let record = batch.record(entry).expect("record");
        assert_eq!(record.key, b"key");
        assert_eq!(record.header("reason"), Some([number as u8].as_slice()));
        assert_eq!(record.value, [number as u8; 3]);
        assert_eq!((entry.epoch, entry.sequence), (-1, 0));
    }
}

pub async fn a_family_topic_takes_no_published_record(fixture: Fixture) {
    let published = fixture.log.publish(&fixture.live(), b"k", &[], b"v").await;
    assert!(matches!(published, Err(LogError::Refused(_))), "{published:?}");
}

pub async fn topics_are_described_against_what_is_wanted(fixture: Fixture) {
    let missing = format!("lt.absent-{}.live", fixture.word);
    let wanted = [
        fixture.spec(&fixture.live(), LIVE, false),
        fixture.spec(&fixture.bulk(), BULK + 3, false),
        fixture.spec(&missing, 4, false),
    ];
    let states = fixture.log.describe_topics(&wanted).await.expect("describe");
    assert_eq!(states.len(), 3);
    assert_eq!((states[0].partitions, states[0].differences.len()), (Some(LIVE), 0), "{states:?}");
    assert_eq!(states[1].partitions, Some(BULK));
    assert_eq!(states[1].differences.len(), 1, "{states:?}");
    assert_eq!((states[2].name.as_str(), states[2].partitions), (missing.as_str(), None));
    assert_eq!(states[2].differences.len(), 1);
}

/// What an operator reads when a topic is not what its contract says.
pub async fn a_topic_that_endangers_a_promise_is_not_used(fixture: Fixture) {
    let short = format!("lt.short-{}.live", fixture.word);
    let minute = TopicSpec { retention: Some(Duration::from_secs(60)), ..fixture.spec(&short, 1, false) };
    fixture.log.create_topics(&[minute]).await.expect("create");
    let positions = fixture.spec("lt.positions", 1, true);
    for (spec, words) in [
        (fixture.spec(&fixture.bulk(), BULK + 1, false), ["number of partitions", "is 2; it should be 3"]),
        (fixture.spec(&fixture.bulk(), BULK, true), ["delete", "compact"]),
        (fixture.spec(&short, 1, false), ["for 60 s", "for ever"]),
    ] {
        let topic = spec.name.clone();
        let checked = CheckedLog::new(Arc::clone(&fixture.log), vec![spec, positions.clone()]);
        let options = ConsumeOptions {
            group: format!("g-{}", fixture.word),
            topics: vec![topic.clone()],
            fetch_bytes: 1 << 20,
            session: Duration::from_secs(6),
        };
        let consumed = checked.consume(&options).await.map(|_| ()).expect_err("not used");
        let opened = checked.open_writer(&fixture.participant(), std::slice::from_ref(&topic)).await;
        let said = consumed.to_string();
        assert!(said.contains(&topic) && words.iter().all(|word| said.contains(word)), "{said}");
        assert!(matches!(consumed, LogError::Topic { .. }), "{consumed:?}");
        assert_eq!(opened.map(|_| ()).expect_err("not used").to_string(), said);
    }
}

pub async fn a_topic_that_keeps_more_than_its_contract_asks_is_used(fixture: Fixture) {
    let hour = TopicSpec {
        retention: Some(Duration::from_secs(3600)),
        ..fixture.spec(&fixture.live(), LIVE, false)
    };
    let states = fixture.log.describe_topics(std::slice::from_ref(&hour)).await.expect("describe");
    assert_eq!(states[0].differences.len(), 1, "it is told: {states:?}");
    let checked = CheckedLog::new(Arc::clone(&fixture.log), vec![hour]);
    checked.open_writer(&fixture.participant(), &[fixture.live()]).await.expect("used");
    let unnamed = checked.open_writer(&fixture.participant(), &[fixture.bulk()]).await.map(|_| ());
    assert!(unnamed.expect_err("no contract").to_string().contains(&fixture.bulk()));
}

pub async fn topics_are_never_changed_by_creating_them_again(fixture: Fixture) {
    let more = [fixture.spec(&fixture.live(), LIVE + 5, false)];
    fixture.log.create_topics(&more).await.expect("create");
    let states = fixture.log.describe_topics(&more).await.expect("describe");
    assert_eq!(states[0].partitions, Some(LIVE));
}

const SCHEMA: &str =
    r#"{"type":"record","name":"Happened","namespace":"test","fields":[{"name":"a","type":"string"}]}"#;

pub async fn a_schema_has_one_id_and_its_text(fixture: Fixture) {
    let topic = fixture.live();
    let id = fixture.log.register_schema(&topic, "test.Happened", SCHEMA).await.expect("register");
    assert_eq!(fixture.log.register_schema(&topic, "test.Happened", SCHEMA).await.expect("again"), id);
    assert_eq!(fixture.log.schema_id(&topic, "test.Happened", SCHEMA).await.expect("id"), id);
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let text = fixture.log.schema(id).await.expect("text");
    assert_eq!(value(&text), value(SCHEMA));
    let newer = SCHEMA.replace(
        r#""type":"string"}]"#,
        r#""type":"string"},{"name":"b","type":["null","string"],"default":null}]"#,
    );
    let second = fixture.log.register_schema(&topic, "test.Happened", &newer).await.expect("register");
    assert_ne!(second, id);
    assert_eq!(fixture.log.schema_id(&topic, "test.Happened", SCHEMA).await.expect("old id"), id);
    assert_eq!(fixture.log.schema_id(&topic, "test.Happened", &newer).await.expect("new id"), second);
    let versions = fixture.log.schema_versions(&topic, "test.Happened").await.expect("versions");
    let versions: Vec<_> = versions.iter().map(|text| value(text)).collect();
    assert_eq!(versions, [value(SCHEMA), value(&newer)], "all of them, oldest first");
    assert!(fixture.log.schema_versions(&topic, "test.Unknown").await.expect("none").is_empty());
}

pub async fn a_schema_that_cannot_read_what_was_written_before_is_refused(fixture: Fixture) {
    let topic = fixture.live();
    fixture.log.register_schema(&topic, "test.Happened", SCHEMA).await.expect("register");
    let other = SCHEMA.replace(r#""name":"a","type":"string""#, r#""name":"b","type":"string""#);
    let refused = fixture.log.register_schema(&topic, "test.Happened", &other).await;
    assert!(matches!(refused, Err(LogError::Schema { .. })), "{refused:?}");
}

pub async fn a_schema_is_never_registered_by_asking(fixture: Fixture) {
    for _ in 0..2 {
        let asked = fixture.log.schema_id(&fixture.live(), "test.Happened", SCHEMA).await;
        assert!(matches!(asked, Err(LogError::Schema { .. })), "{asked:?}");
    }
}

pub async fn an_unknown_schema_id_is_an_error(fixture: Fixture) {
    let asked = fixture.log.schema(4_000_000).await;
    assert!(matches!(asked, Err(LogError::Schema { .. })), "{asked:?}");
}
