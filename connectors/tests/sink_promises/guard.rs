//! The version guard: each group its newest value, whatever the order.

use anyhow::Result;

use crate::kind::Kind;
use crate::subscriber::{Deed, Part, Subscriber, Write, insured, part, person, row, version};
use crate::target_types::TargetTypes;

fn upsert(pin: &str, parts: &[Part]) -> Write {
    insured(pin, Deed::Upsert(parts.to_vec()))
}

fn update(pin: &str, parts: &[Part]) -> Write {
    insured(pin, Deed::Update(parts.to_vec()))
}

fn delete(pin: &str, number: u32) -> Write {
    insured(pin, Deed::Delete { version: version(number), revokes: None })
}

fn void(pin: &str, number: u32) -> Write {
    insured(pin, Deed::Void { at: 1_700_000_000_123_456, version: version(number), revokes: None })
}

fn recorded(group: usize, number: u32, record: &str, values: &[&str]) -> Part {
    Part { record: Some(record.to_owned()), ..part(group, number, values) }
}

pub(crate) async fn an_older_write_never_overwrites_a_newer_one<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 5, "new"), person("2", 4, "old")]).await?;
    let applied = worker.deliver(&[person("1", 4, "old"), person("2", 5, "new")]).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (1, 1, 0));
    assert_eq!(subscriber.insured().await?, [row(&["1", "new", "1", "new"]), row(&["2", "new", "1", "new"])]);
    Ok(())
}

pub(crate) async fn the_same_version_again_repairs_a_damaged_row_and_else_changes_nothing<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 5, "An"), person("2", 5, "Bình"), person("3", 5, "Chi")]).await?;
    subscriber
        .owner
        .run(&[
            "update insured set name = 'damaged' where pin = '1'".to_owned(),
            "delete from insured where pin = '2'".to_owned(),
        ])
        .await?;
    let again = [person("1", 5, "An"), person("2", 5, "Bình"), person("3", 5, "Chi")];
    let applied = worker.deliver(&again).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (2, 0, 1));
    let applied = worker.deliver(&again).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (0, 0, 3));
    assert_eq!(subscriber.insured().await?.len(), 3);
    assert_eq!(subscriber.insured().await?[1], row(&["2", "Bình", "1", "Bình"]));
    Ok(())
}

pub(crate) async fn groups_take_their_newest_independently_and_leave_other_columns_alone<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[upsert("1", &[part(0, 3, &["three", "3"]), part(1, 5, &["five"])])]).await?;
    subscriber.owner.run(&["update insured set mine = 'kept'".to_owned()]).await?;
    worker.deliver(&[upsert("1", &[part(0, 4, &["four", "4"]), part(1, 4, &["four"])])]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "four", "4", "five"])]);
    worker.deliver(&[upsert("1", &[part(1, 6, &["six"])])]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "four", "4", "six"])]);
    assert_eq!(subscriber.query("select mine from insured").await?, [row(&["kept"])]);
    worker.deliver(&[upsert("2", &[part(1, 1, &["alone"])])]).await?;
    assert_eq!(
        subscriber.query("select address, mine from insured where pin = '2' and name is null").await?,
        [row(&["alone", "own"])]
    );
    Ok(())
}

pub(crate) async fn nulls_are_values<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 1, "An")]).await?;
    let null = Part { values: vec![None, None], ..part(0, 2, &[]) };
    let applied = worker.deliver(&[upsert("1", std::slice::from_ref(&null))]).await?;
    assert_eq!((applied.changed, applied.unchanged), (1, 0));
    let applied = worker.deliver(&[upsert("1", &[null])]).await?;
    assert_eq!((applied.changed, applied.unchanged), (0, 1), "null equals null");
    assert_eq!(subscriber.insured().await?, [vec![Some("1".to_owned()), None, None, Some("An".to_owned())]]);
    worker.deliver(&[upsert("1", &[part(0, 3, &["", "0"])])]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "", "0", "An"])]);
    Ok(())
}

