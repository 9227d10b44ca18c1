//! Rows that somebody asks for while a commit stands in the log and nobody sees it: it waits for a standby that never comes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_connectors::{CaptureConfig, Database as Where, SourceConfig, open_source, source_admin};
use lienthong_contract::load::{LoadRequest, Wanted};
use lienthong_contract::retained::LogBound;
use lienthong_contract::source::RowOp;
use lienthong_testkit::eventually;
use lienthong_testkit::private_postgres::PrivatePostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::publisher::{PERSON, Reader, Replay, capture, secret};

const SOON: Duration = Duration::from_secs(30);

/// A server of its own with five rows.
async fn five() -> Result<(PrivatePostgres, SourceConfig)> {
    let server = PrivatePostgres::start(&[]).await?;
    server
        .run(&[
            PERSON,
            "alter table person replica identity full",
            "insert into person select i, 'x', 0 from generate_series(1, 5) i",
        ])
        .await?;
    let config = SourceConfig {
        name: "test.source".to_owned(),
        database: Where::Postgres { url: server.url() },
        capture: CaptureConfig::Log {
            slot: "held".to_owned(),
            publication: "held".to_owned(),
            bound: LogBound::default(),
            truncate: lienthong_contract::source::WhenEmptied::default(),
            load_rate: None,
        },
    };
    Ok((server, config))
}

fn everything() -> LoadRequest {
    LoadRequest {
        id: "held".to_owned(),
        event: "any".to_owned(),
        table: 0,
        rows: Wanted::Range { from: None, to: None },
        rate: 1_000_000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_held_between_log_and_visibility_holds_the_chunk_and_not_the_changes() -> Result<()>
{
    let (server, config) = five().await?;
    let tables = vec![capture("person", &["id", "name", "rev"])];
    source_admin(&config, tables.clone()).prepare().await?;
    let mut reader = Reader::open(open_source(&config, tables.clone(), &secret()), None).await?;
    reader.catch_up(100).await?;
    server.run(&["alter system set synchronous_standby_names = 'nobody'", "select pg_reload_conf()"]).await?;

    let mut owner = PgConnection::connect(&server.url()).await?;
    let held = async |waits: &mut PgConnection| {
        let shown: String = sqlx::query_scalar("show synchronous_standby_names").fetch_one(waits).await?;
        Ok(shown == "nobody")
    };
    eventually(SOON, async || held(&mut owner).await).await?;
    let commit = tokio::spawn(async move {
        owner.execute("update person set rev = 1 where id in (1, 5)").await?;
        anyhow::Ok(())
    });
    let request = everything();
    let number = reader.source.served().context("it can be asked")?;
    let mut changes = reader.changes.clone();
    // Also when another process goes on.
    for _ in 0..2 {
        let known = changes.len();
        let before = changes.iter().filter(|change| change.op == RowOp::Update).count();
        for _ in 0..200 {
            reader.poll(100).await?;
            let updates = reader.changes.iter().filter(|change| change.op == RowOp::Update).count();
            if before == 2 || updates == 2 {
                break;
            }
        }
        reader.source.load(number, Ok(request.clone())).await?;
        for _ in 0..5 {
            reader.poll(100).await?;
        }
        let told = reader.source.load_progress().context("it was asked")?;
        ensure!(told.rows == 0 && !told.done, "no row that is older than what was given out: {told:?}");
        ensure!(!commit.is_finished(), "the commit is held");
        if known == 5 {
            changes = reader.changes.clone();
            ensure!(changes.len() == 7, "the changes come: {}", changes.len());
        }
        let position = reader.position();
        drop(reader);
        reader = Reader::open(open_source(&config, tables.clone(), &secret()), Some(&position)).await?;
    }
    reader.source.load(number, Ok(request)).await?;
    server.run(&["alter system reset synchronous_standby_names", "select pg_reload_conf()"]).await?;
    commit.await??;
    while !reader.source.load_progress().context("it was asked")?.done {
        reader.poll(100).await?;
    }
    changes.extend(reader.changes.clone());
    assert_eq!(changes.len(), 5 + 2 + 5);
    let mut replay = Replay::default();
    replay.take(&tables, &changes)
}
