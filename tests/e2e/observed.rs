//! What running processes show of themselves: metrics, health, log lines.

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_telemetry::names;
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use serde_json::Value;

use crate::nation::{Publisher, copy, create_copy};
use crate::served::{SOON, Served};
use crate::site::{Engine, PARTICIPANT, Site};

struct World {
    site: Site,
    owner: Publisher,
    subscriber: String,
}

async fn world(engine: Engine, publisher: &str, subscriber: &str) -> Result<World> {
    let site = Site::new(engine, publisher, &[("nso.statistics", subscriber)])?;
    site.telemetry("{stalled_after: 5s}")?;
    let mut owner = Publisher::create(publisher).await?;
    owner.insert(20).await?;
    create_copy(subscriber).await?;
    site.prepare()?;
    Ok(World { site, owner, subscriber: subscriber.to_owned() })
}

impl World {
    async fn arrived(&mut self) -> Result<()> {
        let expected = self.owner.rows().await?;
        eventually(SOON, async || Ok(copy(&self.subscriber).await? == expected))
            .await
            .context("the copy differs")
    }
}

/// Only metrics that are documented, and no value of a row.
fn check_page(page: &str) -> Result<()> {
    for line in page.lines() {
        let name = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next());
        let known =
            |name: &str| names::ALL.iter().any(|metric| metric.name.trim_end_matches("_total") == name);
        if let Some(name) = name.filter(|name| !known(name)) {
            bail!("{name} is not documented");
        }
        let values = ["Xã", "xã", "commune", "2025-07", "invalid"];
        ensure!(!values.iter().any(|value| line.contains(value)), "{line}");
    }
    Ok(())
}

