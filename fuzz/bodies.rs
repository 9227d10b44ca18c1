//! What every decoder of foreign bytes is held to, as plain functions: fuzzers drive them with what they invent, and `tests/hostile.rs` with
//! random and mutated bytes. Bytes may be refused; they may not panic, nor take memory out of proportion.

use std::sync::OnceLock;

use bumpalo::Bump;
use lienthong_contract::position::Position;
use lienthong_log::RecordRef;
use lienthong_log::control::{ControlFacts, ControlRecord};
use lienthong_log::marks::{mark_of, mark_of_record};
use lienthong_log::rules::{MarkKind, PositionRecord, Positions, Starts};
use lienthong_schemas::{DecodePlan, FieldPath, PartialDate, RecordSchema, bundled_texts, date, frame};

/// A name, what it drives, and bytes to begin from.
pub(crate) type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// Every decoder.
pub(crate) const ALL: [Target; 9] = [
    ("avro", avro, datums),
    ("record", record, records),
    ("framing", framing, frames),
    ("control", control, controls),
    ("position", position, positions),
    ("pgoutput", pgoutput, stream_messages),
    ("checkpoint", checkpoint, checkpoints),
    ("dates", dates, texts_of_dates),
    ("site", site, sites),
];

/// Bytes that decoding may take for so many bytes of input: what an arena begins with, and cells in place of bytes.
fn allowance(input: usize) -> usize {
    (4 << 20) + 256 * input
}

struct Contract {
    plan: DecodePlan,
    columns: usize,
}

fn contracts() -> &'static [Contract] {
    static CONTRACTS: OnceLock<Vec<Contract>> = OnceLock::new();
    CONTRACTS.get_or_init(|| {
        let texts = bundled_texts().schemas.iter();
        texts
            .map(|(_, text)| {
                let schema = RecordSchema::parse(text).expect("a contract of this project");
                let paths: Vec<FieldPath> = schema.leaf_paths().map(|field| field.path.clone()).collect();
                let plan = DecodePlan::compile(schema.schema(), schema.schema(), &paths);
                Contract { plan: plan.expect("a contract of this project"), columns: paths.len() }
            })
            .collect()
    })
}

/// The first byte chooses the contract, the rest is a datum.
pub(crate) fn avro(data: &[u8]) {
    let Some((choice, datum)) = data.split_first() else { return };
    let contract = &contracts()[usize::from(*choice) % contracts().len()];
    let (arena, mut cells) = (Bump::new(), Vec::new());
    let read = contract.plan.decode(datum, &arena, &mut cells);
    assert_eq!(cells.len(), if read.is_ok() { contract.columns } else { 0 });
    assert!(arena.allocated_bytes() <= allowance(data.len()), "{} bytes", arena.allocated_bytes());
}

/// The body of a batch: record behind record.
pub(crate) fn record(data: &[u8]) {
    let mut at = 0;
    while let Ok((record, next)) = RecordRef::read(data, at) {
        assert!(next > at && next <= data.len(), "a record goes forward and stays inside");
        let bytes: usize = record.headers().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes + record.key.len() + record.value.len() <= data.len());
        let _mark = mark_of_record(&record);
        let _frame = frame::read(record.value);
        at = next;
    }
    assert!(RecordRef::read(data, data.len()).is_err());
    assert!(RecordRef::read(data, usize::MAX).is_err());
}

/// Confluent framing.
pub(crate) fn framing(data: &[u8]) {
    if let Ok((id, datum)) = frame::read(data) {
        let mut again = Vec::new();
        frame::write(id, &mut again);
        again.extend_from_slice(datum);
        assert_eq!(again, data);
    }
}

/// Headers that tell control records from events: `name=value` per line.
pub(crate) fn control(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((std::str::from_utf8(&line[..at]).ok()?, &line[at + 1..]))
    });
    if let Some(mark) = mark_of(lines) {
        assert!(mark.epoch >= 0);
        assert!(mark.kind != MarkKind::Fence || mark.sequence == 0);
    }
}

/// Positions of sources, as checkpoints keep them.
pub(crate) fn position(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _known = lienthong_connectors::is_position(&Position::new(text.as_ref()), "1");
}

