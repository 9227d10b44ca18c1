//! A subscribing database, and deliveries made of owned values.

use anyhow::{Context as _, Result};
use bumpalo::Bump;
use lienthong_connectors::{TargetConfig, open_sink, sink_admin};
use lienthong_contract::Cell;
use lienthong_contract::keys::{HashKey, KeyHash};
use lienthong_contract::sink::{
    Action, Applied, Delivery, GroupWrite, KeyWrite, LaneMove, LanePartition, OffsetState, ReceiptBody,
    Revokes, Sink, SinkError,
};
use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, TargetTable, VersionStore};
use lienthong_testkit::database::Database;

use crate::kind::Kind;
use crate::target_types::TargetTypes;

/// A row's values as texts.
pub(crate) type Row = Vec<Option<String>>;

/// A value to write; an integer column takes its digits.
pub(crate) type Value = Option<String>;

/// A group's values.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) group: usize,
    pub(crate) version: String,
    pub(crate) record: Option<String>,
    pub(crate) values: Vec<Value>,
}

/// Groups of the event that is revoked, and its record.
pub(crate) type Revoked = (Vec<usize>, String);

/// What a write does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Upsert(Vec<Part>),
    Update(Vec<Part>),
    Delete { version: String, revokes: Option<Revoked> },
    Void { at: i64, version: String, revokes: Option<Revoked> },
    Clear { group: usize, version: String, revokes: Option<String> },
}

/// One key's write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) table: usize,
    pub(crate) key: Vec<String>,
    pub(crate) deed: Deed,
}

/// The tables of the suite: `insured` in the ledger with two groups of the family that creates its rows and one of another family,
/// `visits` with versions in a column.
pub(crate) const INSURED: usize = 0;
/// See [`INSURED`].
pub(crate) const VISITS: usize = 1;

/// A version that sorts as its number.
pub(crate) fn version(number: u32) -> String {
    format!("{number:08}")
}

/// A part of the group, of a version, without record.
pub(crate) fn part(group: usize, number: u32, values: &[&str]) -> Part {
    let values = values.iter().map(|&value| Some(value.to_owned())).collect();
    Part { group, version: version(number), record: None, values }
}

/// A write of the key `pin` in `insured`.
pub(crate) fn insured(pin: &str, deed: Deed) -> Write {
    Write { table: INSURED, key: vec![pin.to_owned()], deed }
}

/// Both groups of `insured` at one version.
pub(crate) fn person(pin: &str, number: u32, name: &str) -> Write {
    insured(pin, Deed::Upsert(vec![part(0, number, &[name, "1"]), part(1, number, &[name])]))
}

fn column(name: &str, kind: CellKind) -> TargetColumn {
    TargetColumn { name: name.to_owned(), kind }
}

/// A group of columns, named by its first.
pub(crate) fn group(columns: &[(&str, CellKind)], decides_row: bool) -> ColumnGroup {
    let columns: Vec<TargetColumn> = columns.iter().map(|(name, kind)| column(name, *kind)).collect();
    ColumnGroup { name: columns[0].name.clone(), columns, decides_row }
}

/// The column of `soft` is written with the values of a group, always as null, as an agreement has it; parts do not tell it.
const VOIDED: (&str, CellKind) = ("voided_at", CellKind::Timestamp);

/// How many values a part of the group tells.
pub(crate) fn told(group: &ColumnGroup) -> usize {
    group.columns.iter().filter(|column| column.name != VOIDED.0).count()
}

/// The two target tables.
pub(crate) fn tables() -> Vec<TargetTable> {
    vec![
        TargetTable {
            table: "insured".to_owned(),
            key: vec![column("pin", CellKind::Text)],
            groups: vec![
                group(&[("name", CellKind::Text), ("children", CellKind::Integer)], true),
                group(&[("address", CellKind::Text), VOIDED], true),
                group(&[("street", CellKind::Text)], false),
            ],
            version: VersionStore::Ledger,
        },
        TargetTable {
            table: "visits".to_owned(),
            key: vec![column("place", CellKind::Text), column("number", CellKind::Integer)],
            groups: vec![group(&[("note", CellKind::Text), ("weight", CellKind::Integer), VOIDED], true)],
            version: VersionStore::Column("lienthong_version".to_owned()),
        },
    ]
}

