//! The outbox source: lock, lineage, seeking, waiting and forgetting. What a poll does is in [`super::poll`].

use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::keys::HashKey;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::predicate::PredicateType;
use lienthong_contract::source::{PollLimit, Polled, RowVisitor, Source, SourceError, TableCapture};
use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use sqlx::{Connection as _, Row as _};

use super::captured::Captured;
use super::clock;
use super::error::{describe, source_error};
use super::outbox_check;
use super::outbox_ddl::OutboxNames;
use super::poll::Session;
use super::position::OutboxPosition;
use super::session::{self, PATIENCE, within};
use crate::identifier::safe;
use crate::text::unhex;

/// Rows deleted in one statement by `forget`.
const FORGET_BATCH: i64 = 5000;
/// Pause between looks where the server cannot notify.
const LOOK: Duration = Duration::from_millis(20);

/// A PostgreSQL database that publishes through an outbox.
pub(crate) struct PostgresSource {
    name: String,
    url: String,
    names: OutboxNames,
    captures: Vec<TableCapture>,
    session: Option<Session>,
}

impl PostgresSource {
    /// Touches nothing yet.
    pub(crate) fn new(name: &str, (url, outbox): (&str, &str), captures: Vec<TableCapture>) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            names: OutboxNames::new(outbox),
            captures,
            session: None,
        }
    }

    fn error(&self, error: &sqlx::Error) -> SourceError {
        source_error(&self.name, error)
    }

    fn take_session(&mut self) -> Result<Session, SourceError> {
        self.session.take().ok_or_else(|| self.not_open())
    }

    async fn listen(&mut self) -> Result<PgListener, sqlx::Error> {
        let options = session::options(&self.url, &format!("lienthong connector {} (wait)", self.name))?;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&self.names.channel).await?;
        Ok(listener)
    }

    async fn start(&mut self) -> Result<(Session, Lineage), SourceError> {
        let application = format!("lienthong connector {}", self.name);
        let mut conn = session::connect_reader(&self.url, &application).await.map_err(|e| self.error(&e))?;
        clock::compare(&mut conn, &self.name).await.map_err(|e| self.error(&e))?;
        let (captured, lineage, secret) = match self.look(&mut conn).await {
            Ok(found) => found,
            Err(error) => {
                // Closed in good order, so that the lock is free when this returns.
                if conn.close().await.is_err() {
                    tracing::debug!("a connection was gone before it was closed");
                }
                return Err(error);
            }
        };
        let sql = "select current_setting('max_prepared_transactions') = '0'";
        let notifies: bool =
            sqlx::query_scalar(sql).fetch_one(&mut conn).await.map_err(|e| self.error(&e))?;
        let listener = if notifies { Some(self.listen().await.map_err(|e| self.error(&e))?) } else { None };
        let id =
            lineage.parts.iter().find(|(name, _)| name == "id").map(|(_, id)| id.clone()).unwrap_or_default();
        Ok((Session::new(conn, listener, notifies, &self.names, captured, (id, secret)), lineage))
    }

    /// Takes the lock, checks what `prepare` made, and reads the lineage.
    async fn look(
        &mut self,
        conn: &mut PgConnection,
    ) -> Result<(Vec<Captured>, Lineage, HashKey), SourceError> {
        lock(conn, &self.names.lock()).await.map_err(|e| self.error(&e))??;
        let checked = outbox_check::check(conn, &self.name, &self.names, &self.captures).await?;
        let (tables, joins) = checked.into_tables(&self.name)?;
        let (lineage, secret) = self.lineage(conn).await.map_err(|e| self.error(&e))?;
        let captured = self.captures.iter().zip(&tables).zip(joins);
        let captured =
            captured.map(|((capture, table), joins)| Captured::new(capture, table).joining(joins)).collect();
        Ok((captured, lineage, secret))
    }

    /// Reads a position of the open outbox.
    fn parse(&self, position: &Position) -> Result<OutboxPosition, SourceError> {
        match &self.session {
            Some(session) => OutboxPosition::parse(position, session.lineage()),
            None => Err(self.not_open()),
        }
    }

    fn not_open(&self) -> SourceError {
        SourceError::Unreachable {
            source_name: self.name.clone(),
            reason: "the source is not open".to_owned(),
        }
    }

    async fn lineage(&mut self, conn: &mut PgConnection) -> Result<(Lineage, HashKey), sqlx::Error> {
        let mut parts = Vec::new();
        let control = "select system_identifier::text from pg_catalog.pg_control_system()";
        // Some hosted servers do not show it; the other parts must do then.
        match sqlx::query_scalar::<_, String>(control).fetch_one(&mut *conn).await {
            Ok(identifier) => parts.push(("system_identifier".to_owned(), identifier)),
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
        let sql = format!(
            "select d.oid::text as database, pg_catalog.to_regclass($1)::oid::text as outbox, m.lineage::text as id, \
             m.secret from {} m, pg_catalog.pg_database d where d.datname = current_database()",
            self.names.meta.sql()
        );
        let row = sqlx::query(safe(sql)).bind(self.names.outbox.sql()).fetch_one(conn).await?;
        for part in ["database", "outbox", "id"] {
            parts.push((part.to_owned(), row.try_get(part)?));
        }
        let secret: String = row.try_get("secret")?;
        let bytes = unhex(&secret).and_then(|bytes| bytes.try_into().ok()).ok_or(sqlx::Error::RowNotFound)?;
        Ok((Lineage { parts }, HashKey::new(bytes)))
    }
}