pub(crate) async fn a_late_update_does_not_resurrect_a_deleted_row_and_a_newer_insert_creates_it_again<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 1, "An"), person("2", 1, "Bình")]).await?;
    // The second key's delete comes before anything is known of the third.
    worker.deliver(&[delete("1", 5), delete("2", 5), delete("3", 5)]).await?;
    assert!(subscriber.insured().await?.is_empty());
    let late = [person("1", 4, "late"), update("2", &[part(0, 4, &["late", "1"])]), person("3", 4, "late")];
    worker.deliver(&late).await?;
    assert!(subscriber.insured().await?.is_empty());
    let applied = worker.deliver(&[person("1", 6, "again"), delete("2", 4)]).await?;
    assert_eq!(applied.changed, 1);
    worker.deliver(&[delete("1", 5)]).await?;
    assert_eq!(
        subscriber.insured().await?,
        [row(&["1", "again", "1", "again"])],
        "a replayed delete leaves the newer row"
    );
    Ok(())
}

pub(crate) async fn a_value_newer_than_the_delete_of_any_group_keeps_the_row<K: Kind + TargetTypes>()
-> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[upsert("1", &[part(0, 3, &["three", "3"]), part(1, 9, &["nine"])])]).await?;
    worker.deliver(&[delete("1", 5)]).await?;
    assert_eq!(subscriber.insured().await?.len(), 1);
    worker.deliver(&[upsert("1", &[part(0, 4, &["late", "4"])])]).await?;
    assert_eq!(subscriber.insured().await?[0][1].as_deref(), Some("three"), "the mark stands");
    Ok(())
}

pub(crate) async fn an_update_of_a_missing_row_is_skipped_and_the_ledger_does_not_learn_it<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let applied = worker.deliver(&[update("1", &[part(1, 9, &["nine"])])]).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (0, 0, 1));
    assert_eq!((subscriber.count("insured").await?, subscriber.count("lienthong_version").await?), (0, 0));
    worker.deliver(&[person("1", 5, "An")]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "An", "1", "An"])], "version 9 was never there");
    worker.deliver(&[update("1", &[part(1, 4, &["late"])])]).await?;
    worker.deliver(&[update("1", &[part(1, 7, &["seven"])])]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "An", "1", "seven"])]);
    Ok(())
}

pub(crate) async fn a_void_sets_the_time_keeps_the_row_and_leaves_a_mark<K: Kind + TargetTypes>() -> Result<()>
{
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 1, "An"), person("2", 9, "Bình")]).await?;
    let applied = worker.deliver(&[void("1", 5), void("2", 5), void("3", 5)]).await?;
    assert_eq!((applied.changed, applied.older), (1, 1));
    let at = K::text("voided_at", lienthong_contract::target::CellKind::Timestamp);
    let query = format!("select pin, {at} from insured where voided_at is not null");
    assert_eq!(subscriber.query(&query).await?, [row(&["1", "2023-11-14T22:13:20.123456Z"])]);
    worker.deliver(&[person("1", 4, "late"), person("3", 4, "late")]).await?;
    let rows = [
        row(&["1", "late", "1", "late"]),
        row(&["2", "Bình", "1", "Bình"]),
        row(&["3", "late", "1", "late"]),
    ];
    assert_eq!(subscriber.insured().await?, rows);
    let marked = ["1", "3"].map(|pin| row(&[pin, "2023-11-14T22:13:20.123456Z"]));
    assert_eq!(subscriber.query(&query).await?, marked, "what came late is marked as well");
    let applied = worker.deliver(&[void("1", 5)]).await?;
    assert_eq!((applied.changed, applied.unchanged), (0, 1));
    Ok(())
}

pub(crate) async fn a_clear_empties_one_group_and_older_values_stay_away<K: Kind + TargetTypes>() -> Result<()>
{
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let clear = |number| insured("1", Deed::Clear { group: 0, version: version(number), revokes: None });
    worker.deliver(&[person("1", 5, "An")]).await?;
    let applied = worker.deliver(&[clear(4)]).await?;
    assert_eq!((applied.changed, applied.older), (0, 1));
    worker.deliver(&[clear(6)]).await?;
    worker.deliver(&[update("1", &[part(0, 5, &["late", "1"])])]).await?;
    assert_eq!(subscriber.insured().await?, [vec![Some("1".to_owned()), None, None, Some("An".to_owned())]]);
    worker.deliver(&[update("1", &[part(0, 7, &["new", "7"])])]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "new", "7", "An"])]);
    Ok(())
}