/// The two tables as a subscriber makes them; `name` refuses one word, so that a test can poison a row.
pub(crate) fn create_tables<K: TargetTypes>() -> [String; 2] {
    let (text, integer) = (K::column_type(CellKind::Text), K::column_type(CellKind::Integer));
    let time = K::column_type(CellKind::Timestamp);
    [
        format!(
            "create table insured (pin {text} not null primary key, name {text}, children {integer}, address {text}, \
             street {text}, voided_at {time}, mine {text} default 'own', constraint no_poison check (name is null or name not like 'poison%'))"
        ),
        format!(
            "create table visits (place {text} not null, number {integer} not null, note {text}, weight {integer}, \
             voided_at {time}, lienthong_version {text}, primary key (place, number))"
        ),
    ]
}

/// The subscriber's side.
pub(crate) struct Subscriber<K> {
    pub(crate) kind: K,
    pub(crate) owner: Database,
    pub(crate) config: TargetConfig,
    pub(crate) tables: Vec<TargetTable>,
}

impl<K: Kind + TargetTypes> Subscriber<K> {
    /// A database with the suite's tables and those of the bus.
    pub(crate) async fn new() -> Result<Self> {
        let subscriber = Self::with(tables(), &create_tables::<K>()).await?;
        subscriber.prepare().await?;
        Ok(subscriber)
    }

    /// A database with other tables and without those of the bus.
    pub(crate) async fn with(tables: Vec<TargetTable>, setup: &[String]) -> Result<Self> {
        let kind = K::create().await?;
        let mut owner = Database::open(&kind.url()).await?;
        owner.run(setup).await?;
        let config = TargetConfig { name: "vss.test".to_owned(), database: kind.database() };
        Ok(Self { kind, owner, config, tables })
    }

    pub(crate) async fn prepare(&self) -> Result<()> {
        Ok(sink_admin(&self.config).prepare().await?)
    }

    pub(crate) fn sink(&self) -> Box<dyn Sink> {
        open_sink(&self.config, self.tables.clone())
    }

    /// Rows of a query, all columns texts already, sorted.
    pub(crate) async fn query(&mut self, query: &str) -> Result<Vec<Row>> {
        let mut rows = self.owner.rows(query).await?;
        rows.sort();
        Ok(rows)
    }

    /// `insured` without `voided_at`.
    pub(crate) async fn insured(&mut self) -> Result<Vec<Row>> {
        self.query("select pin, name, cast(children as text), address from insured").await
    }

    /// `insured` with the other family's column, without `voided_at`.
    pub(crate) async fn housed(&mut self) -> Result<Vec<Row>> {
        self.query("select pin, name, cast(children as text), address, street from insured").await
    }

    /// `visits` without `voided_at`.
    pub(crate) async fn visits(&mut self) -> Result<Vec<Row>> {
        self.query(
            "select place, cast(number as text), note, cast(weight as text), lienthong_version from visits",
        )
        .await
    }

    /// How many rows a table has.
    pub(crate) async fn count(&mut self, table: &str) -> Result<usize> {
        let rows = self.query(&format!("select cast(count(*) as text) from {table}")).await?;
        Ok(rows[0][0].as_deref().context("a count")?.parse()?)
    }

