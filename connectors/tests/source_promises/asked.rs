//! Rows that somebody asks for: a range, a list of keys, beside the changes, and again from any position.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::load::{LoadProgress, LoadRequest, Wanted};
use lienthong_contract::position::Position;
use lienthong_contract::source::RowOp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::Kind;
use crate::publisher::{Change, Publisher, Reader};

/// No request of these takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn range(id: &str, from: Option<&str>, to: Option<&str>) -> LoadRequest {
    asked(id, Wanted::Range { from: from.map(str::to_owned), to: to.map(str::to_owned) })
}

fn keys(id: &str, keys: &[&str]) -> LoadRequest {
    asked(id, Wanted::Keys(keys.iter().map(|&key| vec![key.to_owned()]).collect()))
}

fn asked(id: &str, rows: Wanted) -> LoadRequest {
    LoadRequest { id: id.to_owned(), event: "any".to_owned(), table: 0, rows, rate: 1_000_000 }
}

async fn ask(reader: &mut Reader, request: LoadRequest) -> Result<()> {
    let number = reader.source.served().context("it can be asked")?;
    Ok(reader.source.load(number, Ok(request)).await?)
}

fn progress(reader: &Reader) -> Result<LoadProgress> {
    reader.source.load_progress().context("a request was made")
}

/// Polls until the request is done; gives what came meanwhile.
async fn served(reader: &mut Reader, rows: usize) -> Result<Vec<Change>> {
    let begin = reader.changes.len();
    let began = Instant::now();
    while !progress(reader)?.done {
        ensure!(began.elapsed() < PATIENCE, "it is never done");
        if reader.poll(rows).await?.caught_up {
            reader.source.wait(Duration::from_secs(1)).await?;
        }
    }
    Ok(reader.changes[begin..].to_vec())
}

fn first_column(changes: &[Change]) -> Vec<u32> {
    let id = |change: &Change| change.after.as_ref()?.first()?.as_ref()?.parse().ok();
    let mut ids: Vec<u32> = changes.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

pub(crate) async fn a_range_a_list_and_a_whole_table_are_read_once_each<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(40).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let cases = [
        (range("a", Some("10"), Some("25")), (10..=25).collect::<Vec<u32>>(), 0),
        (range("b", None, Some("3")), (0..=3).collect(), 0),
        (range("c", Some("38"), None), (38..40).collect(), 0),
        (range("d", None, None), (0..40).collect(), 0),
        (range("e", Some("30"), Some("20")), vec![], 0),
        // One row however its key is written, and keys that no row has.
        (keys("f", &["7", "007", "5", "400", "-1"]), vec![5, 7], 2),
        (keys("g", &["900"]), vec![], 1),
        (keys("h", &[]), vec![], 0),
    ];
    for (request, expected, missing) in cases {
        let (id, list) = (request.id.clone(), matches!(request.rows, Wanted::Keys(_)));
        ask(&mut reader, request).await?;
        let changes = served(&mut reader, 3).await?;
        ensure!(changes.iter().all(|change| change.op == RowOp::Snapshot), "{id}");
        assert_eq!(first_column(&changes), expected, "{id}");
        let told = progress(&reader)?;
        assert_eq!((told.rows, told.missing, told.id), (expected.len() as u64, missing, id.clone()));
        assert_eq!((told.estimated, told.refused), (!list, None), "{id}");
        assert_eq!(told.total.filter(|_| list), list.then_some(expected.len() as u64 + missing), "{id}");
    }
    let names: std::collections::HashSet<&str> =
        reader.changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(names.len(), reader.changes.len(), "every request names its rows anew");
    Ok(())
}

