//! The sink: one transaction per delivery, set-based, whatever the number of its lanes.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::sink::{Applied, Delivery, KeyWrite, LanePartition, OffsetState, Sink, SinkError};
use lienthong_contract::target::TargetTable;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::error::sink_error;
use super::fitted::Fitted;
use super::{column_mode, ledger_mode, offsets, receipts, session, sink_check};
use crate::TargetConfig;
use crate::judge::version_column;

/// A PostgreSQL database that subscribes.
pub(crate) struct PostgresSink {
    name: String,
    url: String,
    tables: Vec<TargetTable>,
    session: Option<Session>,
    patience: Duration,
}

/// An open connection with what is known of the target tables.
struct Session {
    conn: PgConnection,
    /// Read at the first write to a table.
    fitted: BTreeMap<usize, Fitted>,
    /// Whether temporary tables may be made.
    temporary: Option<bool>,
}

/// Names for errors, and the connection.
pub(super) struct Place<'s> {
    pub(super) conn: &'s mut PgConnection,
    pub(super) target: &'s str,
    pub(super) fitted: &'s Fitted,
    /// Whether temporary tables may be made.
    pub(super) temporary: bool,
}

impl Place<'_> {
    /// The sink's error for the driver's, about the target table.
    pub(super) fn error(&self, error: &sqlx::Error) -> SinkError {
        sink_error(self.target, Some(&self.fitted.table.table), error)
    }

    /// The sink's error for the driver's, about the tables of the bus.
    pub(super) fn own_error(&self, error: &sqlx::Error) -> SinkError {
        sink_error(self.target, None, error)
    }
}

impl PostgresSink {
    /// Touches nothing yet.
    pub(crate) fn new(config: &TargetConfig, url: &str, tables: Vec<TargetTable>) -> Self {
        Self {
            name: config.name.clone(),
            url: url.to_owned(),
            tables,
            session: None,
            patience: session::PATIENCE,
        }
    }

    /// With another bound than [`session::PATIENCE`].
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Bounds a call; a server that has fallen silent is busy.
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
        let silent = |_| SinkError::Busy {
            target: self.name.clone(),
            reason: format!("no answer within {} s", self.patience.as_secs_f32()),
        };
        tokio::time::timeout(self.patience, call).await.map_err(silent)?
    }

    async fn open(&mut self) -> Result<Session, SinkError> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let application = format!("lienthong router {}", self.name);
        let conn = session::connect_writer(&self.url, &application)
            .await
            .map_err(|error| sink_error(&self.name, None, &error))?;
        Ok(Session { conn, fitted: BTreeMap::new(), temporary: None })
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn check(&mut self) -> Result<(), SinkError> {
        let mut session = self.open().await?;
        self.bounded(sink_check::check(&mut session.conn, &self.name, &self.tables)).await?;
        self.session = Some(session);
        Ok(())
    }

    async fn offset(&mut self, lane: &LanePartition) -> Result<Option<OffsetState>, SinkError> {
        let mut session = self.open().await?;
        let read = session::within(self.patience, offsets::read(&mut session.conn, lane)).await;
        let row = read.map_err(|error| sink_error(&self.name, None, &error))?;
        self.session = Some(session);
        Ok(row)
    }

    async fn apply(&mut self, delivery: &Delivery<'_>) -> Result<Applied, SinkError> {
        // After an error the connection is dropped, which rolls back; the next call makes a new one.
        let mut session = self.open().await?;
        let done = self.bounded(session.apply(&self.name, &self.tables, delivery)).await;
        if matches!(done, Ok(_) | Err(SinkError::Fenced)) {
            self.session = Some(session);
        }
        done
    }
}

impl Session {
    async fn apply(
        &mut self,
        target: &str,
        tables: &[TargetTable],
        delivery: &Delivery<'_>,
    ) -> Result<Applied, SinkError> {
        for index in written_tables(delivery) {
            if !self.fitted.contains_key(&index) {
                let fitted = Fitted::read(&mut self.conn, target, &tables[index]).await?;
                self.fitted.insert(index, fitted);
            }
        }
        let temporary = self.may_stage(target).await?;
        let error = |error: &sqlx::Error| sink_error(target, None, error);
        let mut transaction = self.conn.begin().await.map_err(|e| error(&e))?;
        let Some(chains) = offsets::advance(&mut transaction, delivery).await.map_err(|e| error(&e))? else {
            transaction.rollback().await.map_err(|e| error(&e))?;
            return Err(SinkError::Fenced);
        };
        column_mode::lock(&mut transaction, tables, delivery).await.map_err(|e| error(&e))?;
        let mut applied = Applied::default();
        for round in delivery.rounds {
            for (index, writes) in by_table(round) {
                let Some(fitted) = self.fitted.get(&index) else { continue };
                let place = Place { conn: &mut transaction, target, fitted, temporary };
                let done = match version_column(&tables[index]) {
                    None => ledger_mode::write(place, &writes).await?,
                    Some(_) => column_mode::write(place, &writes).await?,
                };
                applied.changed += done.changed;
                applied.older += done.older;
                applied.unchanged += done.unchanged;
            }
        }
        receipts::write(&mut transaction, delivery, &chains).await.map_err(|e| error(&e))?;
        // Constraints that are deferred speak here.
        transaction.commit().await.map_err(|e| sink_error(target, Some("a table of this batch"), &e))?;
        Ok(applied)
    }

    async fn may_stage(&mut self, target: &str) -> Result<bool, SinkError> {
        if let Some(known) = self.temporary {
            return Ok(known);
        }
        let sql = "select pg_catalog.has_database_privilege(current_database(), 'TEMPORARY')";
        let may = sqlx::query_scalar(sql).fetch_one(&mut self.conn).await;
        let may = may.map_err(|error| sink_error(target, None, &error))?;
        self.temporary = Some(may);
        Ok(may)
    }
}

fn written_tables(delivery: &Delivery<'_>) -> std::collections::BTreeSet<usize> {
    delivery.rounds.iter().flatten().map(|write| write.table).collect()
}

/// A round's writes per table, each table's in the order of key hashes: every transaction locks rows in this order.
fn by_table<'r, 'd>(round: &'r [KeyWrite<'d>]) -> BTreeMap<usize, Vec<&'r KeyWrite<'d>>> {
    let mut tables: BTreeMap<usize, Vec<&KeyWrite<'_>>> = BTreeMap::new();
    for write in round {
        tables.entry(write.table).or_default().push(write);
    }
    for writes in tables.values_mut() {
        writes.sort_by_key(|write| write.key_hash);
    }
    tables
}
