//! The tables of the bus in a subscriber's database.

use async_trait::async_trait;
use lienthong_contract::sink::{SinkAdmin, SinkError};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::error::sink_error;
use super::session;
use crate::TargetConfig;

/// Times are microseconds since 1970 UTC.
pub(super) const BUS_DDL: &str = "\
create table if not exists lienthong_offset (
  subscription text not null,
  topic text not null,
  partition int not null,
  next_offset bigint not null,
  epoch bigint not null,
  sequence bigint not null,
  fresh_through bigint not null,
  primary key (subscription, topic, partition)
) with (fillfactor = 50);
create table if not exists lienthong_version (
  table_name text not null,
  key_hash bytea not null,
  entry text not null,
  primary key (table_name, key_hash)
) with (fillfactor = 80);
create table if not exists lienthong_receipt (
  subscription text not null,
  topic text not null,
  partition int not null,
  number bigint not null,
  first_offset bigint not null,
  last_offset bigint not null,
  events_read bigint not null,
  events_delivered bigint not null,
  writer_epoch bigint not null,
  first_time bigint not null,
  last_time bigint not null,
  applied_at bigint not null,
  agreement text not null,
  key_id text not null,
  subjects bytea not null,
  previous_hash bytea,
  hash bytea not null,
  primary key (subscription, topic, partition, number)
);
create table if not exists lienthong_parked (
  subscription text not null,
  table_name text not null,
  key_hash bytea not null,
  version text not null,
  group_name text not null,
  sealed bytea not null,
  parked_at bigint not null,
  primary key (subscription, table_name, key_hash, version, group_name)
);
";

/// Makes the tables of the bus; connects per call.
pub(crate) struct PostgresSinkAdmin {
    name: String,
    url: String,
}

impl PostgresSinkAdmin {
    /// Touches nothing yet.
    pub(crate) fn new(config: &TargetConfig, url: &str) -> Self {
        Self { name: config.name.clone(), url: url.to_owned() }
    }

    fn error(&self, error: &sqlx::Error) -> SinkError {
        sink_error(&self.name, None, error)
    }

    async fn run(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut transaction = conn.begin().await?;
        transaction.execute(sqlx::raw_sql(BUS_DDL)).await?;
        transaction.commit().await
    }
}

#[async_trait]
impl SinkAdmin for PostgresSinkAdmin {
    async fn ddl(&mut self) -> Result<String, SinkError> {
        Ok(BUS_DDL.to_owned())
    }

    async fn prepare(&mut self) -> Result<(), SinkError> {
        let conn = session::connect(&self.url, "lienthong prepare").await;
        let mut conn = conn.map_err(|error| self.error(&error))?;
        self.run(&mut conn).await.map_err(|error| self.error(&error))
    }
}