    /// Everything that a delivery may change, to be compared before and after.
    pub(crate) async fn everything(&mut self) -> Result<Vec<Vec<Row>>> {
        let hash = K::hex("key_hash");
        let queries = [
            "select pin, name, cast(children as text), address, street, cast(voided_at as text), mine from insured".to_owned(),
            "select place, cast(number as text), note, lienthong_version, cast(voided_at as text) from visits".to_owned(),
            format!("select table_name, {hash}, cast(entry as text) from lienthong_version"),
            "select topic, cast(partition as text), cast(last_offset as text) from lienthong_receipt".to_owned(),
            "select topic, cast(partition as text), cast(next_offset as text) from lienthong_offset".to_owned(),
        ];
        let mut all = Vec::new();
        for query in queries {
            all.push(self.query(&query).await?);
        }
        Ok(all)
    }

    /// A worker of partition 0.
    pub(crate) fn worker(&self) -> Worker {
        self.worker_of(0)
    }

    pub(crate) fn worker_of(&self, partition: i32) -> Worker {
        Worker { sink: self.sink(), tables: self.tables.clone(), lane: lane(partition) }
    }
}

/// One lane partition's worker with a sink of its own.
pub(crate) struct Worker {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) tables: Vec<TargetTable>,
    pub(crate) lane: LanePartition,
}

impl Worker {
    pub(crate) async fn offset(&mut self) -> Result<Option<OffsetState>, SinkError> {
        self.sink.offset(&self.lane).await
    }

    /// Delivers one round from the present offset on, with a receipt.
    pub(crate) async fn deliver(&mut self, writes: &[Write]) -> Result<Applied, SinkError> {
        self.deliver_rounds(&[writes.to_vec()]).await
    }

    /// Delivers rounds from the present offset on, with a receipt.
    pub(crate) async fn deliver_rounds(&mut self, rounds: &[Vec<Write>]) -> Result<Applied, SinkError> {
        let expected = self.offset().await?;
        let next = after(expected, rounds.iter().map(Vec::len).sum());
        self.apply(expected, next, rounds, true).await
    }

    /// One delivery, exactly as asked.
    pub(crate) async fn apply(
        &mut self,
        expected: Option<OffsetState>,
        next: OffsetState,
        rounds: &[Vec<Write>],
        receipt: bool,
    ) -> Result<Applied, SinkError> {
        let step = Step { lane: self.lane.clone(), expected, next, receipt };
        self.together(&[step], rounds).await
    }

    /// Where each partition stands and where it stands after so many records more; each is to leave a receipt.
    pub(crate) async fn steps(&mut self, partitions: &[i32], records: usize) -> Result<Vec<Step>, SinkError> {
        let mut steps = Vec::new();
        for partition in partitions {
            let lane = lane(*partition);
            let expected = self.sink.offset(&lane).await?;
            steps.push(Step { lane, expected, next: after(expected, records), receipt: true });
        }
        Ok(steps)
    }

    /// One delivery of several lanes, exactly as asked.
    pub(crate) async fn together(
        &mut self,
        steps: &[Step],
        rounds: &[Vec<Write>],
    ) -> Result<Applied, SinkError> {
        let arena = Bump::new();
        let rounds: Vec<Vec<KeyWrite<'_>>> = rounds
            .iter()
            .map(|round| round.iter().map(|write| key_write(&self.tables, write, &arena)).collect())
            .collect();
        let count = u32::try_from(rounds.iter().map(Vec::len).sum::<usize>()).expect("few writes");
        let subjects = [KeyHash([1; 16]), KeyHash([0xab; 16])];
        let body = |step: &Step| ReceiptBody {
            offsets: (step.expected.unwrap_or(OffsetState::START).next_offset, step.next.next_offset - 1),
            writer_epoch: step.next.epoch,
            events: (count + 1, count),
            times: (1_700_000_000_000_001, 1_700_000_000_999_999),
            agreement: "vss.test/2026-01",
            key_id: "0011aabb",
            subjects: &subjects,
        };
        let bodies: Vec<Option<ReceiptBody<'_>>> =
            steps.iter().map(|step| step.receipt.then(|| body(step))).collect();
        let lanes: Vec<LaneMove<'_>> = steps
            .iter()
            .zip(&bodies)
            .map(|(Step { lane, expected, next, .. }, body)| LaneMove {
                lane,
                expected: *expected,
                next: *next,
                receipt: body.as_ref(),
            })
            .collect();
        self.sink.apply(&Delivery { lanes: &lanes, rounds: &rounds }).await
    }
}

