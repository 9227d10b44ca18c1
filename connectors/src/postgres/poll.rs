//! One poll of the outbox.
//!
//! A *pass* takes a snapshot `to` once and pages through the rows that it sees and the last pass's snapshot did not; a short
//! page ends it. The statement that takes the snapshot reads the first page in it: a source that has caught up is asked once. A
//! transaction that commits late is simply visible in a later pass, so nobody waits for it and it is never skipped. A
//! first-load chunk is read in one transaction with the outbox rows that its snapshot sees, and given out behind them: so it
//! stands exactly where it was read.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::keys::HashKey;
use lienthong_contract::predicate::PredicateType;
use lienthong_contract::source::{Polled, RowChange, RowOp, RowVisitor, Side, SourceError};
use sqlx::postgres::{PgConnection, PgListener, PgRow};
use sqlx::{Connection as _, Row as _};

use super::captured::Captured;
use super::decode;
use super::joins;
use super::look::{self, Look};
use super::outbox_ddl::OutboxNames;
use super::position::OutboxPosition;
use crate::identifier::safe;

/// An open source.
pub(super) struct Session {
    conn: PgConnection,
    /// Told of commits that wrote to the outbox.
    pub(super) listener: Option<PgListener>,
    /// Whether the triggers of this server notify.
    pub(super) notifies: bool,
    tables: Vec<Captured>,
    table_names: Vec<String>,
    secret: HashKey,
    /// Id of the outbox, in every position.
    lineage: String,
    position: Option<OutboxPosition>,
    arena: Bump,
    look: String,
    lost: String,
}

/// What a poll gave out of the outbox.
struct Passed {
    rows: usize,
    /// Whether everything that was visible when the last look was taken has been given out.
    complete: bool,
    /// The source's clock before that look.
    time: i64,
}

impl Session {
    /// A session that must be sought before it is polled.
    pub(super) fn new(
        conn: PgConnection,
        listener: Option<PgListener>,
        notifies: bool,
        names: &OutboxNames,
        tables: Vec<Captured>,
        (lineage, secret): (String, HashKey),
    ) -> Self {
        Self {
            conn,
            listener,
            notifies,
            table_names: tables.iter().map(|table| table.name.clone()).collect(),
            tables,
            secret,
            lineage,
            position: None,
            arena: Bump::new(),
            look: look::sql(names),
            lost: look::lost_sql(names),
        }
    }

    /// The connection that holds the lock.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// Id of the outbox.
    pub(super) fn lineage(&self) -> &str {
        &self.lineage
    }

    /// What conditions see of a table's cells.
    pub(super) fn column_types(&self, table: usize) -> Vec<PredicateType> {
        let columns = self.tables.get(table).into_iter().flat_map(|table| &table.needed);
        columns.map(|column| column.reading.seen()).collect()
    }

    /// Gives the lock back.
    pub(super) async fn close(self) {
        if self.conn.close().await.is_err() {
            tracing::debug!("a connection was gone before it was closed");
        }
    }

    /// Sets where the next poll goes on.
    pub(super) async fn seek(
        &mut self,
        from: Option<OutboxPosition>,
    ) -> Result<Result<(), SourceError>, sqlx::Error> {
        let sql = format!(
            "select {}, coalesce(greatest(\
             pg_snapshot_xmax($1::text::pg_snapshot), pg_snapshot_xmax($2::text::pg_snapshot)) \
             > pg_snapshot_xmax(pg_current_snapshot()), false) as rewound",
            self.lost
        );
        let snapshots = from.as_ref().map(|position| (position.from.clone(), position.to.clone()));
        let (base, pass) = snapshots.unwrap_or_default();
        let row = sqlx::query(safe(sql)).bind(base).bind(pass).fetch_one(&mut self.conn).await?;
        let lost: i64 = row.try_get("lost")?;
        if row.try_get("rewound")? {
            return Ok(Err(SourceError::Gap {
                gap: "the stored position is ahead of the database, which has been set back to an earlier state".into(),
                fix: crate::NEW_LINEAGE.into(),
            }));
        }
        let run = run(&self.secret, from.as_ref());
        let mut position = from.unwrap_or_else(|| OutboxPosition::start(&self.lineage, lost));
        if let Err(gap) = no_gap(&position, lost) {
            return Ok(Err(gap));
        }
        position.plan_first_load(&self.table_names, &run);
        self.position = Some(position);
        Ok(Ok(()))
    }

