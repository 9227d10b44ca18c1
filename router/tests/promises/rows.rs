//! Which rows an event makes, in every order of arrival.

use lienthong_contract::event::Operation;
use lienthong_router::subscription::{Effect, IfMissing};

use crate::subscriber::{Subscriber, office_filter};
use crate::world::{BULK, LIVE, SECRET, Said, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_event_never_overwrites_a_newer_row_whichever_lane_is_first() {
    for (first, second) in [(LIVE, BULK), (BULK, LIVE)] {
        let mut world = World::new(1).await;
        let mut vss = Subscriber::new(&world).await;
        world.say_in(first, &[Said::birth(5, "1", "new")]).await;
        vss.once().await.expect("delivered");
        world.say_in(second, &[Said::birth(4, "1", "late").of(Operation::Snapshot)]).await;
        let status = vss.once().await.expect("delivered");
        assert_eq!((status.events, status.changed), (1, 0));
        assert_eq!(vss.rows(), ["1|new|00001|-|-"], "{first} first");
        world.say_in(second, &[Said::birth(6, "1", "newest")]).await;
        vss.once().await.expect("delivered");
        assert_eq!(vss.rows(), ["1|newest|00001|-|-"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_column_group_takes_its_newest_value_in_either_order() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.subscription.rules[1].effect = Effect::Update { if_missing: IfMissing::Insert };
    // The death first, the birth with an older version after it, and the other way round: nobody's columns hide the other's.
    world.say(&[Said::death(9, "1", "2026-03-01"), Said::birth(3, "2", "Binh")]).await;
    vss.once().await.expect("delivered");
    world.say(&[Said::birth(4, "1", "An"), Said::death(8, "2", "2026-03-02")]).await;
    world.say(&[Said::death(7, "1", "2020-01-01"), Said::birth(2, "2", "late")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|An|00001|2026-03-01|-", "2|Binh|00001|2026-03-02|-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_reaches_a_row_that_has_left_the_filter() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.subscription.rules[0].filter = Some(office_filter("event.office_code == '00001'"));
    world.say(&[Said::birth(1, "1", "An"), Said::birth(2, "2", "Binh")]).await;
    let moved = |version, pin| Said { office: "00002".into(), ..Said::birth(version, pin, "moved") };
    world.say(&[moved(3, "1").of(Operation::Update), moved(4, "3")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|An|00001|-|-", "2|Binh|00001|-|-"]);
    world.say(&[moved(5, "1").of(Operation::Delete), moved(6, "3").of(Operation::Delete)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["2|Binh|00001|-|-"]);
    assert_eq!(vss.receipted(), (6, 2), "what is outside is not told to the subscriber");
    // Another record of the same person, which was never inside, takes nothing with it.
    let other = |version| moved(version, "2").record("b-other");
    world.say(&[other(7), other(8).of(Operation::Delete)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["2|Binh|00001|-|-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_transaction_and_many_transactions_leave_the_same_rows() {
    let story = [
        Said::birth(1, "1", "a"),
        Said::death(2, "1", "2026-01-05"),
        Said::birth(3, "1", "b").of(Operation::Update),
        Said::birth(4, "1", "b").of(Operation::Delete),
        Said::death(5, "1", "2026-01-06"),
        Said::birth(6, "1", "c"),
        Said::birth(5, "1", "late").of(Operation::Update),
        Said::birth(2, "2", "x"),
        Said::revoked(7, "2", "birth"),
        Said::birth(8, "3", "y"),
    ];
    let mut seen = Vec::new();
    for rows in [1, 3, 100] {
        let mut world = World::new(1).await;
        let mut vss = Subscriber::new(&world).await;
        vss.options.max_rows = rows;
        world.say(&story).await;
        vss.once().await.expect("delivered");
        seen.push(vss.rows());
    }
    assert_eq!(seen[0], ["1|c|00001|-|-", "3|y|00001|-|-"]);
    assert!(seen.iter().all(|rows| *rows == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_without_a_row_is_skipped_or_makes_one_as_agreed() {
    for (if_missing, expected) in
        [(IfMissing::Skip, vec![]), (IfMissing::Insert, vec!["1|-|-|2026-03-01|-".to_owned()])]
    {
        let mut world = World::new(1).await;
        let mut vss = Subscriber::new(&world).await;
        vss.subscription.rules[1].effect = Effect::Update { if_missing };
        world.say(&[Said::death(1, "1", "2026-03-01")]).await;
        vss.once().await.expect("delivered");
        assert_eq!(vss.rows(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleting_event_deletes_and_a_late_update_does_not_resurrect() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.subscription.rules[1].effect = Effect::Delete;
    vss.subscription.revocations.clear();
    world.say(&[Said::birth(1, "1", "a"), Said::death(5, "1", "2026-03-01")]).await;
    world.say(&[Said::birth(4, "1", "late").of(Operation::Update)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), Vec::<String>::new());
    world.say(&[Said::death(6, "1", "2026-03-01").of(Operation::Delete)]).await;
    vss.once().await.expect("the deletion of a deleting event changes nothing");
    world.say(&[Said::birth(7, "1", "again")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|again|00001|-|-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_are_not_agreed_never_arrive() {
    let mut world = World::new(2).await;
    let mut vss = Subscriber::new(&world).await;
    for number in 0..50 {
        let pin = format!("PIN-{number:03}");
        world.say(&[Said::birth(1, &pin, "An"), Said::death(2, &pin, "2026-03-01")]).await;
        world.say(&[Said::revoked(3, &pin, "death")]).await;
    }
    let status = vss.once().await.expect("delivered");
    assert_eq!((status.events, status.delivered), (150, 150));
    assert!(!format!("{status:?}").contains("PIN-"), "no subject in a status");
    drop(vss.conn);
    let (mut looked, mut agreed) = (0, false);
    for file in std::fs::read_dir(world.folder.path()).expect("folder") {
        let path = file.expect("file").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.starts_with("vss.db") {
            let bytes = std::fs::read(&path).expect("read");
            let holds = |marker: &str| bytes.windows(marker.len()).any(|part| part == marker.as_bytes());
            assert!(!holds(SECRET), "{name} holds a field that nobody agreed to");
            assert!(!holds("b-PIN-"), "{name} holds a registration number in clear");
            agreed |= holds("PIN-007");
            looked += 1;
        }
    }
    assert!(looked >= 1 && agreed, "the agreed fields were looked for in the right place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_lets_pass_what_it_says_and_receipts_tell_read_from_delivered() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.subscription.rules[0].filter = Some(office_filter("event.office_code == '00004'"));
    world.say(&[Said::birth(1, "1", "in").office("00004"), Said::birth(2, "2", "out")]).await;
    world.say(&[Said::birth(3, "3", "out")]).await;
    let status = vss.once().await.expect("delivered");
    assert_eq!((status.events, status.delivered), (3, 1));
    assert_eq!(vss.rows(), ["1|in|00004|-|-"]);
    assert_eq!(vss.receipted(), (3, 1), "what was looked at is on record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_no_agreement_names_are_skipped() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say_unknown("1").await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    world.say_unknown("1").await;
    let status = vss.once().await.expect("delivered");
    assert_eq!((status.events, status.delivered), (3, 1));
    assert_eq!(vss.rows(), ["1|An|00001|-|-"]);
    assert_eq!(
        vss.next_offset(LIVE, 0),
        world.log.watermarks(&world.place(LIVE, "1")).await.expect("marks").high
    );
}
