//! Side topics: newest value per key, and records without order promises.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::append::{Kind, Run, append};
use super::clock::now_micros;
use super::fault::Fault;
use super::file::immediate;
use super::topics::{lane, topic_id};
use crate::api::{LogError, TopicPartition};
use crate::marks::is_family_topic;
use crate::murmur2;
use crate::record::{Malformed, encode_parts};

/// Puts the newest value of a key.
pub(super) fn put(sql: &Connection, topic: &str, key: &[u8], value: &[u8]) -> Result<(), Fault> {
    let id = side_topic(sql, topic)?;
    sql.prepare_cached(
        "insert into keyed(topic, key, value) values(?1, ?2, ?3)
         on conflict(topic, key) do update set value = excluded.value",
    )?
    .execute(params![id, key, value])?;
    Ok(())
}

/// Takes a key out.
pub(super) fn remove(sql: &Connection, topic: &str, key: &[u8]) -> Result<(), Fault> {
    let id = side_topic(sql, topic)?;
    sql.prepare_cached("delete from keyed where topic = ?1 and key = ?2")?.execute(params![id, key])?;
    Ok(())
}

/// Newest value of every key.
pub(super) fn table(sql: &Connection, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Fault> {
    let id = side_topic(sql, topic)?;
    let mut statement = sql.prepare_cached("select key, value from keyed where topic = ?1")?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Appends one record.
pub(super) fn publish(
    sql: &mut Connection,
    topic: &str,
    key: &[u8],
    headers: &[(&str, &[u8])],
    value: &[u8],
) -> Result<(), Fault> {
    side_topic(sql, topic)?;
    let time = now_micros();
    let mut body = Vec::with_capacity(key.len() + value.len() + 256);
    encode_parts(&mut body, time, key, headers, value).map_err(|Malformed| too_long(topic))?;
    let transaction = immediate(sql)?;
    let partitions: i32 =
        transaction.query_row("select partitions from topic where name = ?1", [topic], |row| row.get(0))?;
    let target = TopicPartition { topic: topic.into(), partition: murmur2::partition(key, partitions) };
    let mut lane = lane(&transaction, &target)?;
    let run = Run { kind: Kind::Side, count: 1, times: (time, time), append_time: time, body: &body };
    append(&transaction, std::path::Path::new(topic), &mut lane, &run)?;
    transaction.commit()?;
    Ok(())
}

fn too_long(topic: &str) -> Fault {
    LogError::Inconsistent(format!("a record for {topic} has a key or header longer than 65535 bytes")).into()
}

fn side_topic(sql: &Connection, topic: &str) -> Result<i64, Fault> {
    if is_family_topic(topic) {
        return Err(LogError::Refused(format!(
            "{topic} is a family topic: only its owner's writer may write it"
        ))
        .into());
    }
    topic_id(sql, topic)
}
