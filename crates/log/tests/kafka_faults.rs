//! Writers that are frozen and killed, brokers that are killed, a registry that is down: nothing is lost, doubled or disordered.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod kafka;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kafka::Namespace;
use kafka::source::{self, Forgotten, PARTITIONS, TOPIC, participant};
use lienthong_log::kafka::{KafkaLog, KafkaOptions};
use lienthong_log::{ConsumeOptions, Delivered, Log, LogError, WriterError};
use lienthong_testkit::private_kafka::PrivateKafka;
use lienthong_testkit::process::Process;
use lienthong_testkit::proxy::TcpProxy;
use lienthong_testkit::{eventually, seed};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const CHILD: &str = "LIENTHONG_CHILD_WRITER";
/// A broker is up again one to two seconds after a kill.
const BROKER_KILLS: u64 = 100;
/// Exit code of a writer that learned of its successor.
const FENCED: i32 = 7;

/// Starts this program again as a writer: `child_writer` below.
fn writer_process(namespace: &Namespace, folder: &Path, name: &str, seed: u64) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["child_writer", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .env("LIENTHONG_TEST_PREFIX", &namespace.prefix)
        .env("LIENTHONG_TEST_KAFKA", &namespace.brokers)
        .env("LIENTHONG_TEST_SEED", seed.to_string());
    Process::start(&mut command, &folder.join(name)).expect("process")
}

/// Not a test by itself: what the processes of the other tests do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writer() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let mut namespace = Namespace::shared();
    namespace.prefix = std::env::var("LIENTHONG_TEST_PREFIX").expect("prefix");
    let log = namespace.log();
    // The parent's topics must stay.
    std::mem::forget(namespace);
    let ended = source::publish(&log, &Forgotten::new(Path::new(&folder)), u64::MAX, seed()).await;
    let error = ended.expect_err("the source has no end");
    println!("ended: {error}");
    std::process::exit(if matches!(error, WriterError::Fenced { .. }) { FENCED } else { 1 });
}

/// Lets the source run dry: everything that any writer may have published, and more. Gives the number of events.
async fn finish(log: &dyn Log, forgotten: &Forgotten, seed: u64) -> u64 {
    let seen = source::check(log).await;
    let limit = seen.ends.iter().max().expect("partitions") + 1000;
    source::publish(log, forgotten, limit, seed).await.expect("a last writer");
    limit
}