async fn metrics_tell(mut world: World, system: &str) -> Result<()> {
    let connector = Served::start(&world.site, &["connect", PARTICIPANT, "--heartbeat", "1"])?;
    let router = Served::start(&world.site, &["route"])?;
    world.arrived().await?;
    connector.becomes(200).await?;
    router.becomes(200).await?;
    world.owner.insert(7).await?;
    world.arrived().await?;
    assert_eq!(connector.get("/healthz").await?, (200, "alive\n".to_owned()));
    let participant = format!("participant=\"{PARTICIPANT}\"");
    connector
        .metric(&format!("lienthong_connector_events_total{{{participant}}}"), |value| value == 27.0)
        .await?;
    connector
        .metric(&format!("lienthong_capture_seconds_count{{{participant}}}"), |value| value == 27.0)
        .await?;
    connector
        .metric(&format!("lienthong_connector_retained_changes{{{participant}}}"), |value| value == 0.0)
        .await?;
    connector
        .metric(&format!("lienthong_connector_state{{{participant},state=\"live\"}}"), |value| value == 1.0)
        .await?;
    let sent = format!(
        "messaging_client_sent_messages_total{{messaging_system=\"{system}\",messaging_operation_name=\"send\",messaging_destination_name=\"lt.admin_unit.live\"}}"
    );
    connector.metric(&sent, |value| value == 7.0).await?;

    let whose = "subscriber=\"nso.statistics\",family=\"admin_unit\"";
    router
        .metric(&format!("lienthong_subscription_delivered_events_total{{{whose}}}"), |value| value == 27.0)
        .await?;
    router
        .metric(&format!("lienthong_subscription_rows_total{{{whose},outcome=\"changed\"}}"), |value| {
            value == 27.0
        })
        .await?;
    for part in ["commit_to_apply", "queue", "apply"] {
        router.metric(&format!("lienthong_{part}_seconds_count{{{whose}}}"), |value| value == 27.0).await?;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let fresh = format!("lienthong_subscription_fresh_through_timestamp_seconds{{{whose}}}");
    router.metric(&fresh, |value| (now - value).abs() < 60.0).await?;
    let group = "cluster_name=\"vn.test\",group=\"lienthong.nso.statistics.admin_unit\"";
    router.metric(&format!("kafka_consumergroup_group_sum_lag{{{group}}}"), |value| value < 10.0).await?;
    let place = "topic=\"lt.admin_unit.live\",partition=\"0\"";
    router
        .metric(&format!("kafka_partition_latest_offset{{cluster_name=\"vn.test\",{place}}}"), |value| {
            value > 7.0
        })
        .await?;
    router
        .metric(&format!("kafka_consumergroup_group_offset{{{group},{place}}}"), |value| value > 7.0)
        .await?;
    for process in [&connector, &router] {
        check_page(&process.get("/metrics").await?.1)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_the_way_of_events_on_the_embedded_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let world = world(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await?;
    metrics_tell(world, "lienthong_embedded").await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_the_way_of_events_over_kafka() -> Result<()> {
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    let world = world(Engine::Kafka, publisher.url(), subscriber.url()).await?;
    metrics_tell(world, "kafka").await
}

/// Holds the write lock of an SQLite file until it is dropped.
async fn hold(url: &str) -> Result<Database> {
    let database = Database::open(url).await?;
    match &database {
        Database::Sqlite(connection) => connection.execute_batch("begin immediate")?,
        Database::Postgres(_) => bail!("a lock of a file is wanted"),
    }
    Ok(database)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_makes_no_progress_is_alive_and_not_ready_until_it_moves_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let mut world = world(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await?;
    let connector = Served::start(&world.site, &["connect", PARTICIPANT])?;
    let router = Served::start(&world.site, &["route"])?;
    world.arrived().await?;
    router.becomes(200).await?;
    connector.becomes(200).await?;

    let lock = hold(&world.subscriber).await?;
    world.owner.insert(1).await?;
    let said = router.becomes(503).await?;
    assert!(said.starts_with("nso.statistics/admin_unit: "), "{said}");
    assert_eq!(router.get("/healthz").await?.0, 200);
    assert_eq!(connector.get("/readyz").await?.0, 200, "the publisher's side moves");
    drop(lock);
    router.becomes(200).await?;
    world.arrived().await?;

    let lock = hold(&format!("sqlite:{}", world.site.path("var/lienthong.db").display())).await?;
    world.owner.insert(1).await?;
    let said = connector.becomes(503).await?;
    assert!(said.starts_with(&format!("{PARTICIPANT}: ")), "{said}");
    drop(lock);
    connector.becomes(200).await?;
    world.arrived().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_told_with_exit_code_2_before_any_work() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let world = world(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let text = std::fs::read_to_string(world.site.path("lienthong.yaml"))?;
    world
        .site
        .write("lienthong.yaml", &text.replace("stalled_after: 5s", &format!("metrics: \"{address}\"")))?;
    for arguments in [&["connect", PARTICIPANT, "--once"][..], &["route", "--once"]] {
        let output = world.site.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("metrics cannot be served at {address}: address in use")), "{said}");
        assert!(said.contains("--metrics"), "the fix: {said}");
    }
    world.site.succeed(&["connect", PARTICIPANT, "--once", "--metrics", "off"])?;
    world.site.succeed(&["route", "--once", "--metrics", "127.0.0.1:0"])
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_tell_each_change_of_state_once_for_people_or_as_json() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let world = world(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await?;
    let output = world.site.run(&["connect", PARTICIPANT, "--once", "--log-format", "json"])?;
    let said = String::from_utf8(output.stderr)?;
    let mut states = Vec::new();
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        if line["message"] == "state" {
            assert_eq!((&line["kind"], &line["name"]), (&"connector".into(), &PARTICIPANT.into()));
            states.push(line["state"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(states.last().map(String::as_str), Some("stopped"), "{said}");
    let mut once = states.clone();
    once.dedup();
    assert_eq!(states, once, "each state once");

    let output = world.site.run(&["route", "--once"])?;
    let said = String::from_utf8(output.stderr)?;
    let stopped = "service: state";
    assert!(!said.contains('\u{1b}') && !said.contains(stopped), "no colours, no targets: {said}");
    assert_eq!(said.matches("state=\"stopped\"").count(), 1, "{said}");

    let failing = ["--log", "kafka://127.0.0.1:1?registry=http://127.0.0.1:1", "--timeout", "2"];
    let arguments = [&failing[..], &["--log-format", "json", "connect", PARTICIPANT, "--once"]].concat();
    let output = world.site.run(&arguments)?;
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr)?;
    let lines: Vec<Value> =
        said.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(said.clone())?;
    let waiting = lines.iter().filter(|line| line["state"] == "waiting").count();
    assert!(waiting >= 1 && lines.iter().any(|line| line["exit_code"] == 4), "{said}");
    let mut causes: Vec<&Value> =
        lines.iter().filter(|line| line["state"] == "waiting").map(|line| &line["cause"]).collect();
    causes.dedup();
    assert_eq!(causes.len(), waiting, "a wait is told once: {said}");
    Ok(())
}

/// Somewhere else than on a terminal, whoever has long work tells its counts every ten seconds, and each change of state once.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_tells_its_counts_every_ten_seconds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let mut world = world(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await?;
    let format = ["--log-format", "json"];
    let connector = Served::start(&world.site, &[&format[..], &["connect", PARTICIPANT]].concat())?;
    let router = Served::start(&world.site, &[&format[..], &["route"]].concat())?;
    world.arrived().await?;
    for (process, kind, name) in
        [(&connector, "connector", PARTICIPANT), (&router, "subscription", "nso.statistics/admin_unit")]
    {
        let lines = || -> Result<Vec<Value>> {
            // The last line may be half written.
            let said = process.said()?;
            let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines = whole.lines().filter(|line| !line.starts_with("---"));
            lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
        };
        let told = |what: &str| -> Result<Vec<Value>> {
            Ok(lines()?.into_iter().filter(|line| line["message"] == what).collect())
        };
        eventually(SOON, async || Ok(told("counts")?.len() >= 3)).await.context(process.said()?)?;
        let counts = told("counts")?;
        assert_eq!((&counts[0]["kind"], &counts[0]["name"]), (&kind.into(), &name.into()));
        let last = &counts[counts.len() - 1];
        assert_eq!((&last["events"], &last["per_second"]), (&20.into(), &0.into()), "nothing new");
        let at = |line: &Value| -> Result<_> {
            let text = line["timestamp"].as_str().context("a time")?;
            Ok(chrono::DateTime::parse_from_rfc3339(text)?)
        };
        for pair in counts.windows(2) {
            let apart = (at(&pair[1])? - at(&pair[0])?).num_milliseconds();
            assert!((9_000..15_000).contains(&apart), "{apart} ms");
        }
        let mut states: Vec<Value> = told("state")?.into_iter().map(|line| line["state"].clone()).collect();
        let all = states.len();
        states.dedup();
        assert_eq!(states.len(), all, "a state that lasts is told once: {states:?}");
        assert_eq!(states.last(), Some(&"live".into()));
    }
    Ok(())
}
