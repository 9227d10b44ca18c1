//! PostgreSQL: connections cut at any byte, rights, and both roads into a table.

use anyhow::{Context as _, Result, bail, ensure};
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

/// A subscriber behind a proxy, and what its tables must hold.
struct Behind {
    subscriber: Subscriber<Postgres>,
    oracle: Oracle,
    proxy: TcpProxy,
    worker: Worker,
}

impl Behind {
    async fn new() -> Result<Self> {
        let subscriber = Subscriber::<Postgres>::new().await?;
        let proxy = TcpProxy::start(&subscriber.kind.0.address()?).await?;
        let worker = worker_at(&subscriber, subscriber.kind.0.url_through(&proxy.address())?);
        Ok(Self { subscriber, oracle: Oracle::default(), proxy, worker })
    }

    /// Delivers while the connection is cut at a byte, and again until it is delivered: at every instant all of it is there or nothing,
    /// and in the end all of it once. `Some` is how many bytes passed where they were too few for the cut.
    async fn deliver(&mut self, rounds: &[Vec<Write>], cut_at: u64) -> Result<Option<u64>> {
        let expected = self.worker.offset().await?;
        let next = after(expected, 9);
        self.proxy.cut_after_bytes(cut_at);
        let mut told = self.worker.apply(expected, next, rounds, true).await;
        let uncut = (!self.proxy.is_cut()).then(|| self.proxy.passed());
        for _ in 0..50 {
            self.proxy.heal();
            match told {
                Ok(_) => {}
                // Fenced: the server committed after the connection was gone, and before it was asked again.
                Err(SinkError::Busy { .. } | SinkError::Fenced) => {}
                Err(other) => bail!("a cut connection is no reason for {other:?}"),
            }
            let nothing = assert_equal(&mut self.subscriber, &self.oracle).await;
            let there = self.worker.offset().await?;
            if there == Some(next) {
                self.oracle.take(rounds);
                assert_equal(&mut self.subscriber, &self.oracle).await?;
                return Ok(uncut);
            }
            ensure!(there == expected, "an offset that nobody wrote: {there:?}");
            // The offset has not moved even now, so there was nothing before.
            nothing?;
            told = self.worker.apply(expected, next, rounds, true).await;
        }
        bail!("it is never delivered: {told:?}")
    }
}

async fn cut_at_any_byte(seeds: u64, keys: u32) -> Result<()> {
    let first = lienthong_testkit::seed();
    println!("seed {first}");
    let mut behind = Behind::new().await?;
    // How many bytes a delivery takes, so that cuts fall everywhere in it. Statements that the server knows already take fewer.
    let mut bytes = u64::MAX;
    let mut cuts = 0;
    let mut random = StdRng::seed_from_u64(first);
    for _ in 0..3 {
        let passed = behind.deliver(&[round(&mut random, keys)], u64::MAX).await?;
        bytes = bytes.min(passed.unwrap_or(u64::MAX));
    }
    for seed in first..first + seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let rounds = [round(&mut random, keys)];
        // The end of the conversation, where the commit is, gets half of the cuts.
        let cut_at = match random.random() {
            true => random.random_range(0..bytes),
            false => bytes.saturating_sub(random.random_range(0..200)),
        };
        match behind.deliver(&rounds, cut_at).await.with_context(|| format!("seed {seed}"))? {
            None => cuts += 1,
            Some(passed) => bytes = bytes.min(passed),
        }
    }
    println!("{cuts} cuts in {bytes} bytes");
    ensure!(cuts > seeds / 4, "the test cuts: {cuts}");
    let receipts = behind.subscriber.count("lienthong_receipt").await?;
    assert_eq!(receipts, 3 + usize::try_from(seeds)?, "one receipt per delivery");
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
