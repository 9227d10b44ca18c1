//! Rows that somebody asks for: what is read of them, in chunks, and how fast.

use std::collections::BTreeSet;
use std::time::Duration;

use lienthong_contract::load::{LoadProgress, LoadRequest, Wanted};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};
use tokio::time::Instant;

use super::captured::Captured;
use super::error::{Class, classify, describe};
use crate::asked::{Asked, Passed};
use crate::identifier::safe;

/// Rows of a chunk: what is read at once does not hold changes back for long.
const CHUNK: usize = 1_000;
/// At a slow rate a chunk is what it allows in this part of a second.
const PARTS: u32 = 4;

/// What is bound to a statement.
#[derive(Clone)]
pub(super) enum Bound {
    Text(String),
    Texts(Vec<String>),
}

/// A statement that reads a chunk; `$1` is the limit.
pub(super) struct ChunkQuery {
    sql: String,
    pub(super) limit: usize,
    bound: Vec<Bound>,
}

impl ChunkQuery {
    /// The next rows of a whole table.
    pub(super) fn whole(captured: &Captured, after: Option<&[String]>, limit: usize) -> Self {
        let sql = if after.is_some() { &captured.next_chunk } else { &captured.first_chunk };
        let after = after.into_iter().flatten().take(captured.key_count);
        Self { sql: sql.clone(), limit, bound: after.cloned().map(Bound::Text).collect() }
    }

    /// The same of the rows for which a condition over the table's columns holds, as the server has written it.
    pub(super) fn narrowed(self, captured: &Captured, condition: &str) -> Self {
        let from = captured.from.strip_suffix(") t").map(|from| format!("{from} where {condition}) t"));
        let sql = from.map_or(self.sql.clone(), |from| self.sql.replacen(&captured.from, &from, 1));
        Self { sql, ..self }
    }

    /// Ready to be run.
    pub(super) fn query(&self) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(safe(self.sql.clone())).bind(i64::try_from(self.limit).unwrap_or(i64::MAX));
        bind(query, &self.bound)
    }
}

fn bind(
    query: Query<'static, Postgres, PgArguments>,
    bound: &[Bound],
) -> Query<'static, Postgres, PgArguments> {
    bound.iter().fold(query, |query, value| match value {
        Bound::Text(text) => query.bind(text.clone()),
        Bound::Texts(texts) => query.bind(texts.clone()),
    })
}

/// Which rows, as the database writes their keys.
enum Rows {
    Range {
        from: Option<String>,
        to: Option<String>,
    },
    /// Sorted, each once.
    Keys(Vec<Vec<String>>),
}

/// A request that is being served.
pub(super) struct Load {
    pub(super) request: LoadRequest,
    /// Part of every row's id.
    pub(super) run: String,
    rows: Rows,
    total: Option<u64>,
    /// Not before then the next chunk is read.
    pub(super) due: Instant,
}

impl Load {
    /// Asks what the request's keys are to the database. `Err`: why it is not served, such as keys that are no values of their columns'
    /// types.
    pub(super) async fn begin(
        conn: &mut PgConnection,
        captured: &Captured,
        request: LoadRequest,
        run: String,
    ) -> Result<Result<Self, String>, sqlx::Error> {
        let rows = match known(conn, captured, &request.rows).await {
            Ok(rows) => rows,
            Err(error) if is_no_value(&error) => {
                return Ok(Err(format!("a key of {} is no value of its column's type", captured.name)));
            }
            Err(error) => return refusal(&error).map_or(Err(error), |reason| Ok(Err(reason))),
        };
        let total = match &rows {
            Rows::Keys(keys) => Some(keys.len() as u64),
            Rows::Range { .. } => match estimate(conn, captured, &rows).await {
                Ok(total) => total,
                Err(error) => return refusal(&error).map_or(Err(error), |reason| Ok(Err(reason))),
            },
        };
        Ok(Ok(Self { request, run, rows, total, due: Instant::now() }))
    }