/// One lane's part in a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) lane: LanePartition,
    pub(crate) expected: Option<OffsetState>,
    pub(crate) next: OffsetState,
    pub(crate) receipt: bool,
}

/// A lane partition of the suite.
pub(crate) fn lane(partition: i32) -> LanePartition {
    LanePartition {
        subscription: "vss.test/civil_status".to_owned(),
        topic: "lt.civil_status.live".to_owned(),
        partition,
    }
}

/// The offset row after so many records more.
pub(crate) fn after(expected: Option<OffsetState>, records: usize) -> OffsetState {
    let from = expected.unwrap_or(OffsetState::START);
    let records = u32::try_from(records.max(1)).expect("few records");
    OffsetState {
        next_offset: from.next_offset + i64::from(records),
        epoch: from.epoch.max(3),
        sequence: from.sequence + u64::from(records),
        fresh_through: from.fresh_through + 1,
    }
}

/// The keyed hash of a key.
pub(crate) fn key_hash(table: usize, key: &[String]) -> KeyHash {
    let table = table.to_string();
    let parts: Vec<&[u8]> =
        std::iter::once(table.as_bytes()).chain(key.iter().map(String::as_bytes)).collect();
    HashKey::new([9; 32]).hash(&parts)
}

fn cell<'a>(value: Option<&str>, kind: CellKind, arena: &'a Bump) -> Cell<'a> {
    match (value, kind) {
        (None, _) => Cell::Null,
        (Some(digits), CellKind::Integer) => Cell::I64(digits.parse().expect("an integer")),
        (Some(text), _) => Cell::Str(arena.alloc_str(text)),
    }
}

fn key_write<'a>(tables: &[TargetTable], write: &'a Write, arena: &'a Bump) -> KeyWrite<'a> {
    let table = &tables[write.table];
    let key = table.key.iter().zip(&write.key).map(|(column, value)| cell(Some(value), column.kind, arena));
    let key = arena.alloc_slice_fill_iter(key.collect::<Vec<_>>());
    let parts = |parts: &'a [Part]| -> Vec<GroupWrite<'a>> {
        let write = |part: &'a Part| {
            let columns = &table.groups[part.group].columns;
            let values = part.values.iter().map(Option::as_deref).chain(std::iter::repeat(None));
            let cells = columns.iter().zip(values).map(|(column, value)| cell(value, column.kind, arena));
            let values = arena.alloc_slice_fill_iter(cells.collect::<Vec<_>>());
            GroupWrite { group: part.group, version: &part.version, record: part.record.as_deref(), values }
        };
        parts.iter().map(write).collect()
    };
    let revoked =
        |revokes: &'a Option<Revoked>| revokes.as_ref().map(|(groups, record)| Revokes { record, groups });
    let action = match &write.deed {
        Deed::Upsert(list) => Action::Upsert(parts(list)),
        Deed::Update(list) => Action::Update(parts(list)),
        Deed::Delete { version, revokes } => Action::Delete { version, revokes: revoked(revokes) },
        Deed::Void { at, version, revokes } => {
            Action::Void { group: None, column: "voided_at", at: *at, version, revokes: revoked(revokes) }
        }
        Deed::Clear { group, version, revokes } => {
            Action::Clear { group: *group, version, revokes: revokes.as_deref() }
        }
    };
    KeyWrite { table: write.table, key_hash: key_hash(write.table, &write.key), key, action }
}

/// A row of texts.
pub(crate) fn row(values: &[&str]) -> Row {
    values.iter().map(|&value| Some(value.to_owned())).collect()
}
