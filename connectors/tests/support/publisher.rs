//! A publishing database and a reader of its changes.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_connectors::{DEFAULT_OUTBOX, SourceConfig, open_source, source_admin};
use lienthong_contract::aside::SetAside;
use lienthong_contract::keys::HashKey;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::source::{
    BrokenValue, Place, PollLimit, Polled, RowChange, RowOp, RowVisitor, Source, SourceAdmin, SourceError,
    TableCapture,
};
use lienthong_contract::{Cell, date};
use lienthong_testkit::database::Database;

use crate::kind::Kind;

/// A row's values as texts.
pub(crate) type Row = Vec<Option<String>>;

/// One change, copied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) table: usize,
    pub(crate) op: RowOp,
    pub(crate) id: String,
    pub(crate) moved_from: Option<String>,
    pub(crate) time: i64,
    pub(crate) place: Option<Place>,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
    /// Kinds of the cells of `after`, else of `before`.
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) broken: Vec<BrokenValue>,
    /// Columns that were looked up.
    pub(crate) looked_up: Vec<usize>,
}

/// A cell as text, one form per kind.
pub(crate) fn show(cell: &Cell<'_>) -> Option<String> {
    let mut text = String::new();
    match cell {
        Cell::Null => return None,
        Cell::Bool(value) => text = value.to_string(),
        Cell::I64(value) | Cell::Time(value) => text = value.to_string(),
        Cell::F64(value) => text = value.to_string(),
        Cell::Decimal(value) => {
            let sign = if value.unscaled.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
            let unscaled = value.unscaled.iter().fold(sign, |sum: i128, byte| sum << 8 | i128::from(*byte));
            text = format!("{unscaled}e-{}", value.scale);
        }
        Cell::Str(value) => text = (*value).to_owned(),
        Cell::Bytes(bytes) => text = bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Cell::Uuid(bytes) => text = bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Cell::Date(days) => date::format_date(*days, &mut text),
        Cell::Timestamp(micros) => date::format_timestamp(*micros, &mut text),
        Cell::List(items) => text = format!("{:?}", items.iter().map(show).collect::<Vec<_>>()),
    }
    Some(text)
}

/// One change of a table that is set aside, copied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) table: String,
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) key: Row,
    pub(crate) rule: String,
    pub(crate) content: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Collector(pub(crate) Vec<Change>, Vec<Kept>);

impl RowVisitor for Collector {
    fn row(&mut self, row: &RowChange<'_>) {
        let copy = |cells: Option<&[Cell<'_>]>| cells.map(|cells| cells.iter().map(show).collect());
        let shown = row.after.or(row.before).unwrap_or_default();
        self.0.push(Change {
            table: row.table,
            op: row.op,
            id: row.id.to_owned(),
            moved_from: row.moved_from.map(str::to_owned),
            time: row.time,
            place: row.place,
            before: copy(row.before),
            after: copy(row.after),
            kinds: shown.iter().map(Cell::kind).collect(),
            broken: row.broken.to_vec(),
            looked_up: row.looked_up.to_vec(),
        });
    }

    fn aside(&mut self, change: &SetAside<'_>) {
        self.1.push(Kept {
            table: change.table.to_owned(),
            id: change.id.to_owned(),
            place: change.place,
            key: change.key.iter().map(show).collect(),
            rule: change.rule.to_owned(),
            content: change.content.to_vec(),
        });
    }
}

/// The owner's side: the database and the tables that are captured.
pub(crate) struct Publisher<K> {
    pub(crate) kind: K,
    pub(crate) owner: Database,
    pub(crate) config: SourceConfig,
    pub(crate) tables: Vec<TableCapture>,
}

/// What is captured of a table with the key in its first column.
pub(crate) fn capture(table: &str, columns: &[&str]) -> TableCapture {
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    TableCapture::new(table, columns[..1].to_vec(), columns)
}

/// For what is named by keyed digests.
pub(crate) fn secret() -> HashKey {
    HashKey::new([7; 32])
}

/// The usual table.
pub(crate) const PERSON: &str =
    "create table person (id integer primary key not null, name text, rev integer not null)";

impl<K: Kind> Publisher<K> {
    /// A database in which `setup` has run and nothing is prepared.
    pub(crate) async fn new(setup: &[&str], tables: Vec<TableCapture>) -> Result<Self> {
        let kind = K::create().await?;
        let owner = Database::open(&kind.url()).await?;
        let config = SourceConfig {
            name: "test.source".to_owned(),
            database: kind.database(),
            capture: kind.capture(),
        };
        let mut created = Self { kind, owner, config, tables };
        created.run(setup).await?;
        created.kind.make_fit(&created.tables).await?;
        Ok(created)
    }

