//! Events that change only some fields: what they list is written, null clears, and what they do not list stays.

use std::sync::Arc;

use lienthong_contract::event::Operation;
use lienthong_contract::target::{CellKind, ColumnGroup};
use lienthong_router::subscription::{DeliveryRule, Effect, GroupSource, IfMissing, Policy, Undo};
use lienthong_schemas::FieldPath;

use crate::subscriber::{Subscriber, column, paths, plain};
use crate::world::{BULK, CORRECTED, LIVE, Said, World, contract};

const NAME: &[&str] = &["given_name"];
const PLACE: &[&str] = &["birth_place"];
const BOTH: &[&str] = &["given_name", "birth_place"];

fn group(name: &str) -> ColumnGroup {
    ColumnGroup { name: name.into(), columns: vec![column(name, CellKind::Text)], decides_row: true }
}

fn listed(group: usize, path: usize, field: &str) -> GroupSource {
    GroupSource { group, columns: vec![plain(path)], listed: Some(FieldPath::new(field)) }
}

/// Births write name and office, corrections one or both of them, each column its own group.
async fn subscriber(world: &World) -> Subscriber {
    let mut vss = Subscriber::new(world).await;
    let table = &mut vss.subscription.tables[0];
    let died_on = table.groups.remove(1);
    table.groups = vec![group("name"), died_on, group("office")];
    let always = |group, path| GroupSource { group, columns: vec![plain(path)], listed: None };
    vss.subscription.rules[0].groups = vec![always(0, 1), always(2, 2)];
    vss.subscription.rules.push(DeliveryRule {
        event: CORRECTED.into(),
        reader: Arc::new(contract(CORRECTED)),
        fields: paths(&["pin", "given_name", "birth_place"]),
        paths: paths(&["pin", "given_name", "birth_place", "fields_changed", "correction_no"]),
        filter: None,
        table: 0,
        key: vec![plain(0)],
        groups: vec![listed(0, 1, "given_name"), listed(2, 2, "birth_place")],
        effect: Effect::Update { if_missing: IfMissing::Skip },
        on_revoked: Policy::Hard,
        on_deleted: Policy::Ignore,
        record_number: Some(4),
        delta: Some(3),
    });
    vss
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_fields_are_written_and_null_clears() {
    let mut world = World::new(1).await;
    let mut vss = subscriber(&world).await;
    world.say(&[Said::birth(1, "1", "An"), Said::birth(1, "2", "Binh"), Said::birth(1, "3", "Chi")]).await;
    world.say(&[Said::corrected(2, "1", ("Anh", "not listed"), NAME)]).await;
    world.say(&[Said::corrected(2, "2", ("", ""), PLACE)]).await;
    world.say(&[Said::corrected(2, "3", ("not", "listed"), &[])]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|Anh|00001|-|-", "2|Binh|-|-|-", "3|Chi|00001|-|-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_field_takes_its_newest_value_in_every_order_of_arrival() {
    let story = [
        Said::birth(1, "1", "a"),
        Said::corrected(2, "1", ("b", "x"), BOTH),
        Said::corrected(3, "1", ("c", ""), NAME),
        Said::corrected(4, "1", ("", "y"), PLACE),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        for rows in [1, 100] {
            let mut world = World::new(1).await;
            let mut vss = subscriber(&world).await;
            vss.options.max_rows = rows;
            vss.subscription.rules[2].effect = Effect::Update { if_missing: IfMissing::Insert };
            for (at, index) in order.into_iter().enumerate() {
                world.say_in(if at % 2 == 0 { LIVE } else { BULK }, &[story[index].clone()]).await;
                if rows == 1 {
                    vss.once().await.expect("delivered");
                }
            }
            vss.once().await.expect("delivered");
            assert_eq!(vss.rows(), ["1|c|y|-|-"], "{order:?}, {rows} rows");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_event_that_is_late_does_not_take_back_what_was_corrected() {
    let mut world = World::new(1).await;
    let mut vss = subscriber(&world).await;
    world.say(&[Said::birth(1, "1", "a"), Said::corrected(5, "1", ("b", ""), NAME)]).await;
    world.say_in(BULK, &[Said::birth(4, "1", "late").office("00009").of(Operation::Snapshot)]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|b|00009|-|-"], "the name is newer, the office is not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_row_a_correction_is_left_alone_or_makes_one_of_what_it_lists() {
    for (if_missing, expected) in [(IfMissing::Skip, vec![]), (IfMissing::Insert, vec!["1|b|-|-|-"])] {
        let mut world = World::new(1).await;
        let mut vss = subscriber(&world).await;
        vss.subscription.rules[2].effect = Effect::Update { if_missing };
        world
            .say(&[Said::corrected(1, "1", ("b", "x"), NAME), Said::corrected(1, "2", ("b", "x"), &[])])
            .await;
        vss.once().await.expect("delivered");
        assert_eq!(vss.rows(), expected, "{if_missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_correction_clears_what_it_wrote_and_nothing_else() {
    let mut world = World::new(1).await;
    let mut vss = subscriber(&world).await;
    let undo = Undo { rule: 2, record_type: Some("correction".into()), key: vec![plain(2)] };
    vss.subscription.revocations[0].undoes.push(undo);
    world.say(&[Said::birth(1, "1", "a"), Said::corrected(2, "1", ("b", "x"), NAME)]).await;
    world.say(&[Said::revoked(3, "1", "correction")]).await;
    vss.once().await.expect("delivered");
    assert_eq!(vss.rows(), ["1|-|00001|-|-"]);
}
