//! kill -9 of connector and router at random instants, while the source goes on changing: every copy ends equal to its source, and
//! the receipts have no gap.

use std::process::Child;
use std::time::Duration;

use anyhow::Result;
use lienthong_testkit::postgres::TestDatabase;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::nation::{Publisher, check_receipts, copy, create_copy};
use crate::site::{Engine, PARTICIPANT, Site};

/// Kills per engine; each has a seed of its own, printed when it fails.
const KILLS: u64 = 30;

fn kill(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

async fn killed_at_random(engine: Engine, publisher: &str, subscribers: &[(&str, &str)]) -> Result<()> {
    let site = Site::new(engine, publisher, subscribers)?;
    let mut owner = Publisher::create(publisher).await?;
    owner.insert(200).await?;
    for (_, subscriber) in subscribers {
        create_copy(subscriber).await?;
    }
    site.prepare()?;
    let first = lienthong_testkit::seed();
    for seed in first..first + KILLS {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut connector = site.start(&["connect", PARTICIPANT, "--heartbeat", "1"])?;
        let mut router = site.start(&["route"])?;
        let until = tokio::time::Instant::now() + Duration::from_millis(random.random_range(20..900));
        while tokio::time::Instant::now() < until {
            owner.change(&mut random).await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
        let order =
            if random.random() { [&mut connector, &mut router] } else { [&mut router, &mut connector] };
        for child in order {
            kill(child)?;
        }
    }
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    site.succeed(&["route", "--once"])?;
    let expected = owner.rows().await?;
    for (name, subscriber) in subscribers {
        let rows = copy(subscriber).await?;
        assert!(
            rows == expected,
            "{name}: {} rows where {} are expected, or others",
            rows.len(),
            expected.len()
        );
        check_receipts(subscriber).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing_on_the_embedded_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    killed_at_random(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing_on_kafka() -> Result<()> {
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    killed_at_random(Engine::Kafka, publisher.url(), &[("nso.statistics", subscriber.url())]).await
}