    /// The usual table with `count` rows in it, prepared after that.
    pub(crate) async fn person(count: u32) -> Result<Self> {
        let rows: Vec<String> =
            (0..count).map(|id| format!("insert into person values ({id}, 'name {id}', 0)")).collect();
        let mut setup = vec![PERSON];
        setup.extend(rows.iter().map(String::as_str));
        let created = Self::new(&setup, vec![capture("person", &["id", "name", "rev"])]).await?;
        created.prepare().await?;
        Ok(created)
    }

    pub(crate) fn admin(&self) -> Box<dyn SourceAdmin> {
        source_admin(&self.config, self.tables.clone())
    }

    pub(crate) async fn prepare(&self) -> Result<()> {
        self.kind.make_fit(&self.tables).await?;
        Ok(self.admin().prepare().await?)
    }

    /// Runs statements as the owner, in one transaction.
    pub(crate) async fn run(&mut self, statements: &[&str]) -> Result<()> {
        let statements: Vec<String> = statements.iter().map(|&statement| statement.to_owned()).collect();
        self.owner.run(&statements).await
    }

    pub(crate) fn source(&self) -> Box<dyn Source> {
        open_source(&self.config, self.tables.clone(), &secret())
    }

    /// An open source, sought.
    pub(crate) async fn reader(&self, from: Option<&Position>) -> Result<Reader> {
        Reader::open(self.source(), from).await
    }

    /// The captured columns of all captured tables, by table and key.
    pub(crate) async fn state(&mut self) -> Result<State> {
        let mut state = State::new();
        for (index, table) in self.tables.clone().iter().enumerate() {
            let columns: Vec<String> =
                table.columns.iter().map(|column| format!("cast(\"{column}\" as text)")).collect();
            let name = table.table.replace('.', "\".\"");
            let query = format!("select {} from \"{name}\"", columns.join(", "));
            for row in self.owner.rows(&query).await? {
                state.insert((index, key(table, &row)), row);
            }
        }
        Ok(state)
    }

    /// Rows in the outbox.
    pub(crate) async fn outbox_rows(&mut self) -> Result<u64> {
        let query = format!("select cast(count(*) as text) from {DEFAULT_OUTBOX}");
        let rows = self.owner.rows(&query).await?;
        Ok(rows[0][0].as_deref().context("a count")?.parse()?)
    }

    /// Replays everything that `reader` has seen, strictly, and compares it with the tables.
    pub(crate) async fn assert_replays(&mut self, reader: &Reader) -> Result<()> {
        let mut replay = Replay::default();
        replay.take(&self.tables, &reader.changes)?;
        let state = self.state().await?;
        ensure!(
            replay.rows == state,
            "the replay has {} rows, the tables {}, or others",
            replay.rows.len(),
            state.len()
        );
        Ok(())
    }
}

/// Rows by (table, key).
pub(crate) type State = BTreeMap<(usize, Row), Row>;

/// A row's key.
pub(crate) fn key(table: &TableCapture, row: &Row) -> Row {
    let place = |name: &String| {
        table.columns.iter().position(|column| column == name).expect("a key column is captured")
    };
    table.key.iter().map(|name| row[place(name)].clone()).collect()
}

/// An open source and everything that it has given out.
pub(crate) struct Reader {
    pub(crate) source: Box<dyn Source>,
    pub(crate) lineage: Lineage,
    pub(crate) changes: Vec<Change>,
    /// What was set aside.
    pub(crate) kept: Vec<Kept>,
    /// Each poll's position, with the number of changes given out by then.
    pub(crate) positions: Vec<(Position, usize)>,
}

impl Reader {
    /// Opens and seeks. A server gives the lock of a connection that was dropped back only when it notices, so this waits for that.
    pub(crate) async fn open(mut source: Box<dyn Source>, from: Option<&Position>) -> Result<Self> {
        let began = Instant::now();
        let lineage = loop {
            match source.open().await {
                Err(SourceError::Held { .. }) if began.elapsed() < Duration::from_secs(10) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                opened => break opened?,
            }
        };
        source.seek(from).await?;
        Ok(Self { source, lineage, changes: Vec::new(), kept: Vec::new(), positions: Vec::new() })
    }