    /// Gives out the next changes.
    pub(super) async fn poll(
        &mut self,
        limit: usize,
        visitor: &mut dyn RowVisitor,
    ) -> Result<Result<Polled, SourceError>, sqlx::Error> {
        let Some(mut position) = self.position.clone() else {
            return Ok(Err(SourceError::ForeignPosition("the source has not been sought".to_owned())));
        };
        let loading = position.snap.is_some();
        if loading {
            sqlx::query("begin isolation level repeatable read, read only").execute(&mut self.conn).await?;
        }
        let Passed { mut rows, complete, time } = match self.pass(&mut position, limit, visitor).await? {
            Ok(done) => done,
            Err(error) => return Ok(Err(error)),
        };
        if loading {
            if complete && rows < limit {
                match self.chunk(&mut position, time, limit - rows, visitor).await? {
                    Ok(read) => rows += read,
                    Err(error) => return Ok(Err(error)),
                }
            }
            sqlx::query("commit").execute(&mut self.conn).await?;
        }
        let polled = position.to_position().map(|text| Polled {
            position: text,
            rows,
            caught_up: complete && position.snap.is_none(),
            source_time: time,
        });
        self.position = Some(position);
        Ok(polled)
    }

    /// Ends the pass under way and makes a new one, as far as the limit goes.
    async fn pass(
        &mut self,
        position: &mut OutboxPosition,
        limit: usize,
        visitor: &mut dyn RowVisitor,
    ) -> Result<Result<Passed, SourceError>, sqlx::Error> {
        let mut given = 0;
        loop {
            let fresh = position.to.is_none();
            let left = limit - given;
            let Look { snapshot, time, lost, page } =
                look::look(&mut self.conn, &self.look, position, left).await?;
            if let Err(gap) = no_gap(position, lost) {
                return Ok(Err(gap));
            }
            position.to = Some(snapshot);
            if let Some(last) = page.last() {
                position.id = last.try_get("id")?;
            }
            let taken = self.taken(&page).await?;
            match self.give_out(&page, taken, visitor)? {
                Ok(rows) => given += rows,
                Err(error) => return Ok(Err(error)),
            }
            let more = page.len() == left;
            if !more {
                position.pass_done();
            }
            if more || fresh {
                return Ok(Ok(Passed { rows: given, complete: !more, time }));
            }
        }
    }

    /// What the rows of a page take from other tables.
    async fn taken(&mut self, page: &[PgRow]) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
        let mut rows = Vec::with_capacity(page.len());
        for row in page {
            let rel: &str = row.try_get("rel")?;
            let table = self.table_names.iter().position(|name| name == rel).unwrap_or(usize::MAX);
            let (before, after): (Option<&str>, Option<&str>) =
                (row.try_get("before")?, row.try_get("after")?);
            rows.push((table, after.or(before)));
        }
        joins::look_up(&mut self.conn, &self.tables.iter().collect::<Vec<_>>(), &rows).await
    }

    /// Rows of tables that are not captured count as nothing.
    fn give_out(
        &mut self,
        page: &[PgRow],
        taken: Vec<Vec<Option<String>>>,
        visitor: &mut dyn RowVisitor,
    ) -> Result<Result<usize, SourceError>, sqlx::Error> {
        let mut given = 0;
        for (row, taken) in page.iter().zip(taken) {
            let rel: &str = row.try_get("rel")?;
            let Some(table) = self.table_names.iter().position(|name| name == rel) else { continue };
            self.arena.reset();
            let id: i64 = row.try_get("id")?;
            let change = RowText {
                table,
                op: row.try_get("op")?,
                id: &format!("o{id}"),
                time: row.try_get("time")?,
                before: row.try_get("before")?,
                after: row.try_get("after")?,
                taken,
            };
            if !visit(&change, &self.tables[table], &self.arena, visitor) {
                return Ok(Err(SourceError::Gap {
                    gap: format!("outbox row {id} of {rel} cannot be read"),
                    fix: "run `lienthong connect PARTICIPANT --accept-lineage REASON`, then delete that row of the outbox"
                        .to_owned(),
                }));
            }
            given += 1;
        }
        Ok(Ok(given))
    }

    /// The next rows of the first load, read in the transaction of the look before.
    async fn chunk(
        &mut self,
        position: &mut OutboxPosition,
        time: i64,
        limit: usize,
        visitor: &mut dyn RowVisitor,
    ) -> Result<Result<usize, SourceError>, sqlx::Error> {
        let Some(snap) = &mut position.snap else { return Ok(Ok(0)) };
        let Some(table) = self.table_names.iter().position(|name| *name == snap.table) else {
            return Ok(Ok(0));
        };
        let captured = &self.tables[table];
        let sql = if snap.after.is_some() { &captured.next_chunk } else { &captured.first_chunk };
        let mut query = sqlx::query(safe(sql.clone())).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        for key in snap.after.iter().flatten().take(captured.key_count) {
            query = query.bind(key.clone());
        }
        let rows = query.fetch_all(&mut self.conn).await?;
        let jsons = rows.iter().map(|row| row.try_get("row").map(|json| (0, Some(json))));
        let jsons = jsons.collect::<Result<Vec<_>, sqlx::Error>>()?;
        let taken = joins::look_up(&mut self.conn, &[captured], &jsons).await?;
        for (row, taken) in rows.iter().zip(taken) {
            self.arena.reset();
            let key: Vec<String> = row.try_get("key")?;
            let id = snapshot_id(&self.secret, &snap.run, &snap.table, &key);
            let after = Some(row.try_get("row")?);
            let change = RowText { table, op: "S", id: &id, time, before: None, after, taken };
            if !visit(&change, captured, &self.arena, visitor) {
                let gap = format!("a row of {} cannot be read", snap.table);
                return Ok(Err(SourceError::Gap { gap, fix: "report this as a defect".to_owned() }));
            }
            snap.after = Some(key);
        }
        if rows.len() < limit {
            position.table_loaded(&self.table_names);
        }
        Ok(Ok(rows.len()))
    }
}