pub(crate) async fn what_cannot_be_read_is_refused_without_a_value_and_the_next_is_served<K: Kind>()
-> Result<()> {
    let publisher = Publisher::<K>::person(5).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let beyond = LoadRequest { table: 9, ..keys("c", &["1"]) };
    for request in [keys("a", &["1", "001085730194x"]), range("b", Some("x001085730194"), None), beyond] {
        let before = reader.source.served();
        ask(&mut reader, request).await?;
        let told = progress(&reader)?;
        let reason = told.refused.context("a reason")?;
        ensure!(told.done && !reason.contains("0010857"), "{reason}");
        assert_eq!(reader.source.served(), before.map(|number| number + 1));
    }
    let number = reader.source.served().context("a number")?;
    reader.source.load(number, Err("it is sealed".to_owned())).await?;
    assert_eq!(progress(&reader)?.refused.as_deref(), Some("it is sealed"));
    ask(&mut reader, keys("d", &["4"])).await?;
    assert_eq!(first_column(&served(&mut reader, 3).await?), [4]);
    Ok(())
}

pub(crate) async fn changes_beside_a_request_come_once_and_in_order<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(60).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let many: Vec<String> = (0..80).map(|id: u32| id.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut rev = 0;
    for request in [range("a", Some("10"), Some("70")), keys("b", &many), range("c", None, None)] {
        // Small chunks, so that changes fall between and into them.
        ask(&mut reader, LoadRequest { rate: 200, ..request }).await?;
        while !progress(&reader)?.done {
            rev += 1;
            let id = random.random_range(0..80);
            let sql = match random.random_range(0..4) {
                0 => format!("delete from person where id = {id}"),
                1 => format!("insert into person values ({id}, 'new', {rev}) on conflict do nothing"),
                2 => format!("update person set id = 1000 + {rev} where id = {id}"),
                _ => format!("update person set rev = {rev} where id = {id}"),
            };
            publisher.run(&[&sql]).await?;
            reader.poll(7).await?;
        }
    }
    reader.catch_up(7).await?;
    publisher.assert_replays(&reader).await
}

pub(crate) async fn a_request_goes_on_from_any_position<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(30).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    for request in [
        LoadRequest { rate: 16, ..range("a", Some("3"), None) },
        LoadRequest { rate: 16, ..keys("b", &["1", "12", "77", "20", "21", "22", "5", "99", "6", "28"]) },
    ] {
        let number = reader.source.served().context("a number")?;
        ask(&mut reader, request.clone()).await?;
        let (from, first) = (reader.position(), reader.positions.len());
        let whole = served(&mut reader, 4).await?;
        let told = progress(&reader)?;
        let mut places: Vec<(Position, usize)> = vec![(from, reader.changes.len() - whole.len())];
        places.extend(reader.positions[first..].iter().cloned());
        drop(reader);
        for (position, given) in places {
            let mut again = publisher.reader(Some(&position)).await?;
            let open = again.source.served() == Some(number);
            if open {
                again.source.load(number, Ok(request.clone())).await?;
            }
            let mut changes = if open { served(&mut again, 4).await? } else { Vec::new() };
            changes.extend(again.catch_up(4).await?);
            let begin = whole.len() - changes.len();
            let names = |changes: &[Change]| -> Vec<String> {
                changes.iter().map(|change| change.id.clone()).collect()
            };
            assert_eq!(names(&changes), names(&whole[begin..]), "behind {given}");
            if open {
                let end = progress(&again)?;
                assert_eq!((end.rows, end.missing), (told.rows, told.missing), "behind {given}");
            }
        }
        reader = publisher.reader(None).await?;
        reader.catch_up(100).await?;
    }
    publisher.run(&["delete from person"]).await
}

pub(crate) async fn changes_are_not_held_back_by_a_slow_request<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(30).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    ask(&mut reader, LoadRequest { rate: 1, ..range("slow", None, None) }).await?;
    for id in 100..110 {
        publisher.run(&[&format!("insert into person values ({id}, 'x', 0)")]).await?;
        let changes = reader.catch_up(100).await?;
        ensure!(changes.iter().any(|change| change.op == RowOp::Insert), "the change waits");
    }
    let told = progress(&reader)?;
    ensure!(!told.done && told.rows < 20, "{told:?}");
    Ok(())
}
