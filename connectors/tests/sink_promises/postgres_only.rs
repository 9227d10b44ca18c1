//! PostgreSQL: connections cut at any byte, rights, and both roads into a table.

use anyhow::{Result, bail, ensure};
use lienthong_connectors::{Database as Place, TargetConfig, open_sink};
use lienthong_contract::sink::SinkError;
use lienthong_testkit::proxy::TcpProxy;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::Postgres;
use crate::model::{assert_equal, round, sizes};
use crate::oracle::Oracle;
use crate::subscriber::{Subscriber, Worker, Write, after, person};

fn worker_at(subscriber: &Subscriber<Postgres>, url: String) -> Worker {
    let config = TargetConfig { database: Place::Postgres { url }, ..subscriber.config.clone() };
    Worker { sink: open_sink(&config, subscriber.tables.clone()), ..subscriber.worker() }
}

/// Delivers through a proxy that is cut at a random byte; whatever happens, the rows are those of before or those of after.
async fn cut_and_retried(
    worker: &mut Worker,
    proxy: &TcpProxy,
    rounds: &[Vec<Write>],
    cut_at: u64,
) -> Result<bool> {
    let expected = worker.offset().await?;
    let next = after(expected, 9);
    proxy.cut_after_bytes(cut_at);
    let mut told = worker.apply(expected, next, rounds, true).await;
    let cut = proxy.is_cut();
    for _ in 0..50 {
        proxy.heal();
        match told {
            Ok(_) => {}
            // Fenced: the server committed after the connection was gone, and before it was asked again.
            Err(SinkError::Busy { .. } | SinkError::Fenced) => {}
            Err(other) => bail!("a cut connection is no reason for {other:?}"),
        }
        let there = worker.offset().await?;
        if there == Some(next) {
            return Ok(cut);
        }
        ensure!(there == expected, "an offset that nobody wrote: {there:?}");
        told = worker.apply(expected, next, rounds, true).await;
    }
    bail!("it is never delivered: {told:?}")
}

