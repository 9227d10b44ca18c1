//! The embedded schema registry: ids by text, versions by subject.

use std::sync::Arc;

use lienthong_schemas::RecordSchema;
use lienthong_schemas::check::compatible;
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::file::immediate;
use crate::api::LogError;

/// Whether a new schema reads what every former one of its subject has written (BACKWARD_TRANSITIVE). The error is one sentence for
/// people.
fn check(new: &str, former: &[Arc<str>]) -> Result<(), String> {
    let parse = |text: &str| RecordSchema::parse(text).map_err(|error| error.to_string());
    let new = parse(new)?;
    for old in former {
        compatible(&parse(old)?, &new).map_err(|reasons| reasons.join("; "))?;
    }
    Ok(())
}

/// Id of a registered schema.
pub(super) fn id(sql: &Connection, topic: &str, full_name: &str, schema: &str) -> Result<u32, Fault> {
    let subject = subject(topic, full_name);
    let text = normal(&subject, schema)?;
    find(sql, &subject, &text)?.ok_or_else(|| {
        LogError::Schema {
            problem: format!("this version of {full_name} is not registered under {subject}"),
            fix: "run `lienthong schema register`".into(),
        }
        .into()
    })
}

/// Text of a schema.
pub(super) fn text(sql: &Connection, id: u32) -> Result<Arc<str>, Fault> {
    let mut statement = sql.prepare_cached("select text from schema_text where id = ?1")?;
    let text = statement.query_row([id], |row| row.get::<_, Arc<str>>(0)).optional()?;
    text.ok_or_else(|| {
        LogError::Schema {
            problem: format!("no schema has the id {id}"),
            fix: "the record was written for another log, or the file was replaced".into(),
        }
        .into()
    })
}

/// Registers a schema; the same text again gives the same id.
pub(super) fn register(
    sql: &mut Connection,
    topic: &str,
    full_name: &str,
    schema: &str,
) -> Result<u32, Fault> {
    let subject = subject(topic, full_name);
    let text = normal(&subject, schema)?;
    let transaction = immediate(sql)?;
    if let Some(id) = find(&transaction, &subject, &text)? {
        return Ok(id);
    }
    let former = of_subject(&transaction, &subject)?;
    check(&text, &former).map_err(|why| LogError::Schema {
        problem: format!("the new version of {subject} cannot read what was written before: {why}"),
        fix: "keep former fields readable, give new ones a default, or begin a new event type".into(),
    })?;
    transaction.execute("insert into schema_text(text) values(?1) on conflict do nothing", [&text])?;
    let id: u32 =
        transaction.query_row("select id from schema_text where text = ?1", [&text], |row| row.get(0))?;
    transaction.execute(
        "insert into schema_version(subject, version, schema) values(?1, ?2, ?3)",
        params![subject, former.len() as i64 + 1, id],
    )?;
    transaction.commit()?;
    Ok(id)
}

/// Every version of a subject, oldest first.
pub(super) fn versions(sql: &Connection, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, Fault> {
    of_subject(sql, &subject(topic, full_name))
}

fn of_subject(sql: &Connection, subject: &str) -> Result<Vec<Arc<str>>, Fault> {
    let mut statement = sql.prepare_cached(
        "select text from schema_version join schema_text on schema_text.id = schema where subject = ?1 order by version",
    )?;
    let texts = statement.query_map([subject], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts)
}

fn find(sql: &Connection, subject: &str, text: &str) -> Result<Option<u32>, Fault> {
    let mut statement = sql.prepare_cached(
        "select schema from schema_version join schema_text on schema_text.id = schema where subject = ?1 and text = ?2",
    )?;
    Ok(statement.query_row([subject, text], |row| row.get(0)).optional()?)
}

fn subject(topic: &str, full_name: &str) -> String {
    format!("{topic}-{full_name}")
}

/// White space does not make another schema.
fn normal(subject: &str, schema: &str) -> Result<String, Fault> {
    let value: serde_json::Value = serde_json::from_str(schema).map_err(|error| LogError::Schema {
        problem: format!(
            "the schema for {subject} is no JSON (line {}, column {})",
            error.line(),
            error.column()
        ),
        fix: "run `lienthong schema check`".into(),
    })?;
    Ok(value.to_string())
}
