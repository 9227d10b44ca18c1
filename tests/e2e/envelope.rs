//! Events as a stranger's tools read them: a Kafka client with its defaults, the registry over plain HTTP, another reader of Avro.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use chrono::{DateTime, Utc};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::{env, kafka};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::nation::{Publisher, create_copy};
use crate::reader::root;
use crate::served::get;
use crate::site::{PARTICIPANT, Site};
use crate::traces::{Collector, only};

const SOON: Duration = Duration::from_secs(30);

/// One record, owned.
struct Seen {
    key: Vec<u8>,
    headers: BTreeMap<String, String>,
    value: Vec<u8>,
    /// Milliseconds.
    time: Option<i64>,
}

/// Every record of a topic that is no control record, until there are `count`.
fn events(topic: &str, count: usize) -> Result<Vec<Seen>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka::brokers())
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), SOON)?;
    let mut places = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        places.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let (mut seen, until) = (Vec::new(), Instant::now() + SOON);
    while seen.len() < count {
        ensure!(Instant::now() < until, "{} of {count} events", seen.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let mut headers = BTreeMap::new();
        for header in message.headers().context("headers")?.iter() {
            let value = std::str::from_utf8(header.value.context("a header's value")?)?;
            let before = headers.insert(header.key.to_owned(), value.to_owned());
            ensure!(before.is_none(), "{} stands twice", header.key);
        }
        if headers["ce_type"].starts_with("lienthong.") {
            continue;
        }
        seen.push(Seen {
            key: message.key().context("a key")?.to_owned(),
            headers,
            value: message.payload().context("a value")?.to_owned(),
            time: message.timestamp().to_millis(),
        });
    }
    Ok(seen)
}

/// What the registry answers to a plain question.
async fn asked(path: &str) -> Result<serde_json::Value> {
    let url = env::registry();
    let rest = url.strip_prefix("http://").context("a registry without TLS")?;
    let (server, base) = rest.split_once('/').context("a path")?;
    let (status, body) = get(server, &format!("/{base}/{path}")).await?;
    ensure!(status == 200, "{path}: {status}");
    // The answer may come in chunks; it is one object.
    let object = body.find('{').zip(body.rfind('}')).context("an object")?;
    Ok(serde_json::from_str(&body[object.0..=object.1])?)
}

/// Confluent's framing: a zero, four bytes of the schema's id, the datum.
fn framed(value: &[u8]) -> Result<(u32, &[u8])> {
    let (head, datum) = value.split_first_chunk::<5>().context("five bytes in front")?;
    ensure!(head[0] == 0, "the magic byte is {}", head[0]);
    Ok((u32::from_be_bytes([head[1], head[2], head[3], head[4]]), datum))
}

/// RFC 3339, UTC, microseconds.
fn time(text: &str) -> Result<DateTime<Utc>> {
    let form = text.len() == 27 && text.as_bytes()[19] == b'.' && text.ends_with('Z');
    ensure!(form, "{text} is not UTC with microseconds");
    Ok(DateTime::parse_from_rfc3339(text)?.to_utc())
}

async fn clock(database: &mut Database) -> Result<DateTime<Utc>> {
    let query = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    time(database.rows(query).await?[0][0].as_deref().context("a time")?)
}

fn text(record: &[(String, Value)], field: &str) -> Result<String> {
    let value = record.iter().find(|(name, _)| name == field).map(|(_, value)| value);
    match value.with_context(|| format!("no field {field}"))? {
        Value::String(text) | Value::Enum(_, text) => Ok(text.clone()),
        Value::Union(_, inner) => match &**inner {
            Value::String(text) | Value::Enum(_, text) => Ok(text.clone()),
            other => Ok(format!("{other:?}")),
        },
        other => Ok(format!("{other:?}")),
    }
}

/// `commit` and `capture`: between which times it was committed and captured.
fn has_the_headers(
    event: &Seen,
    operation: &str,
    (begin, end): (DateTime<Utc>, DateTime<Utc>),
    (after, captured): (DateTime<Utc>, DateTime<Utc>),
) -> Result<()> {
    let header = |name: &str| event.headers.get(name).map(String::as_str).unwrap_or_default();
    let names: Vec<&str> = event.headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ce_id",
            "ce_operation",
            "ce_partitionsequence",
            "ce_recordedtime",
            "ce_sequence",
            "ce_source",
            "ce_specversion",
            "ce_subject",
            "ce_time",
            "ce_type",
            "ce_writerepoch",
            "content-type",
        ]
    );
    assert_eq!(
        ["ce_specversion", "ce_source", "ce_type", "ce_operation", "content-type"].map(header),
        ["1.0", "urn:lienthong:homeaffairs.admin-units", "admin_unit.changed", operation, "application/avro"]
    );
    let (committed, recorded) = (time(header("ce_time"))?, time(header("ce_recordedtime"))?);
    ensure!(begin <= committed && committed <= end, "{begin} {committed} {end}");
    ensure!(after <= recorded && recorded <= captured, "{after} {recorded} {captured}");
    assert_eq!(event.time, Some(committed.timestamp_millis()), "the record's own time is the commit's");
    assert_eq!(event.key, header("ce_subject").as_bytes());
    ensure!(header("ce_subject").contains("00000"), "{}", header("ce_subject"));
    ensure!(!header("ce_id").is_empty());
    header("ce_writerepoch").parse::<i64>()?;
    Ok(())
}

