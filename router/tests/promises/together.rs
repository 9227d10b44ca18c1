//! Several partitions in one transaction: who is in it, and what becomes of each when it fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lienthong_router::{RouterError, State};

use crate::faults::{FaultyLog, LogFaults, SinkFaults};
use crate::sharing::assert_each_event_once;
use crate::subscriber::{Running, Subscriber, eventually};
use crate::world::{LIVE, Said, World};

const PARTITIONS: i32 = 8;

/// A router with one connection, on which a transaction is held while more comes for every partition.
struct Held {
    world: World,
    vss: Subscriber,
    sinks: Arc<SinkFaults>,
    log: Arc<LogFaults>,
    running: Running,
    said: usize,
}

impl Held {
    async fn new() -> Self {
        Self::bounded(2_000).await
    }

    async fn bounded(max_rows: usize) -> Self {
        Self::with(1, max_rows).await
    }

    async fn with(parallel: usize, max_rows: usize) -> Self {
        let world = World::new(PARTITIONS).await;
        let mut vss = Subscriber::new(&world).await;
        vss.options.parallel = parallel;
        vss.options.max_rows = max_rows;
        let (sinks, log) = (Arc::new(SinkFaults::default()), Arc::new(LogFaults::default()));
        let faulty = Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults: Arc::clone(&log) });
        let mut running = vss.start_on(faulty, sinks.around(vss.sinks()));
        running.live().await;
        Self { world, vss, sinks, log, running, said: 0 }
    }

    /// So many people of one partition.
    fn pins(&self, partition: i32, count: usize) -> Vec<String> {
        let pins = (0..).map(|number| format!("p{number}"));
        pins.filter(|pin| self.world.place(LIVE, pin).partition == partition).take(count).collect()
    }

    /// Three births in every partition.
    fn births(&self) -> Vec<Said> {
        let of = |partition| self.pins(partition, 3).into_iter().map(|pin| Said::birth(1, &pin, "An"));
        (0..PARTITIONS).flat_map(of).collect()
    }

    /// Holds the next transaction, which is one of a person of partition 0 alone.
    async fn hold(&mut self) {
        self.sinks.hold.store(true, Ordering::SeqCst);
        let first = self.pins(0, 20).pop().expect("a person");
        self.say(&[Said::birth(1, &first, "first")]).await;
        let sinks = Arc::clone(&self.sinks);
        eventually("it is held", || sinks.held.load(Ordering::SeqCst) == 1).await;
    }

    async fn say(&mut self, said: &[Said]) {
        self.world.say(said).await;
        self.said += said.len();
    }

    /// Lets everything go once all of it waits.
    async fn release(&self) {
        eventually("all of it waits", || self.log.events.load(Ordering::SeqCst) >= self.said).await;
        self.sinks.hold.store(false, Ordering::SeqCst);
    }

    async fn delivered(&mut self, events: u64) {
        let all = |status: &lienthong_router::Status| status.events >= events && status.state == State::Live;
        self.running.until("delivered", all).await;
    }

    fn together(&self) -> usize {
        self.sinks.together.load(Ordering::SeqCst)
    }
}

