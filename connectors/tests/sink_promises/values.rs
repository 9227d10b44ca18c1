//! Every kind of cell arrives as it was, in small and in large rounds; receipts follow one another.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use lienthong_connectors::{ReceiptRow, chain_hash};
use lienthong_contract::sink::{Action, Delivery, GroupWrite, KeyWrite, LaneMove};
use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, TargetTable, VersionStore};
use lienthong_contract::{Cell, Decimal};

use crate::kind::Kind;
use crate::subscriber::{Row, Subscriber, Worker, after, group, key_hash, lane, person};
use crate::target_types::TargetTypes;

const DAY: i64 = 86_400_000_000;

/// Kind, cell, and the text that the target's column shows.
const VALUES: [(CellKind, [(Cell<'static>, &str); 3]); 11] = [
    (CellKind::Bool, [(Cell::Bool(true), "true"), (Cell::Bool(false), "false"), (Cell::Bool(true), "true")]),
    (
        CellKind::Integer,
        [
            (Cell::I64(i64::MIN), "-9223372036854775808"),
            (Cell::I64(i64::MAX), "9223372036854775807"),
            (Cell::I64(0), "0"),
        ],
    ),
    (CellKind::Float, [(Cell::F64(0.1), "0.1"), (Cell::F64(-2.5), "-2.5"), (Cell::F64(1234.5), "1234.5")]),
    (
        CellKind::Decimal,
        [
            (Cell::Decimal(Decimal { unscaled: &[4, 210], scale: 2 }), "12.34"),
            (Cell::Decimal(Decimal { unscaled: &[0xff], scale: 3 }), "-0.001"),
            (
                Cell::Decimal(Decimal {
                    unscaled: &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                    scale: 0,
                }),
                "2361183241434822606847",
            ),
        ],
    ),
    (
        CellKind::Text,
        [
            (Cell::Str("Nguyễn \t\n\r\\N \\. \"'家𝄞"), "Nguyễn \t\n\r\\N \\. \"'家𝄞"),
            (Cell::Str(""), ""),
            (Cell::Str("\\N"), "\\N"),
        ],
    ),
    (
        CellKind::Bytes,
        [(Cell::Bytes(&[0, 255, 16]), "00ff10"), (Cell::Bytes(&[]), ""), (Cell::Bytes(b"\\x"), "5c78")],
    ),
    (
        CellKind::Date,
        [
            (Cell::Date(9196), "1995-03-07"),
            (Cell::Date(-1), "1969-12-31"),
            (Cell::Date(-719_162), "0001-01-01"),
        ],
    ),
    (
        CellKind::Time,
        [
            (Cell::Time(DAY - 1), "23:59:59.999999"),
            (Cell::Time(0), "00:00:00.000000"),
            (Cell::Time(3_600_000_001), "01:00:00.000001"),
        ],
    ),
    (
        CellKind::Timestamp,
        [
            (Cell::Timestamp(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z"),
            (Cell::Timestamp(-1), "1969-12-31T23:59:59.999999Z"),
            (Cell::Timestamp(-25_000 * DAY), "1901-07-22T00:00:00.000000Z"),
        ],
    ),
    (
        CellKind::Uuid,
        [
            (Cell::Uuid([0x14; 16]), "14141414-1414-1414-1414-141414141414"),
            (Cell::Uuid([0; 16]), "00000000-0000-0000-0000-000000000000"),
            (Cell::Uuid([0xff; 16]), "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ],
    ),
    (
        CellKind::TextList,
        [
            (
                Cell::List(&[Cell::Str("x"), Cell::Null, Cell::Str("y,\"{z}\\")]),
                "[\"x\",null,\"y,\\\"{z}\\\\\"]",
            ),
            (Cell::List(&[]), "[]"),
            (Cell::List(&[Cell::Str("")]), "[\"\"]"),
        ],
    ),
];

fn every_kind(version: VersionStore) -> TargetTable {
    let names: Vec<String> = (0..VALUES.len()).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, CellKind)> =
        names.iter().map(String::as_str).zip(VALUES.iter().map(|(kind, _)| *kind)).collect();
    TargetTable {
        table: "every_kind".to_owned(),
        key: vec![TargetColumn { name: "k".to_owned(), kind: CellKind::Text }],
        groups: vec![group(&columns, true)],
        version,
    }
}

/// The cells of row `at`: one of the three sets or nulls. Every row takes the next set at each turn, so that each value also takes
/// another one's place.
fn cells(at: usize, turn: usize) -> Vec<Cell<'static>> {
    let set = (at + turn) % 4;
    VALUES.iter().map(|(_, values)| values.get(set).map_or(Cell::Null, |(cell, _)| *cell)).collect()
}

/// The texts of [`cells`].
fn texts(at: usize, turn: usize) -> Row {
    let set = (at + turn) % 4;
    VALUES.iter().map(|(_, values)| values.get(set).map(|(_, text)| (*text).to_owned())).collect()
}

/// Writes `count` rows of a turn; then the same again, which must find everything equal.
async fn turn(worker: &mut Worker, count: usize, turn: usize) -> Result<()> {
    let version = turn.to_string();
    let keys: Vec<String> = (0..count).map(|at| format!("k{at:05}")).collect();
    let rows: Vec<([Cell<'_>; 1], Vec<Cell<'_>>)> =
        keys.iter().enumerate().map(|(at, key)| ([Cell::Str(key)], cells(at, turn))).collect();
    let write = |at: usize| {
        let part = GroupWrite { group: 0, version: &version, record: None, values: &rows[at].1 };
        let action = Action::Upsert(vec![part]);
        KeyWrite { table: 0, key_hash: key_hash(0, &keys[at..=at]), key: &rows[at].0, action }
    };
    let rounds = [(0..count).map(write).collect::<Vec<_>>()];
    for again in [false, true] {
        let expected = worker.offset().await?;
        let next = after(expected, count);
        let lanes = [LaneMove { lane: &lane(0), expected, next, receipt: None }];
        let applied = worker.sink.apply(&Delivery { lanes: &lanes, rounds: &rounds }).await?;
        let counted = if again { applied.unchanged } else { applied.changed };
        assert_eq!(counted, count as u64, "again: {again}; {applied:?}");
    }
    Ok(())
}

pub(crate) async fn every_kind_of_cell_and_null_arrive_as_they_were<K: Kind + TargetTypes>() -> Result<()> {
    for version in [VersionStore::Ledger, VersionStore::Column("v".to_owned())] {
        let columns =
            VALUES.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {}", K::column_type(*kind)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let table = format!("create table every_kind (k text not null primary key, v text, {columns})");
        let mut subscriber = Subscriber::<K>::with(vec![every_kind(version)], &[table]).await?;
        subscriber.prepare().await?;
        let mut worker = subscriber.worker();
        worker.sink.check().await?;
        let shown = VALUES.iter().enumerate().map(|(at, (kind, _))| K::text(&format!("c{at}"), *kind));
        let query = format!("select k, {} from every_kind", shown.collect::<Vec<_>>().join(", "));
        for (number, count) in [(1, 4), (2, 4), (3, 1200), (4, 1200)] {
            turn(&mut worker, count, number).await?;
            let rows = subscriber.query(&query).await?;
            assert_eq!(rows.len(), count);
            for (at, row) in rows.iter().enumerate().take(8) {
                assert_eq!(row[1..], texts(at, number)[..], "row {at} of {count}");
            }
        }
    }
    Ok(())
}

pub(crate) async fn a_group_may_name_the_key_and_keys_may_be_of_several_kinds<K: Kind + TargetTypes>()
-> Result<()> {
    let key = [("code", CellKind::Integer), ("day", CellKind::Date), ("id", CellKind::Uuid)];
    let column = |(name, kind): &(&str, CellKind)| TargetColumn { name: (*name).to_owned(), kind: *kind };
    let groups: Vec<ColumnGroup> = vec![group(&[key[0], ("words", CellKind::Text), key[1]], true)];
    let target = TargetTable {
        table: "keyed".to_owned(),
        key: key.iter().map(column).collect(),
        groups,
        version: VersionStore::Ledger,
    };
    let types: Vec<String> =
        key.iter().map(|(name, kind)| format!("{name} {} not null", K::column_type(*kind))).collect();
    let table = format!("create table keyed ({}, words text, primary key (code, day, id))", types.join(", "));
    let mut subscriber = Subscriber::<K>::with(vec![target], &[table]).await?;
    subscriber.prepare().await?;
    let mut worker = subscriber.worker();
    worker.sink.check().await?;
    for (count, version) in [(3, "1"), (700, "2")] {
        let keys: Vec<[Cell<'_>; 3]> = (0..count)
            .map(|at| [Cell::I64(at), Cell::Date(i32::try_from(at % 5).unwrap_or(0)), Cell::Uuid([7; 16])])
            .collect();
        let values: Vec<[Cell<'_>; 3]> =
            keys.iter().map(|key| [key[0], Cell::Str(version), key[1]]).collect();
        let write = |at: usize| {
            let part = GroupWrite { group: 0, version, record: None, values: &values[at] };
            KeyWrite {
                table: 0,
                key_hash: key_hash(0, &[at.to_string()]),
                key: &keys[at],
                action: Action::Upsert(vec![part]),
            }
        };
        let rounds = [(0..keys.len()).map(write).collect::<Vec<_>>()];
        let expected = worker.offset().await?;
        let next = after(expected, rounds[0].len());
        let lanes = [LaneMove { lane: &lane(0), expected, next, receipt: None }];
        worker.sink.apply(&Delivery { lanes: &lanes, rounds: &rounds }).await?;
    }
    assert_eq!(subscriber.query("select words from keyed where words <> '2'").await?.len(), 0);
    assert_eq!(subscriber.count("keyed").await?, 700);
    Ok(())
}

pub(crate) async fn receipts_form_a_chain_per_partition_that_can_be_recomputed<K: Kind + TargetTypes>()
-> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    for partition in 0..2 {
        let mut worker = subscriber.worker_of(partition);
        for number in 1..=5 {
            let there = worker.offset().await?;
            // Heartbeats between deliveries leave no receipt and do not break the chain.
            worker.apply(there, after(there, 1), &[], false).await?;
            worker.deliver(&[person(&format!("{partition}"), number, "An")]).await?;
        }
    }
    assert_chains(&mut subscriber, [5, 5], 1).await
}

/// Every receipt names its predecessor and has the hash that it must have; so many in each partition, of deliveries of so many
/// writes.
pub(crate) async fn assert_chains<K: Kind + TargetTypes, const N: usize>(
    subscriber: &mut Subscriber<K>,
    lengths: [usize; N],
    writes: u32,
) -> Result<()> {
    let receipts = receipts(subscriber).await?;
    let mut chains: BTreeMap<i32, Option<Vec<u8>>> = BTreeMap::new();
    let mut counts = [0; N];
    for (at, (receipt, named, hash)) in receipts.iter().enumerate() {
        let previous = chains.entry(receipt.partition).or_default();
        assert_eq!(named, previous, "receipt {at} names its predecessor");
        assert_eq!(hash.as_slice(), chain_hash(previous.as_deref(), receipt), "receipt {at}");
        assert_eq!(receipt.subjects.len(), 32);
        assert_eq!(receipt.events, (writes + 1, writes));
        assert_eq!(receipt.times, (1_700_000_000_000_001, 1_700_000_000_999_999));
        assert!(receipt.applied_at > 1_700_000_000_000_000);
        *previous = Some(hash.clone());
        counts[usize::try_from(receipt.partition)?] += 1;
    }
    assert_eq!(counts, lengths, "receipts per partition");
    Ok(())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let pairs =
        text.as_bytes().chunks(2).map(|pair| anyhow::Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    pairs.collect()
}

/// Every receipt with its predecessor's hash and its own, by partition and offset.
async fn receipts<K: Kind + TargetTypes>(
    subscriber: &mut Subscriber<K>,
) -> Result<Vec<(ReceiptRow, Option<Vec<u8>>, Vec<u8>)>> {
    let numbers = [
        "partition",
        "first_offset",
        "last_offset",
        "events_read",
        "events_delivered",
        "writer_epoch",
        "first_time",
        "last_time",
        "applied_at",
    ];
    let numbers: Vec<String> = numbers.iter().map(|name| format!("cast({name} as text)")).collect();
    let previous = format!("case when previous_hash is not null then {} end", K::hex("previous_hash"));
    let query = format!(
        "select {}, subscription, topic, agreement, key_id, {}, {previous}, {} from lienthong_receipt",
        numbers.join(", "),
        K::hex("subjects"),
        K::hex("hash")
    );
    let mut found = Vec::new();
    for row in subscriber.query(&query).await? {
        let text = |at: usize| row[at].as_deref().context("a column of a receipt is null");
        let number = |at: usize| anyhow::Ok(text(at)?.parse::<i64>()?);
        let receipt = ReceiptRow {
            subscription: text(9)?.to_owned(),
            topic: text(10)?.to_owned(),
            partition: i32::try_from(number(0)?)?,
            offsets: (number(1)?, number(2)?),
            events: (u32::try_from(number(3)?)?, u32::try_from(number(4)?)?),
            writer_epoch: number(5)?,
            times: (number(6)?, number(7)?),
            applied_at: number(8)?,
            agreement: text(11)?.to_owned(),
            key_id: text(12)?.to_owned(),
            subjects: unhex(text(13)?)?,
        };
        let previous = row[14].as_deref().map(unhex).transpose()?;
        found.push((receipt, previous, unhex(text(15)?)?));
    }
    found.sort_by_key(|(receipt, ..)| (receipt.partition, receipt.offsets));
    Ok(found)
}