    /// One poll.
    pub(crate) async fn poll(&mut self, rows: usize) -> Result<Polled, SourceError> {
        let mut collector = Collector::default();
        let polled = self.source.poll(PollLimit { rows }, &mut collector).await?;
        assert_eq!(polled.rows, collector.0.len() + collector.1.len(), "a poll counts its rows");
        self.kept.append(&mut collector.1);
        self.changes.append(&mut collector.0);
        self.positions.push((polled.position.clone(), self.changes.len()));
        Ok(polled)
    }

    /// Polls until it has caught up, and gives the changes that came.
    pub(crate) async fn catch_up(&mut self, rows: usize) -> Result<Vec<Change>> {
        let begin = self.changes.len();
        for _ in 0..100_000 {
            if self.poll(rows).await?.caught_up {
                return Ok(self.changes[begin..].to_vec());
            }
        }
        bail!("it never catches up")
    }

    /// The last poll's position.
    pub(crate) fn position(&self) -> Position {
        self.positions.last().expect("it has been polled").0.clone()
    }
}

/// Applies changes one by one, each of which must fit what went before.
#[derive(Clone, Default)]
pub(crate) struct Replay {
    pub(crate) rows: State,
    /// Rows that have been there or gone; of the others a first load has still to tell.
    met: HashSet<(usize, Row)>,
    ids: HashSet<String>,
}

impl Replay {
    /// Takes changes in their order.
    pub(crate) fn take(&mut self, tables: &[TableCapture], changes: &[Change]) -> Result<()> {
        for (at, change) in changes.iter().enumerate() {
            self.one(&tables[change.table], change).with_context(|| format!("change {at}: {change:?}"))?;
        }
        Ok(())
    }

    fn one(&mut self, table: &TableCapture, change: &Change) -> Result<()> {
        ensure!(self.ids.insert(change.id.clone()), "an id comes twice");
        let row = change.after.as_ref().or(change.before.as_ref()).context("a change has a row")?;
        let place = (change.table, key(table, row));
        let known = self.rows.get(&place);
        let loaded = self.met.contains(&place);
        ensure!(
            change.before.is_none() || known == change.before.as_ref() || !loaded,
            "`before` is not what came last"
        );
        match change.op {
            RowOp::Insert => {
                ensure!(change.before.is_none() && known.is_none(), "an insert of a row that is there")
            }
            RowOp::Update => ensure!(change.before.is_some() && change.after.is_some(), "an update has both"),
            RowOp::Delete => {
                ensure!(change.before.is_some() && change.after.is_none(), "a delete has `before` only")
            }
            RowOp::Snapshot => {
                ensure!(change.before.is_none(), "a snapshot row has `after` only");
                ensure!(
                    !loaded || known == change.after.as_ref(),
                    "a snapshot row stands where it was not read"
                );
            }
        }
        if let (Some(before), Some(after)) = (&change.before, &change.after) {
            ensure!(key(table, before) == key(table, after), "an update changes a key");
        }
        self.met.insert(place.clone());
        match &change.after {
            Some(after) => self.rows.insert(place, after.clone()),
            None => self.rows.remove(&place),
        };
        Ok(())
    }
}

/// Ids, sorted.
pub(crate) fn sorted_ids(changes: &[Change]) -> Vec<&str> {
    let mut ids: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Operations in their order.
pub(crate) fn ops(changes: &[Change]) -> Vec<RowOp> {
    changes.iter().map(|change| change.op).collect()
}

/// A row of texts.
pub(crate) fn row(values: &[&str]) -> Option<Row> {
    Some(values.iter().map(|&value| Some(value.to_owned())).collect())
}