/// The framing, the schema of the registry, and the datum as other people's tools decode it.
async fn has_the_value(event: &Seen, topic: &str, name: &str) -> Result<()> {
    let (id, datum) = framed(&event.value)?;
    let told = asked(&format!("schemas/ids/{id}")).await?;
    let schema = Schema::parse_str(told["schema"].as_str().context("a schema")?)?;
    let Schema::Record(contract) = &schema else { anyhow::bail!("no record") };
    let subject = format!("{topic}-{}", contract.name.fullname(None));
    let registered = asked(&format!("subjects/{subject}/versions/latest")).await?;
    assert_eq!(registered["id"], id, "the schema is registered under {subject}");
    let mut rest = datum;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let Value::Record(record) = reader.read_value(&mut rest)? else { anyhow::bail!("no record") };
    ensure!(rest.is_empty(), "{} bytes are left over", rest.len());
    assert_eq!(text(&record, "level")?, "commune");
    assert_eq!(text(&record, "code")?, "00000");
    assert_eq!(text(&record, "name")?, name);
    Ok(())
}

/// The context of the W3C names the span of its publication, whose trace begins at the commit.
fn has_the_trace(event: &Seen, collector: &Collector) -> Result<()> {
    let context = event.headers.get("traceparent").context("a context")?;
    let parts: Vec<&str> = context.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { anyhow::bail!("{context} has other parts") };
    assert_eq!((version, flags, context.len()), ("00", "01", 55), "sampled, and as long as it must be");
    let traces = collector.traces()?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (_, spans) = traces.iter().find(|(id, _)| hex(id) == trace).context("no such trace was sent")?;
    assert_eq!(hex(&only(spans, "publish")?.span_id), span, "who reads on is a child of the publication");
    let committed = time(&event.headers["ce_time"])?.timestamp_nanos_opt().context("nanoseconds")?;
    assert_eq!(i64::try_from(only(spans, "capture")?.start_time_unix_nano)?, committed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_a_cloud_event_that_other_peoples_tools_read() -> Result<()> {
    let publisher = TestDatabase::create().await?;
    let folder = tempfile::tempdir()?;
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let prefix = kafka::namespace();
    let log = format!(
        "\"kafka://{}?registry={}&prefix={prefix}&replication=1\"",
        kafka::brokers(),
        env::registry()
    );
    let site = Site::on(&log, publisher.url(), &[("nso.statistics", &subscriber)])?;
    let mut owner = Publisher::create(publisher.url()).await?;
    create_copy(&subscriber).await?;
    site.prepare()?;
    // The first load of an empty table, so that the row comes through the outbox.
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let mut database = Database::open(publisher.url()).await?;
    let before = clock(&mut database).await?;
    owner.insert(1).await?;
    let between = clock(&mut database).await?;
    database.run(&["update admin_unit set name = 'xã mới'".to_owned()]).await?;
    let after = clock(&mut database).await?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let captured = clock(&mut database).await?;

    let topic = format!("{prefix}lt.admin_unit.live");
    let seen = events(&topic, 2)?;
    let expected = [("insert", "xã 0", (before, between)), ("update", "xã mới", (between, after))];
    for (event, (operation, name, commit)) in seen.iter().zip(expected) {
        has_the_headers(event, operation, commit, (after, captured))?;
        has_the_value(event, &topic, name).await?;
    }
    let [first, second] = &seen[..] else { anyhow::bail!("two events") };
    let of = |event: &Seen, name: &str| event.headers[name].clone();
    assert_eq!(first.key, second.key);
    assert_ne!(of(first, "ce_id"), of(second, "ce_id"));
    assert!(of(first, "ce_sequence") < of(second, "ce_sequence"), "it sorts as text");
    let number = |event: &Seen| of(event, "ce_partitionsequence").parse::<u64>();
    assert_eq!(number(first)? + 1, number(second)?, "dense in the partition");

    let collector = Collector::start().await?;
    site.telemetry(&format!("{{otlp: \"{}\", sample: 1}}", collector.url))?;
    let file = "ministries/homeaffairs.admin-units.yaml";
    let ministry = std::fs::read_to_string(site.path(file))?;
    site.write(file, &ministry.replacen("    from:", "    correlation: full_name\n    from:", 1))?;
    let change = "update admin_unit set name = 'xã cũ', full_name = 'H29.1-260907-0012'";
    database.run(&[change.to_owned()]).await?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let last = &events(&topic, 3)?[2];
    assert_eq!(of(last, "ce_correlationid"), "H29.1-260907-0012");
    let document = std::fs::read_to_string(root()?.join("docs/contracts/asyncapi.yaml"))?;
    for name in last.headers.keys() {
        ensure!(document.contains(&format!("\n        {name}:")), "{name} stands in no contract");
    }
    has_the_trace(last, &collector)
}