    /// The next chunk behind what has been passed.
    pub(super) fn next(&self, captured: &Captured, asked: &Asked, limit: usize) -> ChunkQuery {
        let limit = limit.min(CHUNK).min(at_once(self.request.rate)).max(1);
        let keys = &captured.keys;
        let (condition, bound) = match &self.rows {
            Rows::Range { from, to } => condition(captured, (from, to), asked.after.as_deref()),
            Rows::Keys(all) => {
                let next = some(all, asked, limit);
                let part = |at: usize| next.iter().filter_map(|key| key.get(at)).cloned().collect();
                let bound = (0..keys.len()).map(|at| Bound::Texts(part(at))).collect();
                let (values, lists) = listed(captured, 2);
                let condition =
                    format!("where ({}) in (select {} from {lists})", keys.join(", "), values.join(", "));
                (condition, bound)
            }
        };
        let sql = format!("{} {condition} order by {} limit $1", captured.select, keys.join(", "));
        ChunkQuery { sql, limit, bound }
    }

    /// What passing a chunk of `found` rows comes to, of which the last has this key.
    pub(super) fn pass(
        &mut self,
        asked: &Asked,
        limit: usize,
        (found, last): (usize, Option<&Vec<String>>),
    ) -> Passed {
        let (passed, last, done) = match &self.rows {
            Rows::Range { .. } => (found, last.cloned(), found < limit),
            Rows::Keys(all) => {
                let next = some(all, asked, limit);
                (next.len(), next.last().cloned(), next.last() == all.last())
            }
        };
        // A chunk that finds nothing takes its time too.
        let time = passed.max(1) as f64 / f64::from(self.request.rate.max(1));
        self.due = Instant::now() + Duration::from_secs_f64(time);
        let after = Asked {
            next: asked.next,
            after: last.or_else(|| asked.after.clone()),
            rows: asked.rows.saturating_add(found as u64),
            missing: asked.missing.saturating_add(passed.saturating_sub(found) as u64),
        };
        let progress = LoadProgress { done, ..self.progress(&after) };
        Passed { asked: if done { after.done() } else { after }, progress }
    }

    /// How far it has come.
    pub(super) fn progress(&self, asked: &Asked) -> LoadProgress {
        LoadProgress {
            id: self.request.id.clone(),
            rows: asked.rows,
            missing: asked.missing,
            total: self.total,
            estimated: matches!(self.rows, Rows::Range { .. }),
            done: false,
            refused: None,
        }
    }
}

/// How many rows a chunk may have at a rate per second.
pub(super) fn at_once(rate: u32) -> usize {
    (rate / PARTS).max(1) as usize
}

/// The planner's guess of how many rows of a table lie behind a key, or are in it at all.
pub(super) async fn behind(
    conn: &mut PgConnection,
    captured: &Captured,
    after: Option<&[String]>,
) -> Result<Option<u64>, sqlx::Error> {
    let (condition, bound) = match after {
        None => (String::new(), Vec::new()),
        Some(after) => {
            let values = captured.casts.iter().enumerate();
            let values: Vec<String> = values.map(|(at, cast)| format!("${}::text::{cast}", at + 1)).collect();
            let condition = format!("where ({}) > ({})", captured.keys.join(", "), values.join(", "));
            (condition, after.iter().take(captured.key_count).cloned().collect())
        }
    };
    let query =
        sqlx::query_scalar::<_, String>(safe(format!("explain select 1 {} {condition}", captured.from)));
    let query = bound.into_iter().fold(query, |query, value: String| query.bind(value));
    Ok(query.fetch_all(conn).await?.first().and_then(|line| rows_of(line)))
}

/// A range, and what of it lies behind a key; what is bound begins at `$2`.
fn condition(
    captured: &Captured,
    (from, to): (&Option<String>, &Option<String>),
    after: Option<&[String]>,
) -> (String, Vec<Bound>) {
    let (mut parts, mut bound) = (Vec::new(), Vec::new());
    let mut value = |text: &String, cast: &String| {
        bound.push(Bound::Text(text.clone()));
        format!("${}::text::{cast}", bound.len() + 1)
    };
    if let (Some(key), Some(cast)) = (captured.keys.first(), captured.casts.first()) {
        for (bound, sign) in [(from, ">="), (to, "<=")] {
            if let Some(text) = bound {
                parts.push(format!("{key} {sign} {}", value(text, cast)));
            }
        }
    }
    if let Some(after) = after {
        let values: Vec<String> =
            after.iter().zip(&captured.casts).map(|(text, cast)| value(text, cast)).collect();
        parts.push(format!("({}) > ({})", captured.keys.join(", "), values.join(", ")));
    }
    let condition = if parts.is_empty() { String::new() } else { format!("where {}", parts.join(" and ")) };
    (condition, bound)
}

