//! What happens to delivered values when the record was void, or its source row is gone.

use lienthong_contract::event::Operation;
use lienthong_router::subscription::Policy;

use crate::subscriber::{Subscriber, marriages};
use crate::world::{LIVE, Said, World};

fn soft() -> Policy {
    Policy::Soft { column: "voided_at".into() }
}

const KEPT: &str = "1|An|00001|-|-";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_record_is_deleted_marked_or_left_as_agreed() {
    for (policy, expected) in
        [(Policy::Hard, vec![]), (soft(), vec!["1|An|00001|-|voided"]), (Policy::Ignore, vec![KEPT])]
    {
        let mut world = World::new(1).await;
        let mut vss = Subscriber::new(&world).await;
        vss.subscription.rules[0].on_revoked = policy.clone();
        // The other policy must not be taken for this one.
        vss.subscription.rules[0].on_deleted =
            if policy == Policy::Ignore { Policy::Hard } else { Policy::Ignore };
        world.say(&[Said::birth(1, "1", "An")]).await;
        vss.once().await.expect("delivered");
        world.say(&[Said::revoked(2, "1", "birth")]).await;
        vss.once().await.expect("delivered");
        assert_eq!(vss.rows(), expected, "{policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_source_row_is_deleted_marked_or_left_as_agreed() {
    for (policy, expected) in
        [(Policy::Hard, vec![]), (soft(), vec!["1|An|00001|-|voided"]), (Policy::Ignore, vec![KEPT])]
    {
        let mut world = World::new(1).await;
        let mut vss = Subscriber::new(&world).await;
        vss.subscription.rules[0].on_deleted = policy.clone();
        vss.subscription.rules[0].on_revoked =
            if policy == Policy::Ignore { Policy::Hard } else { Policy::Ignore };
        world.say(&[Said::birth(1, "1", "An"), Said::birth(2, "1", "An").of(Operation::Delete)]).await;
        vss.once().await.expect("delivered");
        assert_eq!(vss.rows(), expected, "{policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_update_gives_its_columns_back_and_the_row_stays() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An"), Said::death(2, "1", "2026-03-01")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|An|00001|2026-03-01|-"]);
    world.say(&[Said::revoked(3, "1", "death")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), [KEPT]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_undoes_only_the_record_that_it_names() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An")]).await;
    world.say(&[Said::revoked(2, "1", "birth").record("b-of-somebody-else")]).await;
    world.say(&[Said::revoked(3, "1", "death").record("b-1")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), [KEPT], "neither another number nor another type");
    world.say(&[Said::birth(5, "1", "An").record("b-new"), Said::revoked(6, "1", "birth")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), [KEPT], "the values are of a newer record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_event_does_not_resurrect_what_was_revoked() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    world.say(&[Said::birth(1, "1", "An"), Said::revoked(5, "1", "birth")]).await;
    vss.once().await.expect("delivered");
    world.say(&[Said::birth(4, "1", "late").of(Operation::Update)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_overtakes_its_event_leaves_a_mark() {
    for policy in [Policy::Hard, soft()] {
        // In one batch, and in two.
        for together in [true, false] {
            let mut world = World::new(1).await;
            let mut vss = Subscriber::new(&world).await;
            for rule in &mut vss.subscription.rules {
                rule.on_revoked = policy.clone();
            }
            world.say(&[Said::revoked(5, "1", "birth"), Said::revoked(6, "2", "death")]).await;
            if !together {
                vss.once().await.expect("delivered");
            }
            world.say(&[Said::birth(4, "1", "An"), Said::birth(1, "2", "Ba")]).await;
            world.say(&[Said::death(3, "2", "2026-03-01")]).await;
            vss.once().await.expect("delivered");
            assert_eq!(vss.rows(), ["2|Ba|00001|-|-"], "{policy:?}");
            world.say(&[Said::birth(7, "1", "An"), Said::death(8, "2", "2026-03-02")]).await;
            vss.once().await.expect("delivered");
            let again = ["1|An|00001|-|-", "2|Ba|00001|2026-03-02|-"];
            assert_eq!(vss.rows(), again, "registered again, {policy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_undoes_a_record_that_went_out_for_two_people_in_whatever_order() {
    // The revocation names nobody: its subject is the registration.
    let said = [
        Said::married(1, "1", "m-1"),
        Said::married(2, "2", "m-1"),
        Said::revoked(5, "m-1", "marriage").record("m-1"),
    ];
    for (policy, expected) in [(Policy::Hard, vec![]), (soft(), vec!["m-1|marriage|00001|-|voided"])] {
        for [first, second, third] in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut world = World::new(12).await;
            let mut vss = Subscriber::new(&world).await;
            marriages(&mut vss.subscription, &policy);
            let [one, two, void] = ["1", "2", "m-1"].map(|subject| world.place(LIVE, subject).partition);
            assert!(one != two && one != void && two != void, "{one} {two} {void}");
            for index in [first, second, third] {
                world.say(&[said[index].clone()]).await;
                vss.once().await.expect("delivered");
            }
            assert_eq!(vss.rows(), expected, "{policy:?}, {first} {second} {third}");
            world.say(&[Said::married(6, "1", "m-1"), Said::married(7, "2", "m-1")]).await;
            vss.once().await.expect("delivered");
            assert_eq!(vss.rows(), ["m-1|marriage|00001|-|-"], "registered again, {policy:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_revoked_before_it_came_does_not_swallow_the_value_of_another() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    let second = |sequence| Said::birth(sequence, "1", "void").of(Operation::Update).record("b-2");
    world.say(&[Said::revoked(5, "1", "birth").record("b-2"), Said::birth(3, "1", "An"), second(4)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), [KEPT]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_softly_revoked_update_leaves_the_row_to_the_event_that_made_it() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    vss.subscription.rules[1].on_revoked = soft();
    world.say(&[Said::birth(1, "1", "An"), Said::death(3, "1", "2026-03-01")]).await;
    world.say(&[Said::revoked(5, "1", "death")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|An|00001|2026-03-01|voided"]);
    world.say(&[Said::birth(4, "1", "Anh").of(Operation::Update)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(
        vss.rows(),
        ["1|Anh|00001|2026-03-01|voided"],
        "older than the revocation, but not its business"
    );
    world.say(&[Said::death(2, "1", "2026-02-01")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|Anh|00001|2026-03-01|voided"], "a late death does not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_whose_number_becomes_known_halts_nobody() {
    let mut world = World::new(1).await;
    let mut vss = Subscriber::new(&world).await;
    let former = Said { subject: Some("registration_no:b-1".into()), ..Said::birth(1, "1", "An") };
    world.say(&[former.of(Operation::Rekey), Said::birth(2, "1", "An").of(Operation::Update)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), [KEPT]);
}
