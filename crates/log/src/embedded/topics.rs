//! Topics and their lanes (one lane = one partition).

use std::sync::Arc;

use lienthong_schemas::counted;
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::file::immediate;
use crate::api::{LogError, TopicPartition};
use crate::topic::{CREATE, Difference, TopicSpec, TopicState, absent, is_shorter, kept, retention_ms};

/// One partition as the file has it now.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) id: i64,
    pub(super) source: TopicPartition,
    pub(super) low: i64,
    pub(super) next_offset: i64,
    pub(super) epoch: i64,
    pub(super) sequence: u64,
}

/// One lane.
pub(super) fn lane(sql: &Connection, source: &TopicPartition) -> Result<Lane, Fault> {
    let mut statement = sql.prepare_cached(
        "select lane.id, low, next_offset, epoch, sequence from lane join topic on topic.id = lane.topic
         where topic.name = ?1 and lane.partition = ?2",
    )?;
    let lane = statement
        .query_row(params![&*source.topic, source.partition], |row| {
            Ok(Lane {
                id: row.get(0)?,
                source: source.clone(),
                low: row.get(1)?,
                next_offset: row.get(2)?,
                epoch: row.get(3)?,
                sequence: row.get::<_, i64>(4)? as u64,
            })
        })
        .optional()?;
    lane.ok_or_else(|| missing(&format!("{}/{}", source.topic, source.partition)).into())
}

/// All lanes of the named topics, in order of topic and partition.
pub(super) fn lanes<'a>(
    sql: &Connection,
    topics: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Lane>, Fault> {
    let mut statement = sql.prepare_cached(
        "select lane.id, partition, low, next_offset, epoch, sequence from lane
         join topic on topic.id = lane.topic where topic.name = ?1 order by partition",
    )?;
    let mut found = Vec::new();
    for name in topics {
        let topic: Arc<str> = name.into();
        let rows = statement.query_map([name], |row| {
            Ok(Lane {
                id: row.get(0)?,
                source: TopicPartition { topic: Arc::clone(&topic), partition: row.get(1)? },
                low: row.get(2)?,
                next_offset: row.get(3)?,
                epoch: row.get(4)?,
                sequence: row.get::<_, i64>(5)? as u64,
            })
        })?;
        let before = found.len();
        for row in rows {
            found.push(row?);
        }
        if found.len() == before {
            return Err(missing(name).into());
        }
    }
    Ok(found)
}

/// Id of a topic.
pub(super) fn topic_id(sql: &Connection, name: &str) -> Result<i64, Fault> {
    let mut statement = sql.prepare_cached("select id from topic where name = ?1")?;
    let id = statement.query_row([name], |row| row.get(0)).optional()?;
    id.ok_or_else(|| missing(name).into())
}

fn missing(name: &str) -> LogError {
    LogError::Topic { problem: format!("the log has no {name}"), fix: CREATE.into() }
}

/// What exists against what should.
pub(super) fn describe(sql: &Connection, wanted: &[TopicSpec]) -> Result<Vec<TopicState>, Fault> {
    let mut statement =
        sql.prepare_cached("select partitions, retention_ms, compacted from topic where name = ?1")?;
    let mut states = Vec::with_capacity(wanted.len());
    for spec in wanted {
        let found = statement
            .query_row([&spec.name], |row| {
                Ok((row.get::<_, i32>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, bool>(2)?))
            })
            .optional()?;
        let differences = match found {
            None => vec![absent(spec)],
            Some(found) => differences(spec, found),
        };
        let partitions = found.map(|(partitions, ..)| partitions);
        states.push(TopicState { name: spec.name.clone(), partitions, differences });
    }
    Ok(states)
}

fn differences(spec: &TopicSpec, found: (i32, Option<i64>, bool)) -> Vec<Difference> {
    let (partitions, retention, compacted) = found;
    let mut all = Vec::new();
    let mut differ = |property: &'static str, found: String, wanted: String, endangers: bool| {
        if found != wanted {
            let fix =
                "correct the contract, or begin a new log file: topics of a file do not change".to_owned();
            all.push(Difference { topic: spec.name.clone(), property, found, wanted, endangers, fix });
        }
    };
    differ("the number of partitions", partitions.to_string(), spec.partitions.to_string(), true);
    let policy = |compacted: bool| if compacted { "compact" } else { "delete" }.to_owned();
    differ("the clean-up", policy(compacted), policy(spec.compacted), true);
    if !spec.compacted {
        let (found, wanted) = (retention.unwrap_or(-1), retention_ms(spec));
        differ("the retention", kept(found), kept(wanted), is_shorter(found, wanted));
    }
    all
}

/// Creates what is missing; never changes what is there.
pub(super) fn create(sql: &mut Connection, wanted: &[TopicSpec]) -> Result<(), Fault> {
    let transaction = immediate(sql)?;
    for spec in wanted {
        if spec.partitions < 1 {
            return Err(LogError::Topic {
                problem: format!("{} is to have {}", spec.name, counted(spec.partitions, "partition")),
                fix: "give it at least one".into(),
            }
            .into());
        }
        let created = transaction.execute(
            "insert into topic(name, partitions, retention_ms, compacted) values(?1, ?2, ?3, ?4) on conflict do nothing",
            params![spec.name, spec.partitions, Some(retention_ms(spec)).filter(|ms| *ms >= 0), spec.compacted],
        )?;
        if created == 1 {
            let topic = transaction.last_insert_rowid();
            for partition in 0..spec.partitions {
                transaction.execute(
                    "insert into lane(topic, partition) values(?1, ?2)",
                    params![topic, partition],
                )?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
