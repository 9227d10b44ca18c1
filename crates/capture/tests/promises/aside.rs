//! A table that is set aside, and what was set aside published: nothing lost, doubled or out of order, wherever it is killed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_capture::lineage::propose;
use lienthong_capture::{Absent, CaptureError, Mending, Renamed, Retry, Status, retry};
use lienthong_connectors::CaptureConfig;
use lienthong_contract::source::SourceError;
use lienthong_testkit::postgres::TestDatabase;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dying::{Dying, Life};
use crate::world::{BULK, LIVE, PARTITIONS, World, options, residence};

const TABLE: &str = "public.residence";

/// Three people, published from the log of their server.
async fn three(database: &TestDatabase) -> Result<World> {
    let mut world = World::with(residence(None), Some(database.url()), None).await?;
    let (slot, publication) = (database.name().to_owned(), "lienthong".to_owned());
    world.source.capture = CaptureConfig::Log {
        slot,
        publication,
        bound: lienthong_contract::retained::LogBound::default(),
        truncate: lienthong_contract::source::WhenEmptied::default(),
        load_rate: None,
    };
    world.run(&["alter table residence replica identity full"]).await?;
    world
        .run(&["insert into residence select i, '00' || i, '0', null, null from generate_series(1, 3) i"])
        .await?;
    world.prepare().await?;
    world.publish().await?;
    Ok(world)
}

/// What happens: before the column has another name, while it has, and when that is taken back. Streets are numbered.
const BEFORE: [&str; 1] = ["update residence set street = '1' where file_no = '1'"];
const WHILE: [&str; 6] = [
    "alter table residence rename street to duong",
    "update residence set duong = '2' where file_no = '1'",
    "insert into residence values ('4', '004', '1', null, null)",
    "update residence set duong = '3', pin = '009' where file_no = '1'",
    "update residence set file_no = '5' where file_no = '2'",
    "delete from residence where file_no = '3'",
];
const BACK: [&str; 2] =
    ["alter table residence rename duong to street", "update residence set street = '4' where file_no = '1'"];

async fn happens(world: &mut World, statements: &[&str]) -> Result<()> {
    for statement in statements {
        world.run(&[statement]).await?;
    }
    Ok(())
}

fn renamed() -> Retry {
    let renamed = Renamed { table: TABLE.to_owned(), old: "duong".to_owned(), new: "street".to_owned() };
    Retry { mending: Mending { renames: vec![renamed], absent: Vec::new() }, leave_broken: false }
}

/// The command, on a log of such a life.
async fn command(world: &World, asked: Retry, life: Option<Life>) -> (Result<(), CaptureError>, Status) {
    let mut connector = world.connector();
    if let Some(life) = life {
        connector.log = Arc::new(Dying { inner: world.log.clone(), life });
    }
    let (sender, status) = watch::channel(Status::default());
    let ended = retry(connector, options(), asked, sender, CancellationToken::new()).await;
    let status = status.borrow().clone();
    (ended, status)
}

/// A connector that ends when it has caught up, on a log of such a life.
async fn connector(world: &World, life: Life) -> Result<(), CaptureError> {
    let mut connector = world.connector();
    connector.log = Arc::new(Dying { inner: world.log.clone(), life });
    let options = lienthong_capture::CaptureOptions { once: true, ..options() };
    let (sender, _status) = watch::channel(Status::default());
    lienthong_capture::run(connector, options, sender, CancellationToken::new()).await
}

/// Operations and streets of each subject, in the order in which they stand in the log; no id stands there twice, and sequences rise.
async fn stands(world: &World) -> Result<BTreeMap<String, Vec<String>>> {
    let (mut ids, mut all) = (HashSet::new(), BTreeMap::new());
    for partition in 0..PARTITIONS {
        let batch = world.read(LIVE, partition).await?;
        let mut sequences: BTreeMap<String, String> = BTreeMap::new();
        for entry in &batch.entries {
            let record = batch.record(entry)?;
            let text =
                |name| anyhow::Ok(std::str::from_utf8(record.header(name).unwrap_or_default())?.to_owned());
            ensure!(ids.insert(text("ce_id")?), "an event stands there twice");
            let (subject, sequence) = (text("ce_subject")?, text("ce_sequence")?);
            let before = sequences.insert(subject.clone(), sequence.clone());
            ensure!(before.is_none_or(|before| before <= sequence), "an older event comes later");
            all.entry(subject).or_insert_with(Vec::new).push(text("ce_operation")?);
        }
    }
    Ok(all)
}

