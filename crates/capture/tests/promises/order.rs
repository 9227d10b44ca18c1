//! What must be durable before what: the encoder alone, over rows that a test writes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lienthong_capture::encode::{Encoder, EncoderParts};
use lienthong_contract::source::{RowChange, RowOp, RowVisitor as _};
use lienthong_log::{Batch, RecordRef, murmur2};
use lienthong_schemas::Cell;

use crate::world::{BULK, LIVE, capture, keys, publication};

const PARTITIONS: i32 = 8;

fn encoder(publications: usize) -> Encoder {
    let entries: Vec<_> =
        (0..publications).map(|entry| publication(entry, &["file_no", "pin", "street"], None)).collect();
    Encoder::new(EncoderParts {
        urn: "urn:lienthong:mps.residence".to_owned(),
        tables: vec![capture("residence")].into(),
        schema_ids: vec![(1, 2); publications],
        publications: entries.into(),
        partitions: BTreeMap::from([(Arc::from(LIVE), PARTITIONS), (Arc::from(BULK), PARTITIONS)]),
        keys: keys(),
        lineage_epoch: 1,
        writer_epoch: 7,
        counter: 0,
        collected: HashSet::new(),
        traces: lienthong_telemetry::Traces::default(),
    })
    .expect("topics")
}

/// Two subjects that lie in different partitions, and one that lies beside the first.
fn pins() -> (String, String, String) {
    let partition = |pin: &String| murmur2::partition(pin.as_bytes(), PARTITIONS);
    let all: Vec<String> = (100..300).map(|number| number.to_string()).collect();
    let first = all[0].clone();
    let other = all.iter().find(|pin| partition(pin) != partition(&first)).expect("another partition");
    let beside = all[1..].iter().find(|pin| partition(pin) == partition(&first)).expect("the same partition");
    (first.clone(), other.clone(), beside.clone())
}

/// A state of the row `file_no`.
fn row<'a>(file_no: &'a str, pin: &'a str, street: &'a str) -> [Cell<'a>; 5] {
    [Cell::Str(file_no), Cell::Str(pin), Cell::Str(street), Cell::Null, Cell::Null]
}

fn change(
    encoder: &mut Encoder,
    id: &str,
    op: RowOp,
    before: Option<&[Cell<'_>]>,
    after: Option<&[Cell<'_>]>,
) {
    encoder.row(&RowChange {
        table: 0,
        op,
        id,
        moved_from: None,
        time: 1,
        place: None,
        before,
        after,
        broken: &[],
        looked_up: &[],
    });
}

/// Operation and subject of each batch's records, by sequence.
fn told(batches: &[Batch]) -> Vec<Vec<(String, String)>> {
    let mut all = Vec::new();
    for batch in batches {
        let mut records = Vec::new();
        for part in &batch.parts {
            let mut at = 0;
            for _ in 0..part.count {
                let (record, next) = RecordRef::read(&part.body, at).expect("a record");
                at = next;
                let text =
                    |name| String::from_utf8(record.header(name).unwrap_or_default().to_vec()).expect("text");
                records.push((text("ce_sequence"), (text("ce_operation"), text("ce_subject"))));
            }
            assert_eq!(at, part.body.len());
        }
        records.sort();
        all.push(records.into_iter().map(|(_, what)| what).collect());
    }
    all
}

fn expected(batches: &[&[(&str, &str)]]) -> Vec<Vec<(String, String)>> {
    let one = |(operation, subject): &(&str, &str)| ((*operation).to_owned(), (*subject).to_owned());
    batches.iter().map(|batch| batch.iter().map(one).collect()).collect()
}

#[test]
fn a_rows_change_under_another_subject_is_sent_only_when_the_earlier_ones_are_durable() {
    let (first, other, _) = pins();
    let mut encoder = encoder(1);
    let (a, b, c) = (row("1", &first, "a"), row("1", &other, "b"), row("1", &other, "c"));
    change(&mut encoder, "o1", RowOp::Insert, None, Some(&a));
    change(&mut encoder, "o2", RowOp::Update, Some(&a), Some(&b));
    change(&mut encoder, "o3", RowOp::Update, Some(&b), Some(&c));
    // The rekey and its update carry the same row: either order of arrival ends the same. What follows them must wait for both.
    let wanted: [&[(&str, &str)]; 3] =
        [&[("insert", &first)], &[("rekey", &first), ("update", &other)], &[("update", &other)]];
    assert_eq!(told(&encoder.take().0), expected(&wanted));
    assert!(encoder.take().0.is_empty());
}

#[test]
fn a_row_that_is_deleted_and_comes_again_under_another_subject_is_cut_apart() {
    let (first, other, _) = pins();
    let mut encoder = encoder(1);
    let (a, b) = (row("1", &first, "a"), row("1", &other, "b"));
    change(&mut encoder, "o1", RowOp::Delete, Some(&a), None);
    change(&mut encoder, "o2", RowOp::Insert, None, Some(&b));
    assert_eq!(told(&encoder.take().0), expected(&[&[("delete", &first)], &[("insert", &other)]]));
}

#[test]
fn a_row_whose_key_changes_with_its_subject_is_cut_apart_and_mass_deletions_are_not() {
    let (first, other, _) = pins();
    let mut encoder = encoder(1);
    let (old, new) = (row("1", &first, "a"), row("2", &other, "a"));
    change(&mut encoder, "o1", RowOp::Delete, Some(&old), None);
    change(&mut encoder, "o2", RowOp::Insert, None, Some(&new));
    assert_eq!(told(&encoder.take().0), expected(&[&[("delete", &first)], &[("insert", &other)]]));
    change(&mut encoder, "o3", RowOp::Delete, Some(&old), None);
    change(&mut encoder, "o4", RowOp::Delete, Some(&new), None);
    assert_eq!(told(&encoder.take().0).len(), 1);
}

#[test]
fn a_row_that_is_loaded_behind_its_own_change_is_cut_apart() {
    let (first, ..) = pins();
    let mut encoder = encoder(1);
    let (a, b) = (row("1", &first, "a"), row("1", &first, "b"));
    change(&mut encoder, "o1", RowOp::Update, Some(&a), Some(&b));
    change(&mut encoder, "s1", RowOp::Snapshot, None, Some(&b));
    assert_eq!(told(&encoder.take().0), expected(&[&[("update", &first)], &[("snapshot", &first)]]));
}

#[test]
fn rows_that_cannot_overtake_themselves_stay_in_one_batch() {
    let (first, other, beside) = pins();
    let mut encoder = encoder(2);
    let rows = [row("1", &first, "a"), row("2", &other, "a"), row("3", &beside, "a")];
    for (number, after) in rows.iter().enumerate() {
        change(&mut encoder, &format!("o{number}"), RowOp::Insert, None, Some(after));
        change(&mut encoder, &format!("p{number}"), RowOp::Update, Some(after), Some(after));
    }
    // One partition keeps the order by itself.
    let moved = row("1", &beside, "b");
    change(&mut encoder, "o9", RowOp::Update, Some(&rows[0]), Some(&moved));
    let batches = encoder.take().0;
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].len(), 2 * (2 * rows.len() + 2));
}
