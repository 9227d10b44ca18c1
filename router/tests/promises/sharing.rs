//! Several routers of one subscription: who has a partition, who takes over, and that only one of them writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lienthong_contract::event::Operation;
use lienthong_router::State;
use lienthong_testkit::seed;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::faults::SinkFaults;
use crate::subscriber::{Running, Subscriber, eventually};
use crate::world::{BULK, LIVE, Said, World};

/// Receipts of a partition follow each other without overlap, and together hold every event once.
pub fn assert_each_event_once(vss: &Subscriber, sent: i64) {
    assert_eq!(vss.receipted().0, sent, "every event is on record once");
    let overlaps = vss.number(
        "select count(*) from lienthong_receipt a join lienthong_receipt b using (subscription, topic, partition) \
         where b.number > a.number and b.first_offset <= a.last_offset",
    );
    assert_eq!(overlaps, 0, "no offset is in two receipts");
}

async fn share(routers: &[Running], lanes: usize) {
    let held = |routers: &[Running]| {
        let counts: Vec<usize> = routers.iter().map(|one| one.status.borrow().partitions.len()).collect();
        counts.iter().sum::<usize>() == lanes && counts.iter().all(|count| *count > 0)
    };
    eventually("shared", || held(routers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_routers_share_the_partitions_and_who_is_killed_is_replaced() {
    let mut world = World::new(8).await;
    let mut vss = Subscriber::new(&world).await;
    vss.options.session = Duration::from_secs(2);
    let mut routers = vec![vss.start(), vss.start()];
    share(&routers, 16).await;
    // Both lanes have work, whichever of them a router holds.
    let births =
        |from: u64| (from..from + 50).map(|n| Said::birth(1, &n.to_string(), "An")).collect::<Vec<_>>();
    world.say_in(LIVE, &births(0)).await;
    world.say_in(BULK, &births(50)).await;
    eventually("both deliver", || vss.rows().len() == 100).await;
    let all = |routers: &[Running]| routers.iter().map(|one| one.status.borrow().events).sum::<u64>() == 100;
    eventually("both have told it", || all(&routers)).await;
    let shares: Vec<u64> = routers.iter().map(|one| one.status.borrow().events).collect();
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    routers.pop().expect("the second").kill().await;
    let began = Instant::now();
    world.say_in(LIVE, &births(100)).await;
    world.say_in(BULK, &births(150)).await;
    eventually("the other one delivers all", || vss.rows().len() == 200).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_each_event_once(&vss, 200);
    routers.pop().expect("the first").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_in_order_is_replaced_at_once() {
    let mut world = World::new(4).await;
    let mut vss = Subscriber::new(&world).await;
    vss.options.session = Duration::from_secs(60);
    let mut routers = vec![vss.start(), vss.start()];
    share(&routers, 8).await;
    let began = Instant::now();
    routers.pop().expect("the second").stop().await;
    let births: Vec<Said> = (0..40).map(|n| Said::birth(1, &n.to_string(), "An")).collect();
    world.say(&births).await;
    eventually("the first delivers all", || vss.rows().len() == 40).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    routers.pop().expect("the first").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_counts_what_another_router_delivers() {
    let mut world = World::new(8).await;
    let mut vss = Subscriber::new(&world).await;
    vss.options.session = Duration::from_secs(60);
    let slow = Arc::new(SinkFaults::default());
    let mut other = vss.start_with(slow.around(vss.sinks()));
    other.live().await;
    slow.delay.store(300, Ordering::SeqCst);
    let births: Vec<Said> = (0..200).map(|n| Said::birth(1, &n.to_string(), "An")).collect();
    world.say(&births).await;
    let status = vss.once().await.expect("ends although partitions are another one's");
    assert_eq!(vss.rows().len(), 200, "once means that all of it is there");
    assert!(status.events < 200, "the other one has done its part: {}", status.events);
    other.stop().await;
    assert_each_event_once(&vss, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_was_frozen_while_another_took_over_writes_nothing() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.options.session = Duration::from_secs(1);
    let frozen = Arc::new(SinkFaults::default());
    // A thread and a runtime of its own, so that all of it stands still.
    let (runtime, sinks) = (
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime"),
        frozen.around(vss.sinks()),
    );
    let guard = runtime.enter();
    let first = vss.start_with(sinks);
    drop(guard);
    let (stop, mut seen) = (first.shutdown.clone(), first.status.clone());
    let thread = std::thread::spawn(move || runtime.block_on(first.ended()));
    seen.wait_for(|status| status.state == State::Live).await.expect("live");
    frozen.freeze.store(4_000, Ordering::SeqCst);
    world.say(&[Said::birth(1, "1", "first")]).await;
    eventually("it stands still", || frozen.freeze.load(Ordering::SeqCst) == 0).await;
    let second = vss.start();
    eventually("the second has delivered", || vss.rows().len() == 1).await;
    world.say(&[Said::birth(2, "1", "second")]).await;
    eventually("and goes on", || vss.rows() == ["1|second|00001|-|-"]).await;
    let before = vss.receipted();
    eventually("the first wakes up and is fenced", || frozen.fenced.load(Ordering::SeqCst) > 0).await;
    assert_eq!((frozen.committed.load(Ordering::SeqCst), vss.receipted()), (0, before));
    second.stop().await;
    world.say(&[Said::birth(3, "1", "third")]).await;
    eventually("the first takes its part again", || vss.rows() == ["1|third|00001|-|-"]).await;
    stop.cancel();
    tokio::task::spawn_blocking(move || thread.join())
        .await
        .expect("joined")
        .expect("no panic")
        .expect("clean end");
    assert_each_event_once(&vss, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_worker_goes_on_from_the_offset_row_as_it_finds_it() {
    let mut world = World::new(1).await;
    let vss = Subscriber::new(&world).await;
    let faults = Arc::new(SinkFaults::default());
    let mut running = vss.start_with(faults.around(vss.sinks()));
    world.say(&[Said::birth(1, "1", "An"), Said::birth(2, "2", "Binh")]).await;
    running.until("delivered", |status| status.events == 2 && status.state == State::Live).await;
    // An operator lets everything come again.
    vss.conn
        .execute_batch("delete from lienthong_offset; delete from insured where pin = '1'")
        .expect("reset");
    world.say(&[Said::birth(3, "3", "Chi")]).await;
    running.until("delivered again", |status| status.events == 5 && status.state == State::Live).await;
    assert_eq!(faults.fenced.load(Ordering::SeqCst), 1);
    assert_eq!(vss.rows(), ["1|An|00001|-|-", "2|Binh|00001|-|-", "3|Chi|00001|-|-"]);
    assert_eq!(
        vss.next_offset(LIVE, 0),
        world.log.watermarks(&world.place(LIVE, "1")).await.expect("marks").high
    );
    running.stop().await;
}

/// What the last event of each person leaves, told in order.
#[derive(Default)]
struct Oracle(BTreeMap<String, String>);

impl Oracle {
    fn take(&mut self, said: &Said) {
        match said.operation {
            Operation::Delete => drop(self.0.remove(&said.pin)),
            _ => drop(self.0.insert(said.pin.clone(), said.value.clone())),
        }
    }

    fn rows(&self) -> Vec<String> {
        self.0.iter().map(|(pin, name)| format!("{pin}|{name}|00001|-|-")).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_each_key_holds_while_routers_come_go_and_fail() {
    let seed = seed();
    println!("LIENTHONG_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(8).await;
    let mut vss = Subscriber::new(&world).await;
    vss.options.session = Duration::from_millis(800);
    vss.options.max_rows = 5;
    let faults = Arc::new(SinkFaults::default());
    let mut routers =
        vec![vss.start_with(faults.around(vss.sinks())), vss.start_with(faults.around(vss.sinks()))];
    let (mut oracle, mut version, mut touched) = (Oracle::default(), 0, BTreeSet::new());
    for _ in 0..40 {
        let mut said = Vec::new();
        for _ in 0..random.random_range(1..40) {
            version += 1;
            let pin = random.random_range(0..60).to_string();
            let operation = match random.random_range(0..5) {
                0 => Operation::Delete,
                1 => Operation::Insert,
                _ => Operation::Update,
            };
            said.push(Said::birth(version, &pin, &format!("v{version}")).of(operation));
        }
        said.iter().for_each(|said| oracle.take(said));
        touched.extend(said.iter().map(|said| said.pin.clone()));
        world.say(&said).await;
        match random.random_range(0..8) {
            0 => faults.busy_after.store(random.random_range(1..3), Ordering::SeqCst),
            1 => faults.busy_before.store(random.random_range(1..3), Ordering::SeqCst),
            2 => {
                let one = routers.swap_remove(random.random_range(0..routers.len()));
                one.kill().await;
                routers.push(vss.start_with(faults.around(vss.sinks())));
            }
            3 => {
                let one = routers.swap_remove(random.random_range(0..routers.len()));
                one.stop().await;
                routers.push(vss.start_with(faults.around(vss.sinks())));
            }
            4 => world.next_writer().await,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
    for one in routers {
        one.stop().await;
    }
    vss.once().await.expect("the rest");
    assert_eq!(vss.rows(), oracle.rows(), "seed {seed}, {} persons", touched.len());
    assert_each_event_once(&vss, i64::try_from(version).expect("small"));
}
