//! What happens between the snapshot of a chunk and its rows, made to happen.

use anyhow::Result;
use lienthong_contract::Cell;
use lienthong_contract::keys::HashKey;
use lienthong_contract::source::{
    PollLimit, RowChange, RowOp, RowVisitor, Source as _, SourceAdmin as _, TableCapture,
};
use lienthong_testkit::postgres::TestDatabase;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::session::Session;
use super::{LogSource, LogSourceAdmin};

mod first;
mod silence;
mod tls;

#[derive(Default)]
struct Seen(Vec<(RowOp, i64)>);

impl RowVisitor for Seen {
    fn row(&mut self, row: &RowChange<'_>) {
        let cells = row.after.or(row.before).expect("a row");
        let Cell::I64(id) = cells[0] else { panic!("a number") };
        self.0.push((row.op, id));
    }
}

/// Five rows, prepared, and a source that has given out nothing yet.
async fn five(database: &TestDatabase) -> Result<(PgConnection, LogSource)> {
    let (owner, mut source) = prepared(database, database.url(), 5).await?;
    source.open().await?;
    source.seek(None).await?;
    Ok((owner, source))
}

/// The same with so many rows, and a source at this address that is not open.
async fn prepared(database: &TestDatabase, url: &str, rows: u32) -> Result<(PgConnection, LogSource)> {
    let mut owner = PgConnection::connect(database.url()).await?;
    for sql in [
        "create table person (id integer primary key, rev integer not null)",
        "alter table person replica identity full",
    ] {
        owner.execute(sql).await?;
    }
    let insert = format!("insert into person select i, 0 from generate_series(1, {rows}) i");
    owner.execute(sqlx::AssertSqlSafe(insert)).await?;
    let columns = ["id", "rev"].map(str::to_owned).to_vec();
    let tables = vec![TableCapture::new("person", columns[..1].to_vec(), columns)];
    let names = (database.name(), "published");
    LogSourceAdmin::new("moj", database.url(), names, tables.clone()).prepare().await?;
    Ok((owner, LogSource::new("moj", url, names, tables, &HashKey::new([1; 32]))))
}

async fn written(owner: &mut PgConnection) -> Result<u64> {
    let sql = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";
    Ok(sqlx::query_scalar::<_, i64>(sql).fetch_one(owner).await?.unsigned_abs())
}

fn session(source: &mut LogSource) -> &mut Session {
    source.session.as_mut().expect("it is open")
}

async fn rest(source: &mut LogSource, limit: usize) -> Result<Vec<(RowOp, i64)>> {
    let mut seen = Seen::default();
    while !source.poll(PollLimit { rows: limit }, &mut seen).await?.caught_up {}
    Ok(seen.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_behind_a_chunks_snapshot_takes_its_rows_out_of_the_chunk() -> Result<()> {
    use RowOp::{Delete, Insert, Snapshot, Update};
    for limit in [1, 100] {
        let database = TestDatabase::create().await?;
        let (mut owner, mut source) = five(&database).await?;
        owner.execute("begin").await?;
        for sql in [
            "update person set rev = 7 where id = 1",
            "delete from person where id = 2",
            "insert into person values (6, 0)",
            "update person set id = 13 where id = 3",
        ] {
            owner.execute(sql).await?;
        }
        session(&mut source).read_chunk(100).await?;
        owner.execute("commit").await?;
        // As if the stream had been that slow.
        let until = written(&mut owner).await?;
        session(&mut source).chunk.as_mut().expect("five rows").until = until;
        let changes = [(Update, 1), (Delete, 2), (Insert, 6), (Delete, 3), (Insert, 13)];
        let loaded = [(Snapshot, 4), (Snapshot, 5)];
        assert_eq!(rest(&mut source, limit).await?, [&changes[..], &loaded].concat());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_does_not_see_what_has_been_given_out_is_read_again() -> Result<()> {
    let database = TestDatabase::create().await?;
    let (mut owner, mut source) = five(&database).await?;
    owner.execute("begin").await?;
    owner.execute("update person set rev = 7 where id = 1").await?;
    let sql = "select pg_current_xact_id()::text::bigint % 4294967296";
    let xid = sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut owner).await?;
    // As if its commit stood in the log already, and waited for a standby.
    session(&mut source).delivered.push(u32::try_from(xid)?);
    session(&mut source).read_chunk(100).await?;
    assert!(session(&mut source).chunk.is_none(), "thrown away");
    owner.execute("commit").await?;
    session(&mut source).read_chunk(100).await?;
    assert!(session(&mut source).chunk.is_some());
    assert_eq!(rest(&mut source, 100).await?.len(), 6);
    Ok(())
}