/// Takes the source's lock for as long as the connection lives.
pub(super) async fn lock(
    conn: &mut PgConnection,
    name: &str,
) -> Result<Result<(), SourceError>, sqlx::Error> {
    let key: i64 = sqlx::query_scalar("select pg_catalog.hashtextextended($1, 0)")
        .bind(name)
        .fetch_one(&mut *conn)
        .await?;
    let taken: bool = sqlx::query_scalar("select pg_catalog.pg_try_advisory_lock($1)")
        .bind(key)
        .fetch_one(&mut *conn)
        .await?;
    if taken {
        return Ok(Ok(()));
    }
    let sql = "select a.pid, a.application_name::text as application from pg_catalog.pg_locks l \
         join pg_catalog.pg_stat_activity a using (pid) where l.locktype = 'advisory' and l.objsubid = 1 and l.granted \
         and (l.classid::bigint << 32 | l.objid::bigint) = $1";
    let holder = match sqlx::query(sql).bind(key).fetch_optional(conn).await? {
        Some(row) => format!(
            "{}, server process {}",
            row.try_get::<Option<String>, _>("application")?.unwrap_or_default(),
            row.try_get::<i32, _>("pid")?
        ),
        None => "unknown, just gone".to_owned(),
    };
    Ok(Err(SourceError::Held { holder }))
}

#[async_trait]
impl Source for PostgresSource {
    async fn open(&mut self) -> Result<Lineage, SourceError> {
        // The old connection holds the lock; it must be gone before a new one can take it.
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        let (session, lineage) = self.start().await?;
        self.session = Some(session);
        Ok(lineage)
    }

    fn column_types(&self, table: usize) -> Vec<PredicateType> {
        self.session.as_ref().map(|session| session.column_types(table)).unwrap_or_default()
    }

    async fn seek(&mut self, from: Option<&Position>) -> Result<(), SourceError> {
        let position = from.map(|from| self.parse(from)).transpose()?;
        let mut session = self.take_session()?;
        within(PATIENCE, session.seek(position)).await.map_err(|e| self.error(&e))??;
        self.session = Some(session);
        Ok(())
    }

    async fn poll(&mut self, limit: PollLimit, visitor: &mut dyn RowVisitor) -> Result<Polled, SourceError> {
        // An error leaves the session behind: a broken connection must not be used again.
        let mut session = self.take_session()?;
        let polling = session.poll(limit.rows.max(1), visitor);
        let polled = within(PATIENCE, polling).await.map_err(|e| self.error(&e))??;
        self.session = Some(session);
        Ok(polled)
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        let Some(session) = &mut self.session else {
            return self.take_session().map(drop);
        };
        if !session.notifies {
            tokio::time::sleep(LOOK.min(at_most)).await;
            return Ok(());
        }
        let Some(listener) = &mut session.listener else {
            let listener = self.listen().await.map_err(|e| self.error(&e))?;
            if let Some(session) = &mut self.session {
                session.listener = Some(listener);
            }
            return Ok(());
        };
        match tokio::time::timeout(at_most, listener.try_recv()).await {
            Err(_elapsed) => Ok(()),
            Ok(Ok(_)) => {
                while listener.next_buffered().is_some() {}
                Ok(())
            }
            Ok(Err(error)) => {
                session.listener = None;
                Err(SourceError::Unreachable { source_name: self.name.clone(), reason: describe(&error) })
            }
        }
    }

    async fn forget(&mut self, through: &Position) -> Result<(), SourceError> {
        let through = self.parse(through)?;
        let mut session = self.take_session()?;
        let outbox = self.names.outbox.sql();
        // Earlier passes by transaction, the pass under way by id: either way an index bounds what is looked at, not the backlog.
        let sets = [
            (
                &through.from,
                "xid < pg_catalog.pg_snapshot_xmax($1::text::pg_snapshot) and $2 is not null",
                i64::MAX,
            ),
            (&through.to, "id <= $2", through.id),
        ];
        for (snapshot, bound, id) in sets.into_iter().filter(|(snapshot, ..)| snapshot.is_some()) {
            let sql = format!(
                "delete from {outbox} where id in (select id from {outbox} where {bound} \
                 and pg_catalog.pg_visible_in_snapshot(xid, $1::text::pg_snapshot) limit $3)"
            );
            loop {
                let deleting = sqlx::query(safe(sql.clone()))
                    .bind(snapshot)
                    .bind(id)
                    .bind(FORGET_BATCH)
                    .execute(session.connection());
                let deleted = within(PATIENCE, deleting).await.map_err(|e| self.error(&e))?.rows_affected();
                if deleted < FORGET_BATCH as u64 {
                    break;
                }
            }
        }
        self.session = Some(session);
        Ok(())
    }

    async fn retained(&mut self) -> Result<u64, SourceError> {
        let mut session = self.take_session()?;
        // Both ends of the key's index; counting would look at every row.
        let sql = format!("select coalesce(max(id) - min(id) + 1, 0) from {}", self.names.outbox.sql());
        let asking = sqlx::query_scalar::<_, i64>(safe(sql)).fetch_one(session.connection());
        let rows = within(PATIENCE, asking).await.map_err(|e| self.error(&e))?;
        self.session = Some(session);
        Ok(rows.unsigned_abs())
    }
}