async fn cut_at_any_byte(seeds: u64, keys: u32) -> Result<()> {
    let first = lienthong_testkit::seed();
    println!("seed {first}");
    let mut subscriber = Subscriber::<Postgres>::new().await?;
    let proxy = TcpProxy::start(&subscriber.kind.0.address()?).await?;
    let mut worker = worker_at(&subscriber, subscriber.kind.0.url_through(&proxy.address())?);
    let mut oracle = Oracle::default();
    // How many bytes a delivery takes, so that cuts fall everywhere in it.
    let mut random = StdRng::seed_from_u64(first);
    let warm = [round(&mut random, keys)];
    worker.apply(None, after(None, 9), &warm, true).await?;
    oracle.take(&warm);
    proxy.heal();
    let measured = [round(&mut random, keys)];
    let there = worker.offset().await?;
    worker.apply(there, after(there, 9), &measured, true).await?;
    oracle.take(&measured);
    let bytes = proxy.passed();
    let mut cuts = 0;
    for seed in first..first + seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let rounds = [round(&mut random, keys), round(&mut random, keys / 2)];
        // The end of the conversation, where the commit is, gets half of the cuts.
        let cut_at = if random.random() {
            random.random_range(0..bytes * 3 / 2)
        } else {
            bytes.saturating_sub(random.random_range(0..200))
        };
        cuts += u32::from(cut_and_retried(&mut worker, &proxy, &rounds, cut_at).await?);
        oracle.take(&rounds);
        assert_equal(&mut subscriber, &oracle)
            .await
            .map_err(|error| error.context(format!("seed {seed}")))?;
    }
    println!("{cuts} cuts in {bytes} bytes");
    ensure!(u64::from(cuts) > seeds / 3, "the test cuts: {cuts}");
    assert_eq!(
        subscriber.count("lienthong_receipt").await?,
        2 + usize::try_from(seeds)?,
        "one receipt per delivery"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_byte_of_a_small_delivery_leaves_all_or_nothing() -> Result<()> {
    cut_at_any_byte(50, 12).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_byte_of_a_large_delivery_leaves_all_or_nothing() -> Result<()> {
    cut_at_any_byte(50, 900).await
}

async fn role_with_rights(subscriber: &mut Subscriber<Postgres>) -> Result<String> {
    let role = subscriber.kind.0.create_role().await?;
    let tables = "insured, visits, lienthong_offset, lienthong_version, lienthong_receipt, lienthong_parked";
    let statements = [
        format!("revoke temporary on database {} from public", subscriber.kind.0.name()),
        format!("grant select, insert, update, delete on {tables} to {role}"),
    ];
    subscriber.owner.run(&statements).await?;
    Ok(role)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_temporary_tables_the_rows_are_the_same() -> Result<()> {
    let mut subscriber = Subscriber::<Postgres>::new().await?;
    let role = role_with_rights(&mut subscriber).await?;
    let mut worker = worker_at(&subscriber, subscriber.kind.0.url_as(&role)?);
    worker.sink.check().await?;
    sizes(&mut subscriber, &mut worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_documented_rights_alone_the_rows_are_the_same() -> Result<()> {
    let mut subscriber = Subscriber::<Postgres>::new().await?;
    let role = role_with_rights(&mut subscriber).await?;
    let temporary = format!("grant temporary on database {} to {role}", subscriber.kind.0.name());
    subscriber.owner.run(&[temporary]).await?;
    let mut worker = worker_at(&subscriber, subscriber.kind.0.url_as(&role)?);
    worker.sink.check().await?;
    sizes(&mut subscriber, &mut worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named_with_the_grants_that_mend_them() -> Result<()> {
    let mut subscriber = Subscriber::<Postgres>::new().await?;
    let role = subscriber.kind.0.create_role().await?;
    subscriber.owner.run(&[format!("grant select on insured, lienthong_offset to {role}")]).await?;
    let mut worker = worker_at(&subscriber, subscriber.kind.0.url_as(&role)?);
    let checked = worker.sink.check().await;
    let Err(SinkError::Unfit { problem, fix }) = checked else { bail!("it must not fit: {checked:?}") };
    for name in ["insured", "visits", "lienthong_offset", "lienthong_version", "lienthong_receipt"] {
        ensure!(problem.contains(name), "{problem} does not name {name}");
    }
    let grants: Vec<String> = fix
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|part| part.to_lowercase().starts_with("grant "))
        .map(str::to_owned)
        .collect();
    ensure!(!grants.is_empty(), "{fix} holds no grant");
    subscriber.owner.run(&grants).await?;
    worker.sink.check().await?;
    worker.deliver(&[person("1", 1, "An")]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_postgres_cannot_hold_is_refused_and_not_shown() -> Result<()> {
    let subscriber = Subscriber::<Postgres>::new().await?;
    let mut worker = subscriber.worker();
    for count in [1, 700] {
        let mut writes: Vec<Write> = (1..count).map(|at| person(&format!("p{at}"), 1, "x")).collect();
        writes.push(person("1", 1, "MARKER\0901"));
        let refused = worker.deliver(&writes).await;
        ensure!(matches!(refused, Err(SinkError::Refused { .. })), "{refused:?}");
        ensure!(!format!("{refused:?}").contains("901"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_subscriber_is_busy_and_its_password_is_not_shown() -> Result<()> {
    let subscriber = Subscriber::<Postgres>::new().await?;
    let mut worker =
        worker_at(&subscriber, "postgres://somebody:MARKER-secret@127.0.0.1:1/nothing".to_owned());
    for told in [worker.offset().await.map(drop), worker.sink.check().await] {
        ensure!(matches!(told, Err(SinkError::Busy { .. })), "{told:?}");
        ensure!(!format!("{told:?}").contains("MARKER"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_has_locked_is_waited_for_and_not_lost() -> Result<()> {
    let mut subscriber = Subscriber::<Postgres>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 1, "An")]).await?;
    let mut other = Subscriber::<Postgres>::worker(&subscriber);
    let lock = "begin; select from insured where pin = '1' for update";
    let url = subscriber.kind.0.url().to_owned();
    let holder = tokio::spawn(async move {
        let mut held = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::Executor::execute(&mut held, lock).await?;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        sqlx::Executor::execute(&mut held, "commit").await?;
        anyhow::Ok(())
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut told = other.deliver(&[person("1", 2, "Bình")]).await;
    for _ in 0..50 {
        match &told {
            Ok(_) => break,
            Err(SinkError::Busy { .. }) => told = other.deliver(&[person("1", 2, "Bình")]).await,
            Err(error) => bail!("{error:?}"),
        }
    }
    holder.await??;
    told?;
    assert_eq!(subscriber.insured().await?[0][1].as_deref(), Some("Bình"));
    Ok(())
}