/// A change as it lies in the outbox.
struct RowText<'a> {
    table: usize,
    op: &'a str,
    id: &'a str,
    time: i64,
    before: Option<&'a str>,
    after: Option<&'a str>,
    /// What the row takes from other tables.
    taken: Vec<Option<String>>,
}

/// Decodes a change and hands it on; false when it cannot be decoded.
fn visit(text: &RowText<'_>, captured: &Captured, arena: &Bump, visitor: &mut dyn RowVisitor) -> bool {
    let mut broken = Vec::new();
    let mut read = |json: Option<&str>, side| -> Result<Option<&[Cell<'_>]>, decode::NotARow> {
        let Some(json) = json else { return Ok(None) };
        let cells = decode::row(arena.alloc_str(json), &captured.needed, (side, &mut broken), arena)?;
        if captured.joins.is_empty() {
            return Ok(Some(cells));
        }
        let found = |at: usize| text.taken.get(at).and_then(Option::as_deref);
        Ok(Some(joins::extend(cells, &captured.joins, found, (side, &mut broken), arena)))
    };
    let (Ok(after), Ok(before)) = (read(text.after, Side::After), read(text.before, Side::Before)) else {
        return false;
    };
    let op = match text.op {
        "I" => RowOp::Insert,
        "U" => RowOp::Update,
        "D" => RowOp::Delete,
        "S" => RowOp::Snapshot,
        _ => return false,
    };
    let RowText { table, id, time, .. } = *text;
    // What the first load reads stands in the transaction in which it is looked up.
    let later = if op == RowOp::Snapshot { 0 } else { captured.joins.len() };
    let later: Vec<usize> = (captured.needed.len()..).take(later).collect();
    visitor.row(&RowChange {
        table,
        op,
        id,
        moved_from: None,
        time,
        place: None,
        before,
        after,
        broken: &broken,
        looked_up: &later,
    });
    true
}

/// Names a run of the first load. It follows from where the run began: a first load that was killed before its first position was
/// stored gives its rows the same ids again, and a table that is captured later belongs to another run.
fn run(secret: &HashKey, from: Option<&OutboxPosition>) -> String {
    let (base, pass) =
        from.map(|position| (position.from.as_deref(), position.to.as_deref())).unwrap_or_default();
    let began = [base.unwrap_or("start"), pass.unwrap_or_default()];
    secret.derive("run").hash(&began.map(str::as_bytes)).hex()[..12].to_owned()
}

/// The key's digest is keyed with a secret of the database, so that short keys cannot be found by trying.
pub(super) fn snapshot_id(secret: &HashKey, run: &str, table: &str, key: &[String]) -> String {
    let mut parts = vec![run.as_bytes(), table.as_bytes()];
    parts.extend(key.iter().map(String::as_bytes));
    format!("s{run}/{table}/{}", secret.hash(&parts).hex())
}

/// The counter of statements that the triggers failed to record must stand where it stood.
fn no_gap(position: &OutboxPosition, lost: i64) -> Result<(), SourceError> {
    if position.lost == lost {
        return Ok(());
    }
    Err(SourceError::Gap {
        gap: format!("{} statements could not be recorded in the outbox", (lost - position.lost).abs()),
        fix: "mend the outbox (the server's log names the cause), then run `lienthong connect PARTICIPANT --accept-lineage REASON`"
            .to_owned(),
    })
}
