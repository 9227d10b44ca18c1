//! What is waited for, and that nothing is lost or doubled meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lienthong_router::{RouterError, State};

use crate::faults::{FaultyLog, LogFaults, SinkFaults};
use crate::subscriber::{Subscriber, eventually};
use crate::world::{LIVE, Said, World};

fn births(range: std::ops::Range<u64>) -> Vec<Said> {
    range.map(|number| Said::birth(number + 1, &number.to_string(), "An")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_is_down_is_waited_for_and_nothing_is_skipped() {
    let mut world = World::new(2).await;
    let vss = Subscriber::new(&world).await;
    let faults = Arc::new(SinkFaults::default());
    let mut running = vss.start_with(faults.around(vss.sinks()));
    running.live().await;
    faults.down.store(true, Ordering::SeqCst);
    world.say(&births(0..20)).await;
    let waits = running.until("waiting", |status| matches!(status.state, State::Waiting(_))).await;
    let State::Waiting(cause) = &waits.state else { panic!("{waits:?}") };
    assert!(cause.contains("vss.insurance") && cause.contains("connection refused"), "{cause}");
    assert!(waits.partitions.values().any(|partition| partition.waiting.is_some()));
    world.say(&births(20..40)).await;
    assert_eq!(vss.rows().len(), 0);
    faults.down.store(false, Ordering::SeqCst);
    running.until("delivered", |status| status.events == 40 && status.state == State::Live).await;
    assert_eq!((vss.rows().len(), vss.receipted()), (40, (40, 40)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_not_applied_again() {
    let mut world = World::new(2).await;
    let mut vss = Subscriber::new(&world).await;
    vss.options.max_rows = 7;
    world.say(&births(0..60)).await;
    let faults = Arc::new(SinkFaults::default());
    faults.busy_after.store(4, Ordering::SeqCst);
    faults.busy_before.store(3, Ordering::SeqCst);
    vss.once_with(faults.around(vss.sinks())).await.expect("delivered");
    assert_eq!(faults.busy_after.load(Ordering::SeqCst), 0, "the faults happened");
    assert_eq!(vss.rows().len(), 60);
    assert_eq!(vss.receipted(), (60, 60), "every event is on record once");
    assert_eq!(faults.fenced.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_that_is_away_is_waited_for() {
    let mut world = World::new(2).await;
    let vss = Subscriber::new(&world).await;
    let faults = Arc::new(LogFaults::default());
    let log = Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults: Arc::clone(&faults) });
    let mut running = vss.start_on(log, vss.sinks());
    running.live().await;
    faults.unreachable.store(2, Ordering::SeqCst);
    running
        .until("waiting", |status| matches!(&status.state, State::Waiting(cause) if cause.contains("broker")))
        .await;
    world.say(&births(0..10)).await;
    running.until("delivered", |status| status.events == 10 && status.state == State::Live).await;
    assert_eq!(vss.receipted(), (10, 10));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_out_ends_waiting_and_keeps_the_offset() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&births(0..3)).await;
    vss.options.timeout = Some(Duration::from_millis(400));
    let faults = Arc::new(SinkFaults::default());
    faults.down.store(true, Ordering::SeqCst);
    let error = vss.once_with(faults.around(vss.sinks())).await.expect_err("away");
    assert!(matches!(&error, RouterError::Away(text) if text.contains("vss.insurance")), "{error}");
    assert!(error.is_transient());
    vss.once().await.expect("the next start delivers");
    assert_eq!(vss.rows().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_waits_ends_at_once_when_it_is_told_to() {
    let mut world = World::new(1).await;
    let vss = Subscriber::new(&world).await;
    let faults = Arc::new(SinkFaults::default());
    let mut running = vss.start_with(faults.around(vss.sinks()));
    running.live().await;
    faults.down.store(true, Ordering::SeqCst);
    world.say(&births(0..3)).await;
    running.until("waiting", |status| matches!(status.state, State::Waiting(_))).await;
    let began = Instant::now();
    assert_eq!(running.stop().await.state, State::Stopped);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_finishes_the_transaction_in_hand() {
    let mut world = World::new(1).await;
    let vss = Subscriber::new(&world).await;
    let faults = Arc::new(SinkFaults::default());
    faults.delay.store(700, Ordering::SeqCst);
    let mut running = vss.start_with(faults.around(vss.sinks()));
    running.live().await;
    world.say(&births(0..3)).await;
    running.until("taken", |status| status.state == State::CatchingUp || status.events > 0).await;
    let status = running.stop().await;
    assert_eq!((status.events, vss.rows().len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_bounded_and_all_of_it_arrives_in_the_end() {
    let mut world = World::new(4).await;
    let mut vss = Subscriber::new(&world).await;
    // Four partitions of a kilobyte and more each: the bound is a small part of what the log holds.
    vss.options.fetch_bytes = 32 << 10;
    for chunk in 0..40 {
        world.say(&births(chunk * 50..(chunk + 1) * 50)).await;
    }
    let faults = Arc::new(LogFaults::default());
    let log = Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults: Arc::clone(&faults) });
    let sinks = Arc::new(SinkFaults::default());
    let mut running = vss.start_on(log, sinks.around(vss.sinks()));
    // The offset rows must be read before the subscriber goes away, else nothing is fetched at all.
    sinks.delay.store(600_000, Ordering::SeqCst);
    eventually("held back", || faults.pauses.load(Ordering::SeqCst) >= 4).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = faults.handed.load(Ordering::SeqCst);
    let bound = (vss.options.fetch_bytes + 8 * vss.options.fetch_bytes / 16) as i64;
    assert!(held > 0 && held <= bound, "{held} bytes wait, {bound} are allowed");
    running.task.abort();
    assert!((&mut running.task).await.expect_err("aborted").is_cancelled());
    vss.options.session = Duration::from_millis(300);
    vss.once().await.expect("delivered");
    assert_eq!((vss.rows().len(), vss.receipted()), (2000, (2000, 2000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_moves_between_rows_in_one_batch_is_applied_as_it_happened() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.conn.execute_batch("create unique index one_name on insured(name)").expect("index");
    let gone = Said::birth(2, "1", "An").of(lienthong_contract::event::Operation::Delete);
    world.say(&[Said::birth(1, "1", "An"), gone, Said::birth(3, "2", "An")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["2|An|00001|-|-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_target_refuses_halts_with_table_constraint_and_offset() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.conn.execute_batch("create unique index one_name on insured(name)").expect("index");
    let mut said: Vec<Said> =
        (0..9).map(|n| Said::birth(n + 1, &n.to_string(), &format!("name {n}"))).collect();
    said.insert(5, Said::birth(20, "double", "name 2"));
    world.say(&said).await;
    let error = vss.once().await.expect_err("refused");
    assert!(matches!(error, RouterError::Halted { .. }), "{error}");
    let text = error.to_string();
    let offset = vss.next_offset(LIVE, 0);
    assert!(text.contains(&format!("{LIVE}/0 offset {offset} ")) && text.contains("insured"), "{text}");
    assert!(!text.contains("name 2"), "{text}");
    assert_eq!(vss.rows().len(), 5, "everything before it is delivered");
    vss.conn.execute_batch("drop index one_name").expect("mended");
    vss.once().await.expect("goes on");
    assert_eq!((vss.rows().len(), vss.receipted()), (10, (10, 10)));
}