/// Every event once, in order.
async fn assert_all(log: &dyn Log, limit: u64) -> u64 {
    let seen = source::check(log).await;
    let expected: Vec<u64> = (0..PARTITIONS)
        .map(|partition| {
            (partition..).step_by(PARTITIONS as usize).find(|number| *number >= limit).expect("number")
        })
        .collect();
    assert_eq!(seen.ends, expected);
    seen.ignored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_frozen_wakes_up_and_neither_doubles_nor_disorders_nor_forgets() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (namespace, folder) = (Namespace::shared(), tempfile::tempdir().expect("folder"));
    let log = namespace.log();
    source::prepare(&log).await;
    let forgotten = Forgotten::new(folder.path());
    let mut ignored = 0;
    for round in 0..6 {
        let name = format!("frozen-{round}");
        let mut zombie = writer_process(&namespace, folder.path(), &name, seed + round);
        let running = async || Ok(zombie.output()?.contains("forget"));
        eventually(Duration::from_secs(60), running).await.expect("it publishes");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        zombie.sigstop().expect("frozen");
        // Another one takes over and goes on while the first one sleeps.
        let limit = finish(&log, &forgotten, seed + 100 + round).await;
        let let_go = forgotten.get();
        zombie.sigcont().expect("awake");
        let status = zombie.wait(Duration::from_secs(60)).await.expect("it ends");
        let said = zombie.output().expect("output");
        assert_eq!(status.code(), Some(FENCED), "{}", tail(&said));
        assert_eq!(forgotten.get(), let_go, "the zombie let its source forget");
        ignored = assert_all(&log, limit).await;
    }
    assert!(ignored > 0, "no zombie had records in flight");
    println!("{ignored} records of zombies were ignored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_killed_at_a_hundred_random_instants_lose_and_double_nothing() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (namespace, folder) = (Namespace::shared(), tempfile::tempdir().expect("folder"));
    let log = namespace.log();
    source::prepare(&log).await;
    let forgotten = Forgotten::new(folder.path());
    let mut opened = 0;
    for round in 0..100 {
        let name = format!("killed-{round}");
        let mut victim = writer_process(&namespace, folder.path(), &name, seed + round);
        // Half of them while they start, claim, fence and read back; half of them while they publish.
        if round % 2 == 0 {
            let opens = async || Ok(victim.output()?.contains("open "));
            eventually(Duration::from_secs(180), opens).await.expect("it opens");
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        assert!(victim.runs().expect("asked"), "{}", tail(&victim.output().expect("output")));
        victim.kill9().expect("killed");
        opened += usize::from(victim.output().expect("output").contains("open "));
    }
    assert!(opened >= 50, "{opened}");
    let limit = finish(&log, &forgotten, seed).await;
    assert_all(&log, limit).await;
    println!("{opened} of 100 had opened; {limit} events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_during_appends_keeps_everything_acked_once_and_in_order() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    // Side by side: a broker that comes back waits more than it works.
    let half = BROKER_KILLS / 2;
    tokio::join!(kill_a_broker("one", half, seed), kill_a_broker("two", half, seed + 1));
}

async fn kill_a_broker(name: &str, kills: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut broker = PrivateKafka::start(&[]).await.expect("broker");
    broker.quicken().await.expect("broker");
    let (namespace, folder) = (Namespace::on(&broker.address()), tempfile::tempdir().expect("folder"));
    let log = Arc::new(namespace.log());
    source::prepare(&*log).await;
    let forgotten = Forgotten::new(folder.path());
    let publishing = {
        let (log, forgotten) = (Arc::clone(&log), forgotten.clone());
        tokio::spawn(async move { source::publish_stubbornly(&*log, &forgotten, u64::MAX, seed).await })
    };
    let goes_on = async || {
        let before = forgotten.get();
        let moves = async || Ok(forgotten.get() > before);
        eventually(Duration::from_secs(120), moves).await.expect("it goes on after a kill");
    };
    goes_on().await;
    for kill in 1..=kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        broker.kill9().expect("killed");
        println!("broker {name}, kill {kill}");
        broker.restart().await.expect("up again");
        // A broker that listens does not lead its partitions yet: until then it refuses readers too.
        goes_on().await;
    }
    publishing.abort();
    assert!(publishing.await.expect_err("the source has no end").is_cancelled());
    let limit = finish(&*log, &forgotten, seed).await;
    assert_all(&*log, limit).await;
    drop(namespace);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_told_when_the_brokers_are_away_and_another_one_goes_on_when_they_are_back() {
    let mut broker = PrivateKafka::start(&[]).await.expect("broker");
    let namespace = Namespace::on(&broker.address());
    let log = namespace.log();
    source::prepare(&log).await;
    let options = ConsumeOptions {
        group: "lienthong.away".to_owned(),
        topics: vec![TOPIC.to_owned()],
        fetch_bytes: 1 << 20,
        session: Duration::from_secs(6),
    };
    let mut member = log.consume(&options).await.expect("joined");
    broker.kill9().expect("killed");
    let told = async {
        loop {
            if let Err(error) = member.next(Duration::from_secs(1)).await {
                return error;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(40), told).await.expect("told in time");
    assert!(matches!(told, LogError::Unreachable { .. }), "{told:?}");
    broker.restart().await.expect("up again");
    let mut member = log.consume(&options).await.expect("joined");
    let assigned = async {
        while !matches!(member.next(Duration::from_secs(1)).await, Ok(Some(Delivered::Assigned(_)))) {}
    };
    tokio::time::timeout(Duration::from_secs(60), assigned).await.expect("assigned");
    drop(namespace);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_goes_on_by_itself_after_the_registry_was_down() {
    let (namespace, folder) = (Namespace::shared(), tempfile::tempdir().expect("folder"));
    source::prepare(&namespace.log()).await;
    let url = lienthong_testkit::env::registry();
    let rest = url.strip_prefix("http://").expect("a plain registry");
    let (host, path) = rest.split_once('/').expect("a path");
    let proxy = TcpProxy::start(host).await.expect("proxy");
    let options =
        KafkaOptions { registry: format!("http://{}/{path}", proxy.address()), ..namespace.options() };
    let log = KafkaLog::connect(options.clone()).expect("clients");
    let topics = [TOPIC.to_owned()];
    let (mut writer, _) = log.open_writer(&participant(), &topics).await.expect("writer");
    proxy.cut();
    // Who runs already does not need it.
    writer.append(&source::batch(0..30, |_| false)).await.expect("append");
    writer.heartbeat(1).await.expect("heartbeat");
    let _leave = writer.checkpoint(&source::body(30)).await.expect("checkpoint");
    // Who starts waits for it, and fences nobody meanwhile.
    let fresh = Arc::new(KafkaLog::connect(options).expect("clients"));
    let opened = fresh.open_writer(&participant(), &topics).await;
    assert!(matches!(opened, Err(WriterError::Log(LogError::RegistryDown(_)))), "{:?}", opened.err());
    assert!(!writer.fenced().await.expect("asked"));
    let forgotten = Forgotten::new(folder.path());
    let publishing = {
        let (log, forgotten) = (Arc::clone(&fresh), forgotten.clone());
        tokio::spawn(async move { source::publish_stubbornly(&*log, &forgotten, 3000, 1).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!publishing.is_finished());
    proxy.heal();
    tokio::time::timeout(Duration::from_secs(60), publishing).await.expect("in time").expect("published");
    assert_all(&*fresh, 3000).await;
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