/// Messages of PostgreSQL's logical replication, their values as if they were of every type.
pub(crate) fn pgoutput(data: &[u8]) {
    // Form, place and time, and how long the description is that stands before the row.
    let relation = stream_messages().swap_remove(2);
    let head = [&[1][..], &[0; 20], &(relation.len() as u32).to_be_bytes(), &relation];
    let kept = lienthong_connectors::is_set_aside(&[&head.concat(), data].concat());
    assert_eq!(kept, lienthong_connectors::is_stream_message(data));
    assert!(!lienthong_connectors::is_set_aside(data) || data.len() > 25);
    if lienthong_connectors::is_stream_message(data) {
        let longer = [data, &[0]].concat();
        assert!(!lienthong_connectors::is_stream_message(&longer), "a message ends with its last field");
    }
}

/// Values of `lt.positions`, one per line.
pub(crate) fn checkpoint(data: &[u8]) {
    let (mut positions, mut starts) = (Positions::new("a.b"), Starts::new("lt.a.live", 0));
    for (offset, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let Ok(record) = PositionRecord::decode(line) else { continue };
        let again = record.encode().expect("what was read can be written");
        assert_eq!(PositionRecord::decode(&again).as_ref(), Ok(&record));
        // A checkpoint without its claim is refused, not a defect.
        let _refused = positions.observe(offset as i64, record.clone());
        starts.observe(offset as i64, record);
    }
    for wanted in [i64::MIN, 0, 5, i64::MAX] {
        let _place = starts.choose(wanted, (0, 10));
        let _none = starts.choose(wanted, (i64::MAX, i64::MIN));
    }
}

/// Partial dates, days and times.
pub(crate) fn dates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(partial) = PartialDate::parse(text) {
        assert_eq!(partial.to_text(), text);
    }
    if let Some(days) = date::parse_date(text) {
        let mut again = String::new();
        date::format_date(days, &mut again);
        assert_eq!(date::parse_date(&again), Some(days));
    }
    if let Some(micros) = date::parse_timestamp(text) {
        let mut again = String::new();
        date::format_timestamp(micros, &mut again);
        assert_eq!(date::parse_timestamp(&again), Some(micros));
    }
}

/// The files of a site: `lienthong.yaml`, a ministry's and an agreement, parted by a line of `%%%`.
pub(crate) fn site(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["ministries", "agreements"] {
        std::fs::create_dir(folder.path().join(part)).expect("a folder");
    }
    let text = String::from_utf8_lossy(data);
    let names = ["lienthong.yaml", "ministries/a.yaml", "agreements/b.yaml"];
    for (part, name) in text.split("\n%%%\n").zip(names) {
        std::fs::write(folder.path().join(name), part).expect("a file");
    }
    let none = lienthong_site::Overrides { log: None };
    if let Err(problems) = lienthong_site::Site::load(folder.path(), &none) {
        assert!(!problems.is_empty(), "a refusal has its reasons");
    }
}

fn datums() -> Vec<Vec<u8>> {
    // A count that promises more than there is, lists in blocks, a union's branch, text.
    let pieces: [&[u8]; 4] =
        [&[0x80, 0x80, 0x80, 0x80, 0x80, 0x40], &[2, 0, 4, b'a', b'b', 0], &[2, 2, 2, 2], &[20; 40]];
    (0..contracts().len() as u8).flat_map(|choice| pieces.map(|piece| [&[choice], piece].concat())).collect()
}

fn records() -> Vec<Vec<u8>> {
    let target = lienthong_log::TopicPartition { topic: "lt.a.live".into(), partition: 0 };
    let mut batch = lienthong_log::Batch::default();
    for value in [b"v".as_slice(), &[0, 0, 0, 0, 7, 2, 4], &[9; 300]] {
        let headers: [(&'static str, &[u8]); 3] =
            [("ce_id", b"1"), ("ce_writerepoch", b"3"), ("ce_partitionsequence", b"12")];
        batch
            .push(&target, &lienthong_log::record::NewRecord { key: b"k", headers: &headers, value, time: 5 })
            .expect("it fits");
    }
    batch.parts.iter().map(|part| part.body.to_vec()).collect()
}

fn frames() -> Vec<Vec<u8>> {
    vec![vec![0, 0, 0, 0, 7, 1, 2], vec![0, 0xff, 0xff, 0xff, 0xff], vec![1, 0, 0, 0, 0], vec![0; 4]]
}

fn controls() -> Vec<Vec<u8>> {
    let participant = lienthong_contract::participant::ParticipantId::new("a.b").expect("a name");
    let facts = ControlFacts { participant: &participant, epoch: 7, partition: 0, time: 1, schema_id: 2 };
    [ControlRecord::fence(&facts), ControlRecord::heartbeat(&facts, 9)]
        .map(|record| {
            let lines = record.headers.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat());
            lines.collect::<Vec<_>>().join(&b'\n')
        })
        .into()
}

fn positions() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"sqlite":1,"of":"1","id":5,"time":7,"loaded":["a"],"snap":{"run":"r","table":"b","after":null}}"#,
        r#"{"v":1,"of":"1","lost":0,"from":"1:5:","to":null,"id":5,"loaded":["public.a"],"snap":null}"#,
        r#"{"v":1,"log":"1","end":16,"split":{"commit":24,"given":3},"loaded":[{"table":"public.a","oid":7}],"snap":{"run":"r","table":{"table":"public.b","oid":8},"after":["x"]}}"#,
        r#"{"sqlite":2,"of":"1"}"#,
        "10:20:10,14,15",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

