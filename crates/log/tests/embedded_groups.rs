//! Leases of the embedded engine across members that fall silent, freeze and wake up, and how soon another process hears of an append.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

#[path = "kafka/source.rs"]
#[allow(dead_code, reason = "every suite uses a part")]
mod source;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, ConsumeOptions, Consumer, Delivered, Log, TopicPartition};
use lienthong_testkit::process::Process;
use source::{PARTITIONS, TOPIC, participant, place, prepare};

const CHILD: &str = "LIENTHONG_CHILD_MEMBER";
const SESSION: Duration = Duration::from_millis(1000);

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(folder.join("log.db")).expect("log")
}

fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
}

/// A member that starts every partition at its beginning and keeps what it was told, in order.
struct Member {
    consumer: Box<dyn Consumer>,
    mine: BTreeSet<TopicPartition>,
    ids: Vec<String>,
    told: Vec<String>,
}

impl Member {
    async fn join(log: &EmbeddedLog, session: Duration) -> Self {
        let (group, topics) = ("g".to_owned(), vec![TOPIC.to_owned()]);
        let options = ConsumeOptions { group, topics, fetch_bytes: 1 << 20, session };
        let consumer = log.consume(&options).await.expect("join");
        Self { consumer, mine: BTreeSet::new(), ids: Vec::new(), told: Vec::new() }
    }

    async fn step(&mut self) {
        match self.consumer.next(Duration::from_millis(20)).await.expect("next") {
            None => {}
            Some(Delivered::Assigned(source)) => {
                self.told.push(format!("assigned {}", source.partition));
                self.consumer.start(&source, OffsetState::START).await.expect("start");
                assert!(self.mine.insert(source), "assigned twice");
            }
            Some(Delivered::Revoked(source)) => {
                self.told.push(format!("revoked {}", source.partition));
                assert!(self.mine.remove(&source), "revoked what it had not");
            }
            Some(Delivered::Records(batch)) => {
                assert!(self.mine.contains(&batch.source), "records of a partition that it has not");
                for entry in &batch.entries {
                    let record = batch.record(entry).expect("record");
                    let id = String::from_utf8_lossy(record.header("ce_id").expect("id")).into_owned();
                    self.told.push(format!("record {id} after {}", micros() - record.time));
                    self.ids.push(id);
                }
            }
            Some(Delivered::Expired { .. }) => panic!("nothing expires here"),
        }
    }

    async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < Duration::from_secs(30), "did not come about: {what}");
            self.step().await;
        }
        start.elapsed()
    }

    fn has_all(&self) -> bool {
        self.mine.len() == PARTITIONS as usize
    }
}

#[tokio::test]
async fn a_member_that_was_frozen_past_its_session_is_told_before_it_gets_anything_more() {
    let folder = tempfile::tempdir().expect("folder");
    let (log, other_log) = (open(folder.path()), open(folder.path()));
    prepare(&log).await;
    let mut frozen = Member::join(&log, SESSION).await;
    frozen.until("the first has all", Member::has_all).await;
    // Nobody asks the first one from here on: it is as good as frozen.
    let mut other = Member::join(&other_log, SESSION).await;
    let took = other.until("the second has all", Member::has_all).await;
    assert!(took < SESSION * 3, "{took:?}");
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    writer.append(&source::batch(0..9, |_| false)).await.expect("append");
    // A late answer to an assignment that is no longer its own starts nothing.
    frozen.consumer.start(&place(0), OffsetState::START).await.expect("start");
    frozen.told.clear();
    for _ in 0..PARTITIONS {
        frozen.step().await;
    }
    assert_eq!(frozen.told, ["revoked 0", "revoked 1", "revoked 2"]);
    assert!(frozen.ids.is_empty() && frozen.mine.is_empty());
    other.until("the records", |member| member.ids.len() == 9).await;
}