/// What stands there in the end.
fn expected() -> BTreeMap<String, Vec<String>> {
    let of = |subject: &str, operations: &str| {
        (subject.to_owned(), operations.split_whitespace().map(str::to_owned).collect())
    };
    BTreeMap::from([
        of("001", "update update rekey"),
        of("002", "delete insert"),
        of("003", "delete"),
        of("004", "insert"),
        of("009", "update update"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_it_is_killed_each_change_that_was_set_aside_stands_there_once_and_in_order() -> Result<()> {
    for done in [false, true] {
        let database = TestDatabase::create().await?;
        let mut world = three(&database).await?;
        happens(&mut world, &BEFORE).await?;
        happens(&mut world, &WHILE).await?;
        happens(&mut world, &BACK).await?;
        // Set aside, by connectors that are killed later and later.
        let mut kills = 0;
        for writes in 1..50 {
            match connector(&world, Life::of(writes, done)).await {
                Ok(()) => break,
                Err(CaptureError::Log(_) | CaptureError::Writer(_)) => kills += 1,
                Err(other) => bail!("{other}"),
            }
        }
        ensure!(kills > 5, "{kills}");
        let status = world.publish().await?;
        ensure!((status.aside.len(), status.aside[0].rows) == (1, 6), "{:?}", status.aside);
        ensure!(stands(&world).await? == BTreeMap::from([("001".to_owned(), vec!["update".to_owned()])]));
        // Published, by commands and connectors that are killed later and later.
        let mut kills = 0;
        for writes in 1..50 {
            let life = Life::of(writes, done);
            let (ended, _) = command(&world, renamed(), Some(life)).await;
            match ended {
                Ok(()) => break,
                Err(CaptureError::Log(_) | CaptureError::Writer(_)) => kills += 1,
                Err(other) => bail!("{other}"),
            }
            if writes % 2 == 0 {
                drop(connector(&world, Life::of(1, done)).await);
            }
        }
        ensure!(kills > 1, "{kills}");
        ensure!(stands(&world).await? == expected(), "{:?}", stands(&world).await?);
        world.run(&["update residence set street = '5' where file_no = '5'"]).await?;
        let status = world.publish().await?;
        ensure!(status.aside.is_empty() && status.events == 1, "it goes on: {status:?}");
        // Given again it has nothing to do.
        let (ended, status) = command(&world, Retry::default(), None).await;
        ended?;
        ensure!(status.events == 0, "{status:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_of_what_still_breaks_unless_that_is_left() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut world = three(&database).await?;
    happens(&mut world, &WHILE[..3]).await?;
    let dropped = [
        "alter table residence drop duong",
        "insert into residence values ('7', '007', null, null)",
        "insert into residence values ('6', '006', 'infinity', null)",
    ];
    happens(&mut world, &dropped).await?;
    let status = world.publish().await?;
    ensure!(status.aside[0].rows == 4, "{:?}", status.aside);
    let refused = async |asked: Retry, parts: &[&str]| {
        let (ended, _) = command(&world, asked, None).await;
        let error = ended.err().context("it cannot be published")?.to_string();
        for part in parts {
            ensure!(error.contains(part), "{part} expected: {error}");
        }
        ensure!(stands(&world).await?.is_empty(), "nothing is published");
        Ok(())
    };
    refused(Retry::default(), &["without the captured column street", "--rename TABLE.OLD=NEW"]).await?;
    refused(renamed(), &["without the captured column street", "--absent TABLE.COLUMN"]).await?;
    let absent = Absent { table: TABLE.to_owned(), column: "street".to_owned() };
    let mut asked = renamed();
    asked.mending.absent.push(absent);
    refused(asked.clone(), &["breaks its contract: since, rule", "--leave-broken"]).await?;
    let elsewhere = Absent { table: "public.elsewhere".to_owned(), column: "street".to_owned() };
    let other =
        Retry { mending: Mending { renames: Vec::new(), absent: vec![elsewhere] }, leave_broken: true };
    refused(other, &["public.elsewhere is not set aside"]).await?;

    asked.leave_broken = true;
    let (ended, status) = command(&world, asked, None).await;
    ended?;
    ensure!((status.quarantined, status.events) == (1, 3), "{status:?}");
    ensure!(status.aside.is_empty(), "{:?}", status.aside);
    let subjects: Vec<String> = stands(&world).await?.into_keys().collect();
    ensure!(subjects == ["001", "004", "007"], "{subjects:?}");
    // The mapping still is that of before: the next change is set aside anew.
    world.run(&["delete from residence where file_no = '7'"]).await?;
    let status = world.publish().await?;
    ensure!(status.aside.len() == 1 && status.aside[0].rows == 1, "{:?}", status.aside);
    let mut other = world.connector();
    other.keys.seal = lienthong_contract::keys::SealKey::new([9; 32]);
    let (sender, _status) = watch::channel(Status::default());
    let ended = retry(other, options(), Retry::default(), sender, CancellationToken::new()).await;
    match ended {
        Err(CaptureError::Source(SourceError::Aside { problem, .. })) => {
            ensure!(problem.contains("has 0 of them that the site's seal key opens"), "{problem}");
        }
        other => bail!("{other:?}"),
    }
    given_up(&mut world).await
}

/// Whoever cannot mend it gives it up: all rows come again, of a table that suits the mapping.
async fn given_up(world: &mut World) -> Result<()> {
    let mut connector = world.connector();
    let proposal = propose(&mut connector).await?;
    ensure!(proposal.problem.contains("without the captured column street"), "{}", proposal.problem);
    proposal.confirm().await?;
    drop(connector);
    let (ended, _) = world.once().await;
    let told = ended.err().context("it does not suit the mapping")?.to_string();
    ensure!(told.contains("has no column street"), "{told}");
    world.run(&["alter table residence add column street text"]).await?;
    let status = world.publish().await?;
    ensure!(status.aside.is_empty() && world.events(BULK).await?.len() > 3, "{status:?}");
    Ok(())
}