pub(crate) async fn a_revocation_undoes_only_its_own_record<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    for pin in ["hard", "soft", "clear"] {
        let row = [recorded(0, 3, "r2", &["An", "1"]), recorded(1, 3, "r2", &["Huế"])];
        worker.deliver(&[upsert(pin, &row)]).await?;
    }
    let revoke = |number, record: &str| {
        let (version, record) = (version(number), record.to_owned());
        [
            insured(
                "hard",
                Deed::Delete { version: version.clone(), revokes: Some((vec![0], record.clone())) },
            ),
            insured(
                "soft",
                Deed::Void { at: 7, version: version.clone(), revokes: Some((vec![0, 1], record.clone())) },
            ),
            insured("clear", Deed::Clear { group: 0, version, revokes: Some(record) }),
        ]
    };
    let before = subscriber.everything().await?;
    worker.deliver(&revoke(2, "r2")).await?;
    let now = subscriber.everything().await?;
    assert_eq!(now[..3], before[..3], "neither rows nor ledger");
    let older = worker.deliver(&revoke(9, "r1")).await?;
    assert_eq!((older.changed, older.older), (0, 3), "another record wrote these rows");
    let now = subscriber.everything().await?;
    assert_eq!(now[..2], before[..2], "the ledger alone learns of it");
    assert_eq!(worker.deliver(&revoke(9, "r2")).await?.changed, 3);
    let kept = [
        vec![Some("clear".to_owned()), None, None, Some("Huế".to_owned())],
        row(&["soft", "An", "1", "Huế"]),
    ];
    assert_eq!(subscriber.insured().await?, kept);
    assert_eq!(
        subscriber.query("select pin from insured where voided_at is not null").await?,
        [row(&["soft"])]
    );
    worker.deliver(&[upsert("hard", &[recorded(0, 5, "r2", &["late", "1"])])]).await?;
    assert_eq!(subscriber.count("insured").await?, 2);
    Ok(())
}

pub(crate) async fn a_revocation_that_overtakes_its_event_forbids_it<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let revoke = |pin: &str| {
        insured(pin, Deed::Clear { group: 0, version: version(9), revokes: Some("r1".to_owned()) })
    };
    let first = |pin: &str, number, name: &str| upsert(pin, &[recorded(0, number, "r1", &[name, "1"])]);
    let other = |pin: &str, number, place: &str| upsert(pin, &[part(1, number, &[place])]);
    // One person whom nothing else is known of, one who has a row already, one with the event in the same delivery.
    worker.deliver(&[other("known", 2, "Huế")]).await?;
    worker.deliver(&[revoke("new"), revoke("known")]).await?;
    let late = [first("new", 8, "An"), first("known", 8, "Ba")];
    let applied = worker.deliver(&late).await?;
    assert_eq!((applied.changed, applied.older), (0, 2));
    worker.deliver_rounds(&[vec![revoke("both")], vec![first("both", 8, "Chi")]]).await?;
    let hue = vec![Some("known".to_owned()), None, None, Some("Huế".to_owned())];
    assert_eq!(subscriber.insured().await?, std::slice::from_ref(&hue));
    worker.deliver(&[other("new", 3, "Vinh")]).await?;
    let vinh = vec![Some("new".to_owned()), None, None, Some("Vinh".to_owned())];
    assert_eq!(
        subscriber.insured().await?,
        [hue, vinh],
        "of another record, and not the revocation's business"
    );
    let again = [first("new", 10, "An"), first("known", 11, "Ba"), first("both", 12, "Chi")];
    assert_eq!(worker.deliver(&again).await?.changed, 3, "registered again");
    assert_eq!(subscriber.count("insured").await?, 3);
    Ok(())
}

pub(crate) async fn a_revocation_that_overtakes_its_event_forbids_all_its_groups<K: Kind + TargetTypes>()
-> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let both = |number| [recorded(0, number, "r1", &["An", "1"]), recorded(1, number, "r1", &["Huế"])];
    let revokes = Some((vec![0, 1], "r1".to_owned()));
    worker.deliver(&[insured("1", Deed::Delete { version: version(9), revokes })]).await?;
    assert_eq!(worker.deliver(&[upsert("1", &both(8))]).await?.older, 1);
    assert_eq!(subscriber.count("insured").await?, 0, "not even in part");
    assert_eq!(worker.deliver(&[upsert("1", &both(10))]).await?.changed, 1);
    Ok(())
}

