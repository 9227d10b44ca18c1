//! PostgreSQL: rights, triggers that never stand in the owner's way, broken connections.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lienthong_connectors::{CaptureConfig, Database as Place, SourceConfig, open_source, source_admin};
use lienthong_contract::source::SourceError;
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::proxy::TcpProxy;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::{Kind, Postgres};
use crate::log_kind::OnServer;
use crate::owner::change;
use crate::publisher::{PERSON, Publisher, Reader, capture, secret};

fn at<K: Kind>(publisher: &Publisher<K>, url: String) -> SourceConfig {
    SourceConfig { database: Place::Postgres { url }, ..publisher.config.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_needs_no_more_rights_than_the_printed_ones() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(3).await?;
    let role = publisher.kind.0.create_role().await?;
    let config = at(&publisher, publisher.kind.0.url_as(&role)?);
    let mut source = open_source(&config, publisher.tables.clone(), &secret());
    let refused = source.open().await;
    ensure!(
        matches!(&refused, Err(SourceError::NotPrepared { problem, .. }) if problem.contains("right")),
        "{refused:?}"
    );
    let ddl = publisher.admin().ddl().await?;
    let grants =
        ddl.lines().filter_map(|line| line.strip_prefix("-- ")).filter(|line| line.starts_with("grant "));
    let grants: Vec<String> = grants.map(|line| line.replace("<connector>", &role)).collect();
    ensure!(!grants.is_empty(), "the statements say which rights a connector needs");
    publisher.owner.run(&grants).await?;
    let mut reader = Reader::open(source, None).await?;
    reader.catch_up(2).await?;
    publisher.run(&["update person set rev = 1", "delete from person where id = 1"]).await?;
    reader.source.wait(Duration::from_secs(10)).await?;
    assert_eq!(reader.catch_up(2).await?.len(), 4);
    let end = reader.position();
    reader.source.forget(&end).await?;
    assert_eq!(publisher.outbox_rows().await?, 0);
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_rights_on_the_outbox_writes_and_is_captured() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(1).await?;
    let role = publisher.kind.0.create_role().await?;
    publisher.run(&[&format!("grant select, insert, update, delete, truncate on person to {role}")]).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let mut owner = Database::open(&publisher.kind.0.url_as(&role)?).await?;
    owner
        .run(&["insert into person values (7, 'An', 0)".to_owned(), "update person set rev = 1".to_owned()])
        .await?;
    owner.run(&["truncate person".to_owned()]).await?;
    for query in ["select rel from lienthong_outbox", "select secret from lienthong_outbox_meta"] {
        owner.rows(query).await.expect_err("the outbox is none of the owner's business");
    }
    assert_eq!(reader.catch_up(10).await?.len(), 5);
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_owns_the_tables_may_prepare_without_being_superuser() -> Result<()> {
    let tables = vec![capture("person", &["id", "name", "rev"])];
    let mut publisher = Publisher::<Postgres>::new(&[PERSON], tables).await?;
    let role = publisher.kind.0.create_role().await?;
    let rights =
        [format!("alter table person owner to {role}"), format!("grant create on schema public to {role}")];
    publisher.owner.run(&rights).await?;
    let config = at(&publisher, publisher.kind.0.url_as(&role)?);
    source_admin(&config, publisher.tables.clone()).prepare().await?;
    source_admin(&config, publisher.tables.clone()).prepare().await?;
    let mut reader = Reader::open(open_source(&config, publisher.tables.clone(), &secret()), None).await?;
    publisher.run(&["insert into person values (1, 'An', 0)"]).await?;
    reader.catch_up(10).await?;
    publisher.assert_replays(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_which_row_level_security_hides_rows_is_refused() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(3).await?;
    let role = publisher.kind.0.create_role().await?;
    let ddl = publisher.admin().ddl().await?;
    let grants = ddl.lines().filter_map(|line| line.strip_prefix("-- grant "));
    let grants: Vec<String> =
        grants.map(|line| format!("grant {}", line.replace("<connector>", &role))).collect();
    publisher.owner.run(&grants).await?;
    publisher
        .run(&[
            "alter table person enable row level security",
            "create policy most on person for select using (id <> 1)",
        ])
        .await?;
    let config = at(&publisher, publisher.kind.0.url_as(&role)?);
    let mut source = open_source(&config, publisher.tables.clone(), &secret());
    let refused = source.open().await;
    ensure!(
        matches!(&refused, Err(SourceError::NotPrepared { problem, fix })
            if problem.contains("row-level security") && problem.contains("public.person")
                && fix.contains("bypassrls") && fix.contains(&role)),
        "{refused:?}"
    );
    publisher.run(&[&format!("alter role {role} bypassrls")]).await?;
    let mut reader = Reader::open(source, None).await?;
    assert_eq!(reader.poll(2).await?.rows, 2);
    // Whoever takes the right away in the middle of the first load does not make it shorter.
    drop(reader);
    publisher
        .run(&[&format!("alter role {role} nobypassrls"), "alter table person disable row level security"])
        .await?;
    let mut reader = Reader::open(open_source(&config, publisher.tables.clone(), &secret()), None).await?;
    assert_eq!(reader.poll(2).await?.rows, 2);
    publisher.run(&["alter table person enable row level security"]).await?;
    let refused = reader.poll(2).await;
    ensure!(matches!(refused, Err(SourceError::NotPrepared { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_row_level_security_binds_cannot_prepare() -> Result<()> {
    let tables = vec![capture("person", &["id", "name", "rev"])];
    let mut publisher = Publisher::<Postgres>::new(&[PERSON], tables).await?;
    let role = publisher.kind.0.create_role().await?;
    publisher
        .run(&[
            &format!("alter table person owner to {role}"),
            &format!("grant create on schema public to {role}"),
            "alter table person enable row level security",
        ])
        .await?;
    let config = at(&publisher, publisher.kind.0.url_as(&role)?);
    let mut admin = source_admin(&config, publisher.tables.clone());
    admin.prepare().await?;
    publisher.run(&["alter table person force row level security"]).await?;
    // The trigger that records a truncate reads the table as its owner.
    let refused = admin.prepare().await;
    ensure!(
        matches!(&refused, Err(SourceError::NotPrepared { problem, .. }) if problem.contains("row-level security")),
        "{refused:?}"
    );
    Ok(())
}

/// Breaks the outbox (`{role}` becomes a role without rights), lets the owner write, mends, and expects that the loss is told.
async fn broken(breaks: &str, mends: &str) -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    let role = publisher.kind.0.create_role().await?;
    publisher.run(&[&breaks.replace("{role}", &role)]).await?;
    publisher.run(&["insert into person values (7, 'An', 0)", "update person set rev = 1"]).await?;
    publisher.run(&["delete from person where id = 0"]).await?;
    assert_eq!(publisher.state().await?.len(), 1, "the owner's writes are there");
    publisher.run(&[mends]).await?;
    publisher.run(&["insert into person values (8, 'Bình', 0)"]).await?;
    let told = reader.poll(10).await;
    ensure!(matches!(told, Err(SourceError::Gap { .. })), "after {breaks}: {told:?}");
    drop(reader);
    let mut source = publisher.source();
    eventually(Duration::from_secs(10), async || Ok(source.open().await.is_ok())).await?;
    let told = source.seek(Some(&end)).await;
    ensure!(
        matches!(&told, Err(SourceError::Gap { gap, fix }) if !gap.is_empty() && !fix.is_empty()),
        "{told:?}"
    );
    drop(source);
    let mut source = publisher.source();
    eventually(Duration::from_secs(10), async || Ok(source.open().await.is_ok())).await?;
    let mut reader = Reader::open(source, None).await?;
    reader.catch_up(10).await?;
    let state = publisher.state().await?;
    let last = |id: &str| {
        reader
            .changes
            .iter()
            .rev()
            .find(|change| change.after.as_ref().is_some_and(|row| row[0].as_deref() == Some(id)))
            .and_then(|change| change.after.clone())
    };
    for row in state.values() {
        let id = row[0].as_deref().unwrap_or_default();
        assert_eq!(last(id).as_ref(), Some(row), "a new first load mends it");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_takes_no_rows_never_fails_the_owner_and_the_gap_is_told() -> Result<()> {
    let full = "alter table lienthong_outbox add constraint no_room check (false) not valid";
    broken(full, "alter table lienthong_outbox drop constraint no_room").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_of_another_shape_never_fails_the_owner_and_the_gap_is_told() -> Result<()> {
    let renamed = "alter table lienthong_outbox rename column rel to something_else";
    broken(renamed, "alter table lienthong_outbox rename column something_else to rel").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_whose_function_lost_its_rights_never_fails_the_owner_and_the_gap_is_told() -> Result<()> {
    // Its owner becomes a role that may not write to the outbox.
    let mine = "do $$ begin execute format('alter function lienthong_outbox_capture() owner to %I', current_user); end $$";
    let other = "grant create on schema public to {role}; grant usage on sequence lienthong_outbox_lost to {role}; \
        alter function lienthong_outbox_capture() owner to {role}";
    broken(other, mine).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_outbox_never_fails_the_owner_and_the_source_refuses_to_go_on() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let (lineage, end) = (reader.lineage.clone(), reader.position());
    publisher.run(&["drop table lienthong_outbox cascade"]).await?;
    publisher.run(&["insert into person values (7, 'An', 0)"]).await?;
    assert_eq!(publisher.state().await?.len(), 2);
    let told = reader.poll(10).await;
    ensure!(matches!(told, Err(SourceError::NotPrepared { .. } | SourceError::Gap { .. })), "{told:?}");
    drop(reader);
    publisher.prepare().await?;
    let mut source = publisher.source();
    let mut now = None;
    eventually(Duration::from_secs(10), async || {
        now = source.open().await.ok();
        Ok(now.is_some())
    })
    .await?;
    let told = source.seek(Some(&end)).await;
    let differs = now.is_some_and(|now| lineage.difference(&now).is_some());
    ensure!(differs && told.is_err(), "the old position must not go on in a new outbox: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn published_rows_are_removed_in_batches() -> Result<()> {
    let mut publisher = Publisher::<Postgres>::person(0).await?;
    let mut reader = publisher.reader(None).await?;
    publisher.run(&["insert into person select i, 'x', 0 from generate_series(1, 25000) i"]).await?;
    publisher
        .run(&[
            "create table removed (rows bigint, xid xid8)",
            "create function count_removed() returns trigger language plpgsql as \
             $$ begin insert into removed select count(*), pg_current_xact_id() from gone; return null; end $$",
            "create trigger count_removed after delete on lienthong_outbox referencing old table as gone \
             for each statement execute function count_removed()",
        ])
        .await?;
    reader.catch_up(10_000).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    assert_eq!(publisher.outbox_rows().await?, 0);
    let removed = publisher
        .owner
        .rows("select sum(rows)::text, max(rows)::text, count(distinct xid)::text from removed")
        .await?;
    let number = |at: usize| removed[0][at].as_deref().and_then(|text| text.parse::<u64>().ok());
    assert_eq!(number(0), Some(25_000));
    assert!(number(1) <= Some(10_000), "no transaction is longer than a batch");
    assert!(number(2) >= Some(3));
    Ok(())
}

pub(crate) async fn broken_connections_lose_and_double_nothing<K: OnServer>() -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut publisher = Publisher::<K>::person(40).await?;
    let proxy = TcpProxy::start(&publisher.kind.there().address()?).await?;
    let config = at(&publisher, publisher.kind.there().url_through(&proxy.address())?);
    let mut reader = Reader::open(open_source(&config, publisher.tables.clone(), &secret()), None).await?;
    let mut stored = None;
    let mut cuts = 0;
    for _ in 0..30 {
        change(&mut publisher.owner, &mut random, 60).await?;
        proxy.cut_after_bytes(random.random_range(0..2_500));
        loop {
            let polled = reader.poll(random.random_range(1..15)).await;
            match polled {
                Ok(polled) => {
                    let forgot = if random.random_range(0..4) == 0 {
                        reader.source.forget(&polled.position).await
                    } else {
                        Ok(())
                    };
                    let caught_up = polled.caught_up;
                    stored = Some(polled.position);
                    if caught_up || forgot.is_err() {
                        break;
                    }
                }
                Err(SourceError::Unreachable { reason, .. }) => {
                    ensure!(!reason.is_empty(), "a reason is given");
                    break;
                }
                Err(other) => return Err(other.into()),
            }
        }
        if proxy.is_cut() {
            cuts += 1;
            let opened = reader.source.open().await;
            ensure!(matches!(opened, Err(SourceError::Unreachable { .. })), "{opened:?}");
            proxy.heal();
            // The server gives the lock back as soon as it notices.
            eventually(Duration::from_secs(20), async || Ok(reader.source.open().await.is_ok())).await?;
            reader.source.seek(stored.as_ref()).await?;
        }
    }
    proxy.heal();
    println!("{cuts} cuts");
    assert!(cuts > 3, "the test cuts");
    reader.source.open().await?;
    reader.source.seek(stored.as_ref()).await?;
    reader.catch_up(50).await?;
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_connection_that_breaks_during_a_wait_is_told_within_the_wait<K: OnServer>() -> Result<()>
{
    let mut publisher = Publisher::<K>::person(1).await?;
    let proxy = TcpProxy::start(&publisher.kind.there().address()?).await?;
    let config = at(&publisher, publisher.kind.there().url_through(&proxy.address())?);
    let mut reader = Reader::open(open_source(&config, publisher.tables.clone(), &secret()), None).await?;
    reader.catch_up(10).await?;
    let end = reader.position();
    let cut = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.cut();
    };
    let began = Instant::now();
    let (waited, ()) = tokio::join!(reader.source.wait(Duration::from_secs(3)), cut);
    ensure!(matches!(waited, Ok(()) | Err(SourceError::Unreachable { .. })), "{waited:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    let polled = reader.poll(10).await;
    ensure!(matches!(polled, Err(SourceError::Unreachable { .. })), "{polled:?}");
    proxy.heal();
    publisher.run(&["update person set rev = 1"]).await?;
    eventually(Duration::from_secs(20), async || Ok(reader.source.open().await.is_ok())).await?;
    reader.source.seek(Some(&end)).await?;
    assert_eq!(reader.catch_up(10).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_told_without_the_password() -> Result<()> {
    let url = "postgres://somebody:MARKER-secret@127.0.0.1:1/nothing".to_owned();
    let config = SourceConfig {
        name: "moj.test".to_owned(),
        database: Place::Postgres { url },
        capture: CaptureConfig::Outbox { table: "o".to_owned() },
    };
    let error = open_source(&config, vec![capture("person", &["id"])], &secret())
        .open()
        .await
        .expect_err("nobody listens there");
    ensure!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?} {config:?}").contains("MARKER"));
    Ok(())
}