fn halted(ended: Result<lienthong_router::Status, RouterError>) -> String {
    let error = ended.expect_err("halted");
    assert!(matches!(error, RouterError::Halted { .. }), "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_wait_for_a_connection_are_committed_together() {
    let mut held = Held::new().await;
    held.hold().await;
    let births = held.births();
    held.say(&births).await;
    held.release().await;
    held.delivered(25).await;
    let vss = &held.vss;
    assert_eq!((vss.rows().len(), vss.receipted()), (25, (25, 25)));
    assert_eq!(vss.number("select count(*) from lienthong_receipt"), 9, "one of each partition and part");
    let times = vss.number("select count(distinct applied_at) from lienthong_receipt");
    assert_eq!(times, 2, "the one that was held, and all that waited for it");
    assert_eq!(held.together(), PARTITIONS as usize);
    held.running.stop().await;
    assert_each_event_once(&held.vss, 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_come_together_is_committed_together_although_connections_are_free() {
    let mut held = Held::with(4, 2_000).await;
    for number in 1..=5 {
        let births: Vec<Said> =
            held.births().into_iter().map(|said| Said::birth(number, &said.pin, "An")).collect();
        held.say(&births).await;
        held.delivered(24 * number).await;
    }
    let transactions = held.vss.number("select count(distinct applied_at) from lienthong_receipt");
    // One each time, unless something else ends in the very moment.
    assert!(transactions <= 10, "{transactions} transactions for 5 times 8 partitions");
    held.running.stop().await;
    assert_each_event_once(&held.vss, 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_alone_does_not_wait_for_company() {
    let mut held = Held::new().await;
    for number in 1..=5 {
        let pin = held.pins(3, 1).remove(0);
        held.say(&[Said::birth(number, &pin, "An")]).await;
        held.delivered(number).await;
    }
    let (receipts, status) =
        (held.vss.number("select count(*) from lienthong_receipt"), held.running.stop().await);
    assert_eq!((receipts, status.events, held.sinks.together.load(Ordering::SeqCst)), (5, 5, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_together_are_bounded_as_one_is_alone() {
    let mut held = Held::bounded(7).await;
    held.hold().await;
    let births = held.births();
    held.say(&births).await;
    held.release().await;
    held.delivered(25).await;
    let largest = held.vss.number(
        "select max(events) from (select sum(events_read) as events from lienthong_receipt group by applied_at)",
    );
    assert_eq!(largest, 7, "events in one transaction");
    // The one that was held, and 24 events by seven.
    assert_eq!(held.vss.number("select count(distinct applied_at) from lienthong_receipt"), 5);
    held.running.stop().await;
    assert_each_event_once(&held.vss, 25);
}

fn forbid_poison(vss: &Subscriber) {
    let sql = "create unique index one_poison on insured(name) where name = 'poison'; \
               insert into insured(pin, name) values ('own', 'poison')";
    vss.conn.execute_batch(sql).expect("a constraint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_failed_together_with_a_refused_event_is_delivered_before_it_halts() {
    // Wherever in the order of turns it stands.
    for poisoned in 0..PARTITIONS {
        let mut held = Held::new().await;
        forbid_poison(&held.vss);
        held.hold().await;
        let one = |partition| {
            let name = if partition == poisoned { "poison" } else { "An" };
            Said::birth(1, &held.pins(partition, 1).remove(0), name)
        };
        let births: Vec<Said> = (0..PARTITIONS).map(one).collect();
        held.say(&births).await;
        held.release().await;
        let text = halted(held.running.ended().await);
        assert!(text.contains(&format!("{LIVE}/{poisoned} offset ")), "{text}");
        assert_eq!(held.sinks.together.load(Ordering::SeqCst), PARTITIONS as usize);
        assert_each_event_once(&held.vss, 8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_halts_after_all_before_it_and_all_other_partitions_are_delivered() {
    for poisoned in [1, 6] {
        let mut held = Held::new().await;
        forbid_poison(&held.vss);
        held.hold().await;
        let pins = held.pins(poisoned, 7);
        let mut births = held.births();
        births.extend(pins[3..5].iter().map(|pin| Said::birth(1, pin, "An")));
        births.push(Said::birth(1, &pins[5], "poison"));
        births.push(Said::birth(1, &pins[6], "behind"));
        held.say(&births).await;
        held.release().await;
        let text = halted(held.running.ended().await);
        assert_eq!(
            held.sinks.together.load(Ordering::SeqCst),
            PARTITIONS as usize,
            "they had failed together"
        );
        let offset = held.vss.next_offset(LIVE, poisoned);
        assert!(
            text.contains(&format!("{LIVE}/{poisoned} offset {offset} ")) && text.contains("insured"),
            "{text}"
        );
        // What was held, three of each partition, and two more before the one that is refused.
        assert_eq!(held.vss.number("select count(*) from insured where pin <> 'own'"), 1 + 24 + 2);
        assert_each_event_once(&held.vss, 27);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_read_leaves_the_transaction_of_the_others_alone() {
    let mut held = Held::new().await;
    held.hold().await;
    let births = held.births();
    held.say(&births).await;
    let last = held.pins(4, 4).remove(3);
    held.world.say_raw(&Said::birth(9, &last, "An"), b"no frame at all").await;
    held.said += 1;
    held.release().await;
    let text = halted(held.running.ended().await);
    let offset = held.vss.next_offset(LIVE, 4);
    assert!(text.contains(&format!("{LIVE}/4 offset {offset} ")), "{text}");
    assert_eq!(held.vss.rows().len(), 25, "everything before it and everybody else");
    assert_eq!(held.sinks.together.load(Ordering::SeqCst), PARTITIONS as usize - 1);
    assert_each_event_once(&held.vss, 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_partition_does_not_stop_the_others() {
    let mut held = Held::new().await;
    let births = held.births();
    held.say(&births).await;
    held.delivered(24).await;
    held.hold().await;
    let again: Vec<Said> = births.iter().map(|said| Said::birth(2, &said.pin, "Binh")).collect();
    held.say(&again).await;
    // As another router would that has partition 5 by now.
    let moved = format!(
        "update lienthong_offset set next_offset = next_offset + 1, sequence = sequence + 1 \
         where topic = '{LIVE}' and partition = 5"
    );
    held.vss.conn.execute_batch(&moved).expect("moved");
    held.release().await;
    // Of partition 5 the other router has delivered one of the three.
    held.delivered(24 + 1 + 23).await;
    assert_eq!(held.together(), PARTITIONS as usize);
    assert_eq!(held.sinks.fenced.load(Ordering::SeqCst), 2, "all together, then partition 5 alone");
    let missing = held.pins(5, 1).remove(0);
    let newer: BTreeSet<String> = held.vss.rows().into_iter().filter(|row| row.contains("|Binh|")).collect();
    assert_eq!(newer.len(), 23);
    assert!(!newer.iter().any(|row| row.starts_with(&format!("{missing}|"))));
    held.running.stop().await;
    assert_each_event_once(&held.vss, 48);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_common_transaction_whose_answer_is_lost_every_partition_is_looked_up_and_none_applied_again() {
    for committed in [true, false] {
        let mut held = Held::new().await;
        held.hold().await;
        let births = held.births();
        held.say(&births).await;
        eventually("all of it waits", || held.log.events.load(Ordering::SeqCst) >= held.said).await;
        // The first answer that is lost may be that of the transaction that is held: both are.
        let lost = if committed { &held.sinks.busy_after } else { &held.sinks.busy_before };
        lost.store(2, Ordering::SeqCst);
        held.release().await;
        eventually("the faults happened", || lost.load(Ordering::SeqCst) == 0).await;
        eventually("all of it", || held.vss.rows().len() == 25).await;
        let told = |status: &lienthong_router::Status| {
            let offsets = status.partitions.iter().filter(|(source, _)| &*source.topic == LIVE);
            offsets.map(|(_, partition)| partition.offset.next_offset).sum::<i64>()
        };
        let there = format!("select sum(next_offset) from lienthong_offset where topic = '{LIVE}'");
        let there = held.vss.number(&there);
        held.running.until("every partition knows its place", |status| told(status) == there).await;
        assert_eq!(held.sinks.fenced.load(Ordering::SeqCst), 0);
        held.running.stop().await;
        assert_each_event_once(&held.vss, 25);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_go_away_in_the_middle_of_a_common_transaction_are_delivered_once() {
    let mut held = Held::new().await;
    held.hold().await;
    let births = held.births();
    held.say(&births).await;
    eventually("all of it waits", || held.log.events.load(Ordering::SeqCst) >= held.said).await;
    // The one that was held goes, the common one is held.
    held.sinks.delay.store(1_500, Ordering::SeqCst);
    held.release().await;
    held.running.until("the first", |status| status.events == 1).await;
    let other = held.vss.start();
    let status = other.status.clone();
    eventually("the other one has its share", || status.borrow().partitions.len() >= PARTITIONS as usize)
        .await;
    held.sinks.delay.store(0, Ordering::SeqCst);
    assert_eq!(held.together(), PARTITIONS as usize, "it was under way with all of them");
    let more: Vec<Said> = births.iter().map(|said| Said::birth(2, &said.pin, "Binh")).collect();
    held.world.say(&more).await;
    eventually("all of it", || held.vss.receipted().0 == 49).await;
    assert_eq!(held.vss.rows().iter().filter(|row| row.contains("|Binh|")).count(), 24);
    other.stop().await;
    held.running.stop().await;
    assert_each_event_once(&held.vss, 49);
}
