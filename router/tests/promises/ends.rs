//! What ends a router, what it says then, and what keeps it going.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lienthong_log::LogBatch;
use lienthong_router::subscription::Validity;
use lienthong_router::{RouterError, State};

use crate::faults::{FaultyLog, LogFaults, SinkFaults, locked};
use crate::subscriber::Subscriber;
use crate::world::{LIVE, NEW_YEAR, Said, World};

fn halted(error: &RouterError) -> String {
    assert!(matches!(error, RouterError::Halted { .. }), "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_its_days_an_agreement_halts_and_keeps_the_offset() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    let valid = vss.subscription.valid;
    for (outside, says) in [
        (Validity { from: 20_455, until: None }, "is not valid yet (valid from 2026-01-02 on)"),
        (Validity { from: 20_089, until: Some(20_453) }, "has ended (valid 2025-01-01 to 2025-12-31)"),
    ] {
        vss.subscription.valid = outside;
        let text = halted(&vss.once().await.expect_err("outside"));
        assert!(text.contains("vss.insurance/2026-01") && text.contains(says), "{text}");
        assert_eq!((vss.rows().len(), vss.next_offset(LIVE, 0)), (0, 0));
    }
    vss.subscription.valid = valid;
    vss.once().await.expect("goes on when it is valid");
    assert_eq!(vss.rows().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_that_ends_while_the_router_runs_halts_it() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.subscription.valid = Validity { from: 20_454, until: Some(20_454) };
    world.say(&[Said::birth(1, "1", "An")]).await;
    vss.once().await.expect("the last day counts");
    vss.options.clock = || NEW_YEAR + 24 * 3_600 * 1_000_000;
    world.say(&[Said::birth(2, "2", "Binh")]).await;
    let before = vss.next_offset(LIVE, 0);
    let mut running = vss.start();
    running
        .until("halted", |status| matches!(&status.state, State::Halted(text) if text.contains("ended")))
        .await;
    halted(&running.ended().await.expect_err("ended"));
    assert_eq!((vss.rows().len(), vss.next_offset(LIVE, 0)), (1, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_read_halts_naming_its_offset_after_all_before_it() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    let fine: Vec<Said> = (0..6).map(|n| Said::birth(n + 1, &n.to_string(), "An")).collect();
    world.say(&fine).await;
    world.say_raw(&Said::birth(9, "poison", "An"), b"no frame at all").await;
    world.say(&[Said::birth(10, "after", "An")]).await;
    for _ in 0..2 {
        let text = halted(&vss.once().await.expect_err("poison"));
        let offset = vss.next_offset(LIVE, 0);
        assert!(text.contains(&format!("{LIVE}/0 offset {offset} ")), "{text}");
        assert_eq!(
            (vss.rows().len(), vss.receipted()),
            (6, (6, 6)),
            "nothing is skipped, nothing comes twice"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_schema_that_nobody_registered_halts() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say_raw(&Said::birth(1, "1", "An"), &[0, 0, 9, 9, 9, 1, 2]).await;
    halted(&vss.once().await.expect_err("unknown schema"));
    assert_eq!(vss.next_offset(LIVE, 0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_subscription_begins_where_the_log_still_holds_everything_and_says_so() {
    let mut world = World::new(1).await;
    for number in 0..6 {
        world.say(&[Said::birth(number + 1, &number.to_string(), "An")]).await;
    }
    world.checkpoint().await;
    world.trim(0, 4);
    let mut vss = Subscriber::new(&world).await;
    let status = vss.once().await.expect("delivers the rest");
    assert_eq!((vss.rows().len(), vss.next_offset(LIVE, 0)), (2, 6));
    let notice = status.notice().expect("said");
    assert!(notice.contains(&format!("offset 4 of {LIVE}/0")), "{notice}");
    // From now on it has a place of its own: nothing is said again, and a loss is a loss.
    world.say(&[Said::birth(7, "7", "Binh"), Said::birth(8, "8", "Chi")]).await;
    assert_eq!(vss.once().await.expect("goes on").notice(), None);
    assert_eq!(vss.rows().len(), 4);
    for number in 9..12 {
        world.say(&[Said::birth(number, &number.to_string(), "Dung")]).await;
    }
    world.trim(0, 9);
    let text = halted(&vss.once().await.expect_err("a loss"));
    assert!(text.contains("offsets 8 to 8 are gone") && text.contains("offset table"), "{text}");
    // What the halt says is the cure: it begins anew and takes nothing back.
    vss.conn
        .execute("delete from lienthong_offset where topic = ?1 and partition = 0", [LIVE])
        .expect("deleted");
    vss.once().await.expect("begins anew");
    assert_eq!((vss.rows().len(), vss.next_offset(LIVE, 0)), (6, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_subscription_of_a_topic_whose_records_are_all_gone_ends_once_and_keeps_its_place() {
    let mut world = World::new(1).await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    world.checkpoint().await;
    world.trim(0, 1);
    let mut vss = Subscriber::new(&world).await;
    vss.once().await.expect("there is nothing");
    assert_eq!((vss.rows().len(), vss.next_offset(LIVE, 0)), (0, 1));
    world.say(&[Said::birth(2, "2", "Binh")]).await;
    vss.once().await.expect("delivers");
    assert_eq!(vss.rows().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_or_an_agreement_that_does_not_fit_halts_before_the_first_record() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    vss.conn.execute_batch("alter table insured drop column office").expect("altered");
    let text = halted(&vss.once().await.expect_err("unfit"));
    assert!(text.contains("office") && text.contains("fix:"), "{text}");
    vss.subscription.rules[0].table = 9;
    assert!(halted(&vss.once().await.expect_err("invalid")).contains("no such table"));
    assert_eq!(vss.next_offset(LIVE, 0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_took_halts_with_the_gap_and_the_repair() {
    let mut world = World::new(1).await;
    let vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    let faults = Arc::new(LogFaults::default());
    faults.expire.store(true, Ordering::SeqCst);
    let log = Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults });
    let text = halted(&vss.start_on(log, vss.sinks()).ended().await.expect_err("expired"));
    assert!(text.contains("offsets 0 to 4 are gone") && text.contains("from the publisher"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_come_twice_count_once() {
    fn twice(batch: &mut LogBatch) {
        let again = batch.entries.clone();
        batch.entries.extend(again);
    }
    let mut world = World::new(1).await;
    let vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An"), Said::birth(2, "2", "Binh")]).await;
    let faults = Arc::new(LogFaults::default());
    *locked(&faults.spoil) = Some(twice);
    let log = Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults });
    let mut running = vss.start_on(log, vss.sinks());
    running.until("delivered", |status| status.events >= 2 && status.state == State::Live).await;
    assert_eq!((running.stop().await.events, vss.receipted()), (2, (2, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_missing_halt_and_nothing_behind_them_is_delivered() {
    fn without_the_second(batch: &mut LogBatch) {
        if batch.entries.len() > 2 {
            batch.entries.remove(1);
            // As a client would look that lost it: the offsets close up.
            for entry in &mut batch.entries[1..] {
                entry.offset -= 1;
            }
        }
    }
    let mut world = World::new(1).await;
    let vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An"), Said::birth(2, "2", "Binh"), Said::birth(3, "3", "Chi")]).await;
    let faults = Arc::new(LogFaults::default());
    *locked(&faults.spoil) = Some(without_the_second);
    let log = Arc::new(FaultyLog { inner: Arc::clone(&world.log), faults });
    let text = halted(&vss.start_on(log, vss.sinks()).ended().await.expect_err("hole"));
    assert!(text.contains(&format!("records of {LIVE}/0 are missing")), "{text}");
    assert_eq!(vss.rows(), ["1|An|00001|-|-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_delivers_what_was_there_at_the_start_and_ends_although_more_comes() {
    let mut world = World::new(3).await;
    let mut vss = Subscriber::new(&world).await;
    let first: Vec<Said> = (0..30).map(|n| Said::birth(1, &format!("first {n}"), "An")).collect();
    world.say(&first).await;
    world.next_writer().await;
    world.heartbeat(NEW_YEAR).await;
    vss.options.once = true;
    let running = vss.start();
    let stop = running.shutdown.clone();
    let said = tokio::spawn(async move {
        let mut number = 0;
        while !stop.is_cancelled() {
            world.say(&[Said::birth(1, &format!("more {number}"), "An")]).await;
            number += 1;
        }
        world
    });
    let stop = running.shutdown.clone();
    let status = running.ended().await.expect("it ends");
    stop.cancel();
    let _world = said.await.expect("said");
    assert_eq!(status.state, State::Stopped);
    assert_eq!(vss.number("select count(*) from insured where pin like 'first%'"), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_on_an_empty_log_ends_and_without_its_topics_halts() {
    let world = World::new(2).await;
    let mut vss = Subscriber::new(&world).await;
    assert_eq!(vss.once().await.expect("nothing to do").events, 0);
    vss.subscription.topics.push("lt.other.live".into());
    let text = halted(&vss.once().await.expect_err("no topic"));
    assert!(text.contains("lt.other.live") && text.contains("topics create"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_make_a_quiet_partition_fresh_seldom_and_without_receipts() {
    let mut world = World::new(2).await;
    let vss = Subscriber::new(&world).await;
    let faults = Arc::new(SinkFaults::default());
    let mut running = vss.start_with(faults.around(vss.sinks()));
    let began = Instant::now();
    let mut last = 0;
    while began.elapsed() < Duration::from_millis(2500) {
        last = NEW_YEAR + began.elapsed().as_micros() as i64;
        world.heartbeat(last).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.until("fresh", |status| status.fresh_through == Some(last)).await;
    let seconds = began.elapsed().as_secs() as usize + 2;
    let writes = faults.committed.load(Ordering::SeqCst);
    assert!(writes <= 2 * seconds, "{writes} writes of two partitions in {seconds} seconds");
    assert_eq!(vss.number("select count(*) from lienthong_receipt"), 0);
    assert_eq!(vss.number("select min(fresh_through) from lienthong_offset"), last);
    let status = running.stop().await;
    assert_eq!((status.events, status.delivered), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_told_how_far_it_is_for_lag_tools() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    vss.once().await.expect("delivered");
    let group = vss.subscription.group();
    let told = world.log.group_offsets(&group, &[LIVE.to_owned()]).await.expect("offsets");
    assert_eq!(told.get(&world.place(LIVE, "1")).copied(), Some(vss.next_offset(LIVE, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_reads_the_topics_of_every_publisher_and_each_has_an_order_of_its_own() {
    const HANOI: &str = "lt.civil_status.hanoi.births.live";
    const DANANG: &str = "lt.civil_status.danang.births.live";
    let mut world = World::new(2).await;
    let mut psp = Subscriber::new(&world).await;
    world.publisher("hanoi.births", HANOI).await;
    world.publisher("danang.births", DANANG).await;
    psp.subscription.topics = vec![HANOI.to_owned(), DANANG.to_owned()];
    world.say_in(HANOI, &[Said::birth(7, "hanoi 1", "An"), Said::birth(8, "hanoi 2", "Binh")]).await;
    world.say_in(DANANG, &[Said::birth(1, "danang 1", "Chi")]).await;
    // What the family's own topic held would belong to nobody.
    world.say(&[Said::birth(9, "nobody", "Dung")]).await;
    assert_eq!(psp.once().await.expect("both are read").events, 3);

    // A new writer of one publisher begins a new epoch in its own topic only: the other goes on under its old one.
    world.publisher("hanoi.births", HANOI).await;
    world.say_in(DANANG, &[Said::birth(2, "danang 2", "Em")]).await;
    world.say_in(HANOI, &[Said::birth(9, "hanoi 1", "Anh")]).await;
    psp.once().await.expect("both go on");
    let people = |sql: &str| psp.number(&format!("select count(*) from insured where {sql}"));
    assert_eq!((psp.rows().len(), people("pin like 'hanoi%'"), people("pin like 'danang%'")), (4, 2, 2));
    assert_eq!(people("pin = 'nobody'"), 0);
}
