//! What an owner's own trigger wrote down of its table, and the events of the log: each change is told once and in order.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::event::header;
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::kafka::{KafkaLog, KafkaOptions};
use lienthong_log::{Log, TopicPartition, marks};
use lienthong_testkit::database::Database;
use lienthong_testkit::env;
use serde_json::Value;

use crate::site::Site;

/// Statements that keep a history of `residence`, in the transactions that change it.
pub(crate) const KEEP: [&str; 3] = [
    "create table history (n bigint generated always as identity primary key, operation text, file_no text, pin text, street text)",
    "create function history() returns trigger language plpgsql as $$ begin
       if tg_op = 'DELETE' or (tg_op = 'UPDATE' and old.file_no <> new.file_no) then
         insert into history (operation, file_no, pin, street) values ('delete', old.file_no, old.pin, old.street); end if;
       if tg_op = 'INSERT' or (tg_op = 'UPDATE' and old.file_no <> new.file_no) then
         insert into history (operation, file_no, pin, street) values ('insert', new.file_no, new.pin, new.street); end if;
       if tg_op = 'UPDATE' and old.file_no = new.file_no then
         if old.pin <> new.pin then insert into history (operation, file_no, pin) values ('rekey', new.file_no, old.pin); end if;
         insert into history (operation, file_no, pin, street) values ('update', new.file_no, new.pin, new.street); end if;
       return null; end $$",
    "create trigger history after insert or update or delete on residence for each row execute function history()",
];

/// Begins the history, where nobody is at work.
pub(crate) const EMPTY: &str = "truncate history";

/// Operation, subject, and the street where the event is not only of a subject.
type Told = (String, String, Option<String>);

/// `topic/partition`, and the offset.
type At = (String, i64);

struct Event {
    file_no: String,
    /// `ce_sequence`, and whether it only tells that another subject goes on.
    order: (String, bool),
    place: At,
    told: Told,
}

/// The log of a site at this address.
pub(crate) fn open(site: &Site, address: &str) -> Result<Box<dyn Log>> {
    let Some(rest) = address.strip_prefix("kafka://") else {
        return Ok(Box::new(EmbeddedLog::open(site.path("var/lienthong.db"))?));
    };
    let (broker, query) = rest.split_once('?').context("a registry")?;
    let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).context("a prefix")?;
    let mut options = KafkaOptions::new(broker, &env::registry());
    options.prefix = prefix.to_owned();
    Ok(Box::new(KafkaLog::connect(options)?))
}

/// Values by place, as `tail` shows them.
fn values(site: &Site) -> Result<BTreeMap<At, Value>> {
    let output = site.run(&["tail", "residence", "--show-values", "--output", "json"])?;
    ensure!(output.status.success(), "tail ended with {}", output.status);
    let mut values = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let mut event: Value = serde_json::from_str(line)?;
        let place = event["topic"].as_str().context("a place")?.to_owned();
        let offset = event["offset"].as_i64().context("an offset")?;
        values.insert((place, offset), event["values"].take());
    }
    Ok(values)
}

/// Every event that counts. An id stands once; sequences are dense in each partition, where heartbeats have theirs, which is the
/// reading rule itself: what breaks it does not count, and is missed in the history.
async fn events(site: &Site, address: &str) -> Result<(Vec<Event>, usize)> {
    let (log, values) = (open(site, address)?, values(site)?);
    let places: BTreeSet<&String> = values.keys().map(|(place, _)| place).collect();
    let (mut ids, mut writers, mut events) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for place in places {
        let (topic, partition) = place.rsplit_once('/').context("topic and partition")?;
        let source = TopicPartition { topic: topic.into(), partition: partition.parse()? };
        let mut state = OffsetState::START;
        let mut last: BTreeMap<Vec<u8>, (String, bool)> = BTreeMap::new();
        loop {
            let batch = log.read(&source, state, 1 << 20).await?;
            for entry in &batch.entries {
                let record = batch.record(entry)?;
                let text = |name: &str| -> Result<String> {
                    Ok(std::str::from_utf8(record.header(name).context("a header")?)?.to_owned())
                };
                ensure!(ids.insert(text(header::ID)?), "an id stands twice in the log");
                writers.insert(entry.epoch);
                let operation = text(header::OPERATION)?;
                let order = (text(header::SEQUENCE)?, operation != "rekey");
                if let Some(before) = last.insert(record.key.to_vec(), order.clone()) {
                    ensure!(
                        before < order || operation == "snapshot",
                        "a subject's events go back: {before:?} {order:?}"
                    );
                }
                let at = (place.clone(), entry.offset);
                let row = values.get(&at).context("tail shows every event")?;
                let value = |name: &str| row[name].as_str().map(str::to_owned);
                let file_no = value("residence_file_no").context("a number")?;
                let street = value("address.street").filter(|_| operation != "rekey");
                let subject = std::str::from_utf8(record.key)?.to_owned();
                events.push(Event { file_no, order, place: at, told: (operation, subject, street) });
            }
            if batch.next_offset == state.next_offset {
                break;
            }
            state = marks::state_after(&state, &batch);
        }
    }
    ensure!(events.len() == values.len(), "tail shows {} events of {}", values.len(), events.len());
    Ok((events, writers.len()))
}

/// The log against the history. Gives the events, and by how many connectors they were written.
pub(crate) async fn check(site: &Site, address: &str, owner: &mut Database) -> Result<(usize, usize)> {
    let (mut found, writers) = events(site, address).await?;
    let count = found.len();
    found.retain(|event| event.told.0 != "snapshot");
    found.sort_by(|one, other| one.order.cmp(&other.order));
    let mut log: BTreeMap<String, Vec<(Told, At)>> = BTreeMap::new();
    for event in found {
        log.entry(event.file_no).or_default().push((event.told, event.place));
    }
    let mut kept: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for row in owner.rows("select operation, file_no, pin, street from history order by n").await? {
        let [operation, file_no, pin, street] = <[_; 4]>::try_from(row).ok().context("four columns")?;
        let told = (operation.context("an operation")?, pin.context("a subject")?, street);
        kept.entry(file_no.context("a number")?).or_default().push(told);
    }
    for (file_no, kept) in &kept {
        let told = log.remove(file_no).unwrap_or_default();
        let short = |(operation, pin, street): &Told| {
            format!(
                "{operation} {pin} {}",
                street.as_deref().unwrap_or_default().get(..8).unwrap_or_default()
            )
        };
        let same = told.len() == kept.len() && told.iter().map(|(told, _)| told).eq(kept);
        ensure!(
            same,
            "{file_no} in the log: {:#?}, in the history: {:#?}",
            told.iter().map(|(told, place)| format!("{} {place:?}", short(told))).collect::<Vec<_>>(),
            kept.iter().map(short).collect::<Vec<_>>()
        );
    }
    ensure!(log.is_empty(), "the log has changes of {} rows that never were", log.len());
    Ok((count, writers))
}
