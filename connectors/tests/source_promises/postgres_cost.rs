//! PostgreSQL: what a poll costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use lienthong_connectors::{DEFAULT_OUTBOX, SourceConfig, open_source};
use lienthong_testkit::eventually;
use lienthong_testkit::proxy::TcpProxy;

use crate::kind::{Kind as _, Postgres};
use crate::publisher::{Publisher, Reader, secret};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_has_caught_up_is_asked_once() -> Result<()> {
    const DELAY: Duration = Duration::from_millis(200);
    let mut publisher = Publisher::<Postgres>::person(3).await?;
    let proxy = TcpProxy::start(&publisher.kind.0.address()?).await?;
    let url = publisher.kind.0.url_through(&proxy.address())?;
    let config = SourceConfig {
        database: lienthong_connectors::Database::Postgres { url },
        ..publisher.config.clone()
    };
    let mut reader = Reader::open(open_source(&config, publisher.tables.clone(), &secret()), None).await?;
    reader.catch_up(10).await?;
    // The statement outside of the first load's transaction has been prepared as well.
    reader.catch_up(10).await?;
    proxy.delay(DELAY);
    let mut fastest = Duration::MAX;
    for id in [None, Some(10), Some(11)] {
        if let Some(id) = id {
            publisher.run(&[&format!("insert into person values ({id}, 'x', 0)")]).await?;
        }
        let began = Instant::now();
        let polled = reader.poll(10).await?;
        fastest = fastest.min(began.elapsed());
        assert!(polled.caught_up && polled.rows == usize::from(id.is_some()));
    }
    assert!(fastest >= 2 * DELAY, "the delay works");
    assert!(fastest < 4 * DELAY, "there and back once, and not {fastest:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_never_read_whole_though_the_outbox_was_empty_when_the_plan_was_made() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(0).await?;
    // Nothing but the reader's own polls may have it plan again.
    publisher.run(&[&format!("alter table {DEFAULT_OUTBOX} set (autovacuum_enabled = false)")]).await?;
    publisher.kind.script(&format!("vacuum analyze {DEFAULT_OUTBOX}")).await?;
    let mut reader = publisher.reader(None).await?;
    for _ in 0..8 {
        reader.catch_up(10).await?;
    }
    publisher.run(&["insert into person select i, 'x', 0 from generate_series(1, 3000) i"]).await?;
    assert_eq!(reader.catch_up(100).await?.len(), 3000);
    let end = reader.position();
    reader.source.forget(&end).await?;
    // A server process hands in its counts when it ends.
    drop(reader);
    let counts = format!(
        "select cast(seq_tup_read as text), cast(idx_tup_fetch as text) from pg_stat_user_tables \
         where relname = '{DEFAULT_OUTBOX}' and not exists (select from pg_stat_activity \
         where datname = current_database() and application_name like 'lienthong connector%')"
    );
    let mut read = Vec::new();
    eventually(Duration::from_secs(20), async || {
        let rows = publisher.owner.rows(&counts).await?;
        read = rows.into_iter().flatten().flatten().collect();
        Ok(read.get(1).is_some_and(|fetched: &String| fetched != "0"))
    })
    .await?;
    assert_eq!(read[0], "0", "rows read by reading the table from its beginning");
    Ok(())
}