pub(crate) async fn with_soft_it_is_all_the_same_whether_the_event_or_its_revocation_comes_first<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let event = |pin: &str, number| {
        upsert(pin, &[recorded(0, number, "r1", &["An", "1"]), recorded(1, number, "r1", &["Huế"])])
    };
    let void = |pin: &str| {
        let revokes = Some((vec![0, 1], "r1".to_owned()));
        insured(pin, Deed::Void { at: 1_700_000_000_123_456, version: version(9), revokes })
    };
    worker.deliver(&[event("1", 8), void("2")]).await?;
    let applied = worker.deliver(&[void("1"), event("2", 8)]).await?;
    assert_eq!((applied.changed, applied.older), (2, 0));
    worker.deliver_rounds(&[vec![event("3", 8), void("4")], vec![void("3"), event("4", 8)]]).await?;
    let sql = "select name, address, cast(voided_at as text) from insured";
    let rows = subscriber.query(sql).await?;
    assert!(rows.len() == 4 && rows.iter().all(|row| *row == rows[0]), "{rows:?}");
    assert!(rows[0][2].as_deref().is_some_and(|at| at.starts_with("2023-11-1")), "{rows:?}");
    worker.deliver(&[event("1", 8), event("2", 8)]).await?;
    assert_eq!(subscriber.query(sql).await?, rows, "what comes once more changes nothing");
    worker.deliver(&[event("1", 10), event("2", 10)]).await?;
    let living = "select pin from insured where voided_at is null";
    assert_eq!(subscriber.query(living).await?, [row(&["1"]), row(&["2"])]);
    Ok(())
}

pub(crate) async fn a_version_in_a_column_guards_as_well<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let visit = |place: &str, deed| Write {
        table: crate::subscriber::VISITS,
        key: vec![place.to_owned(), "1".to_owned()],
        deed,
    };
    let note = |number, note: &str| Deed::Upsert(vec![part(0, number, &[note, "5"])]);
    let update = |number, note: &str| Deed::Update(vec![part(0, number, &[note, "6"])]);
    let delete = |number| Deed::Delete { version: version(number), revokes: None };
    worker
        .deliver(&[
            visit("a", note(5, "new")),
            visit("b", note(4, "old")),
            visit("c", note(1, "c")),
            visit("d", note(1, "d")),
        ])
        .await?;
    assert_eq!(subscriber.count("lienthong_version").await?, 0, "no entry per row");
    let writes = [visit("a", note(4, "old")), visit("b", note(5, "new")), visit("e", update(5, "nobody"))];
    let applied = worker.deliver(&writes).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (1, 1, 1));
    let applied = worker
        .deliver(&[
            visit("a", note(5, "new")),
            visit("b", update(4, "old")),
            visit("c", delete(5)),
            visit("d", Deed::Void { at: 9, version: version(5), revokes: None }),
            visit("f", Deed::Void { at: 9, version: version(5), revokes: None }),
        ])
        .await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (2, 1, 2));
    let [c, d, f] = ["c", "d", "f"].map(|place| visit(place, note(4, "late")));
    let applied = worker.deliver(&[c, d, f, visit("a", delete(4))]).await?;
    assert_eq!((applied.changed, applied.older), (1, 3));
    let known = |place: &str, note: &str, number| row(&[place, "1", note, "5", &version(number)]);
    let rows = [known("a", "new", 5), known("b", "new", 5), known("d", "d", 5), known("f", "late", 5)];
    assert_eq!(subscriber.visits().await?, rows);
    assert_eq!(
        subscriber.query("select place from visits where voided_at is not null").await?,
        [row(&["d"]), row(&["f"])]
    );
    worker
        .deliver(&[
            visit("c", note(6, "again")),
            visit("b", Deed::Clear { group: 0, version: version(6), revokes: None }),
        ])
        .await?;
    assert_eq!(
        subscriber.query("select place from visits where note is null and weight is null").await?,
        [row(&["b"])]
    );
    subscriber.owner.run(&["update visits set note = 'damaged' where place = 'a'".to_owned()]).await?;
    let applied = worker.deliver(&[visit("a", note(5, "new"))]).await?;
    assert_eq!(applied.changed, 1, "the same version repairs");
    worker.deliver(&[visit("c", note(5, "late"))]).await?;
    assert_eq!(subscriber.visits().await?[2], known("c", "again", 6));
    Ok(())
}