fn stream_messages() -> Vec<Vec<u8>> {
    let messages: [&[u8]; 11] = [
        b"B\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03",
        b"C\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
        b"R\0\0\0\x09public\0person\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0name\0\0\0\0\x19\xff\xff\xff\xff",
        b"I\0\0\0\x09N\0\x02t\0\0\0\x017b\0\0\0\x02An",
        b"I\0\0\0\x09N\0\x04t\0\0\0\x19[0:1]={a,\"b\\\"c\",NULL,{d}}t\0\0\0\x132026-09-07 03:02:11t\0\0\0\x06\\x00fft\0\0\0\x06[[{}]]",
        b"I\0\0\0\x09N\0\x02b\0\0\0\x0c\0\x02\0\0\x40\0\0\x02\0\x01\x08\xfcb\0\0\0\x0c\0\0\0\0\0\0\0\x01\xff\xff\x9d\x90",
        b"I\0\0\0\x09N\0\x01b\0\0\0\x1e\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x02ab\xff\xff\xff\xff",
        b"U\0\0\0\x09K\0\x02t\0\0\0\x017nN\0\x02t\0\0\0\x018u",
        b"D\0\0\0\x09O\0\x02t\0\0\0\x017n",
        b"T\0\0\0\x02\x03\0\0\0\x09\0\0\0\x0a",
        b"M\x01\0\0\0\0\0\0\0\x01prefix\0\0\0\0\x02ab",
    ];
    assert!(messages.into_iter().all(lienthong_connectors::is_stream_message));
    messages.map(<[u8]>::to_vec).into()
}

fn checkpoints() -> Vec<Vec<u8>> {
    let claim = r#"{"kind":"claim","participant":"a.b","time":1}"#;
    let made = r#"{"kind":"checkpoint","participant":"a.b","epoch":0,"number":1,"body":{"position":"p","lineage":{"parts":[["s","1"]]},"lineage_epoch":1,"counter":4},"partitions":[{"topic":"lt.a.live","partition":0,"epoch":0,"next_offset":5,"sequence":3}]}"#;
    vec![format!("{claim}\n{made}").into_bytes(), format!("{made}\n{claim}\n{made}").into_bytes()]
}

fn texts_of_dates() -> Vec<Vec<u8>> {
    let texts = [
        "1995",
        "1995-03",
        "1995-03-07",
        "0001-01-01",
        "9999-12-31",
        "2024-02-29",
        "1995-03-07T10:11:12.123456Z",
        "1995-XX",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

fn sites() -> Vec<Vec<u8>> {
    let head = "site: vn.test\nlog: sqlite:var/l.db\nkeys: {subject: \"${file:k}\", seal: \"${env:NONE}\"}\npaths: {ministries: ministries, agreements: agreements}\n";
    let ministry =
        "participant: a.b\norganisation: A\nsource: {kind: sqlite, url: \"sqlite:a.db\"}\npublishes: []\n";
    let agreement = "agreement: c.d/1\nsubscriber: c.d\npurpose: P3\nvalid: {from: 2026-01-01}\ntarget: {kind: sqlite, url: \"sqlite:c.db\"}\ndelivers: []\n";
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d, *d, *d]\n";
    let deep = format!("site: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    [
        format!("{head}\n%%%\n{ministry}\n%%%\n{agreement}"),
        bomb.to_owned(),
        deep,
        format!("{head}\n%%%\n{bomb}"),
    ]
    .map(String::into_bytes)
    .into()
}