/// The parts of keys that are bound as lists, one per part from `first` on; and the table that they are of.
fn listed(captured: &Captured, first: usize) -> (Vec<String>, String) {
    let values = captured.casts.iter().enumerate().map(|(at, cast)| format!("u.k{at}::{cast}"));
    let lists: Vec<String> = (0..captured.key_count).map(|at| format!("${}::text[]", first + at)).collect();
    let names: Vec<String> = (0..captured.key_count).map(|at| format!("k{at}")).collect();
    (values.collect(), format!("unnest({}) as u({})", lists.join(", "), names.join(", ")))
}

/// The next keys behind what has been passed.
fn some<'a>(all: &'a [Vec<String>], asked: &Asked, limit: usize) -> &'a [Vec<String>] {
    let from = asked.after.as_ref().map_or(0, |after| all.partition_point(|key| key <= after));
    let rest = &all[from..];
    &rest[..rest.len().min(limit)]
}

/// The rows as the database writes their keys, so that each is known once however somebody writes it.
async fn known(conn: &mut PgConnection, captured: &Captured, wanted: &Wanted) -> Result<Rows, sqlx::Error> {
    match wanted {
        Wanted::Range { from, to } => {
            let cast = captured.casts.first().map_or("text", String::as_str);
            let sql = format!("select $1::text::{cast}::text as low, $2::text::{cast}::text as high");
            let row = sqlx::query(safe(sql)).bind(from.clone()).bind(to.clone()).fetch_one(conn).await?;
            Ok(Rows::Range { from: row.try_get("low")?, to: row.try_get("high")? })
        }
        Wanted::Keys(keys) => {
            let count = captured.key_count;
            let (values, lists) = listed(captured, 1);
            let texts: Vec<String> = values.iter().map(|value| format!("{value}::text")).collect();
            let sql = format!("select array[{}] as key from {lists}", texts.join(", "));
            let mut query = sqlx::query(safe(sql));
            for at in 0..count {
                query = query.bind(keys.iter().filter_map(|key| key.get(at)).cloned().collect::<Vec<_>>());
            }
            let mut known = BTreeSet::new();
            for row in query.fetch_all(conn).await? {
                known.insert(row.try_get::<Vec<String>, _>("key")?);
            }
            Ok(Rows::Keys(known.into_iter().collect()))
        }
    }
}

/// The planner's guess of how many rows there are.
async fn estimate(
    conn: &mut PgConnection,
    captured: &Captured,
    rows: &Rows,
) -> Result<Option<u64>, sqlx::Error> {
    let mut parts = Vec::new();
    if let Rows::Range { from, to } = rows
        && let (Some(key), Some(cast)) = (captured.keys.first(), captured.casts.first())
    {
        parts.push(format!("($1::text is null or {key} >= $1::text::{cast})"));
        parts.push(format!("($2::text is null or {key} <= $2::text::{cast})"));
        let sql = format!("explain select 1 {} where {}", captured.from, parts.join(" and "));
        let query = sqlx::query_scalar::<_, String>(safe(sql)).bind(from.clone()).bind(to.clone());
        let plan: Vec<String> = query.fetch_all(conn).await?;
        return Ok(plan.first().and_then(|line| rows_of(line)));
    }
    Ok(None)
}

/// The number in the first line of a plan.
fn rows_of(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" rows=")?;
    rest.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
}

/// Why the database does not let rows be read that somebody asks for, where trying again is no use: the connector goes on without.
pub(super) fn refusal(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(database) = error else { return None };
    let busy = classify(database.code().unwrap_or_default().as_ref()) == Class::Busy;
    (!busy).then(|| format!("the database refuses to read its rows ({})", describe(error)))
}

fn is_no_value(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_keys_lie_behind_the_last_and_a_plan_tells_its_rows() {
        let all: Vec<Vec<String>> = ["a", "c", "e"].map(|key| vec![key.to_owned()]).to_vec();
        let behind = |after: &str| Asked { after: Some(vec![after.to_owned()]), ..Asked::default() };
        assert_eq!(some(&all, &Asked::default(), 2), &all[..2]);
        assert_eq!(some(&all, &behind("b"), 9), &all[1..]);
        assert_eq!(some(&all, &behind("e"), 9), &all[3..]);
        assert_eq!(rows_of("Seq Scan on person t  (cost=0.00..22.70 rows=1270 width=4)"), Some(1270));
        assert_eq!(rows_of("Result"), None);
    }
}