#[tokio::test]
async fn a_member_that_slept_past_its_session_is_told_even_when_nobody_took_over() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    prepare(&log).await;
    let mut member = Member::join(&log, Duration::from_millis(200)).await;
    member.until("it has all", Member::has_all).await;
    member.told.clear();
    tokio::time::sleep(Duration::from_millis(400)).await;
    member.until("it has all again", |member| member.told.len() == 2 * PARTITIONS as usize).await;
    let (revoked, assigned) = member.told.split_at(PARTITIONS as usize);
    assert!(revoked.iter().all(|told| told.starts_with("revoked")), "{:?}", member.told);
    assert!(assigned.iter().all(|told| told.starts_with("assigned")), "{:?}", member.told);
}

/// Not a test by itself: the process of the tests below. Says everything that it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_member() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    // The harness has begun a line with the name of this test.
    println!();
    let life = async move {
        let mut member = Member::join(&open(Path::new(&folder)), SESSION).await;
        loop {
            member.step().await;
            for told in member.told.drain(..) {
                println!("{told}");
            }
        }
    };
    // On a worker, as in the router.
    tokio::spawn(life).await.expect("it goes on until it is killed");
}

fn child(folder: &Path) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["child_member", "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, folder);
    Process::start(&mut command, &folder.join("said")).expect("process")
}

/// What a child was told, in order.
fn said(child: &Process) -> Vec<String> {
    let said = child.output().expect("output");
    let words = ["assigned", "revoked", "record"];
    let told = said.lines().filter(|line| words.iter().any(|word| line.starts_with(word)));
    told.map(str::to_owned).collect()
}

async fn heard(child: &Process, what: &str, so: impl Fn(&[String]) -> bool) -> Vec<String> {
    let start = Instant::now();
    loop {
        let told = said(child);
        if so(&told) {
            return told;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "did not come about: {what}; {told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn one(number: u64) -> Batch {
    let mut batch = Batch::default();
    let id = format!("e{number}");
    let headers: [(&'static str, &[u8]); 1] = [("ce_id", id.as_bytes())];
    let record = NewRecord { key: id.as_bytes(), headers: &headers, value: b"v", time: micros() };
    batch.push(&place(number % PARTITIONS), &record).expect("it fits");
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_loses_its_partitions_after_the_session_and_hears_it_first_when_it_wakes() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    prepare(&log).await;
    let mut stopped = child(folder.path());
    heard(&stopped, "it has all", |told| told.len() == PARTITIONS as usize).await;
    stopped.sigstop().expect("stopped");
    let mut other = Member::join(&log, SESSION).await;
    let took = other.until("the other has all", Member::has_all).await;
    assert!(took < SESSION * 3, "{took:?}");
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    writer.append(&source::batch(0..9, |_| false)).await.expect("append");
    other.until("the records", |member| member.ids.len() == 9).await;
    let before = said(&stopped).len();
    stopped.sigcont().expect("goes on");
    let all = PARTITIONS as usize;
    let told = heard(&stopped, "it is told", |told| told.len() >= before + all).await;
    assert!(told[before..before + all].iter().all(|told| told.starts_with("revoked")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_process_hears_of_every_append_by_another() {
    let folder = tempfile::tempdir().expect("folder");
    let log = open(folder.path());
    prepare(&log).await;
    let member = child(folder.path());
    heard(&member, "it has all", |told| told.len() == PARTITIONS as usize).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    for number in 0..60 {
        writer.append(&one(number)).await.expect("append");
        tokio::time::sleep(Duration::from_millis(10 + number % 17)).await;
    }
    let told = heard(&member, "all records", |told| told.len() == PARTITIONS as usize + 60).await;
    let mut after: Vec<u64> = told
        .iter()
        .filter_map(|told| told.rsplit_once(" after ").map(|(_, micros)| micros.parse().expect("number")))
        .collect();
    after.sort_unstable();
    let (median, slowest) = (after[after.len() / 2], after[after.len() - 1]);
    println!("append to visible in another process: p50 {median} us, slowest {slowest} us");
}
