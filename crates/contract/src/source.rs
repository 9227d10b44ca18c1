//! The door of a database that publishes.

use std::time::Duration;

use async_trait::async_trait;
use lienthong_schemas::Cell;

use crate::aside::{AsideTable, Mending, SetAside};
use crate::load::{LoadProgress, LoadRequest};
use crate::position::{Lineage, Position};
use crate::predicate::PredicateType;
use crate::retained::{AtBound, RetainedLog, Size};

/// What is captured from one table, computed from the participant's YAML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCapture {
    /// Table name as written in the YAML, with schema where the kind has schemas (`public.birth_registration`).
    pub table: String,
    /// Columns that identify a row; never null.
    pub key: Vec<String>,
    /// Columns whose values are needed, the key's among them, in the order in which cells are given.
    pub columns: Vec<String>,
    /// A log need not hold rows as they were before a change, but for their key. Of a changed row nothing but the key is told of before,
    /// of a deleted one nothing but the key at all, and what a change leaves out is looked up by the key. So neither conditions nor
    /// subjects may be read from other columns.
    pub look_up: bool,
    /// Values that rows take from other tables. Their cells stand behind those of `columns`, the same on both sides of a change.
    pub joins: Vec<Join>,
}

/// A value that a row takes from another table, where it is looked up when the row is read; null where no row is found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The other table, as written in the YAML.
    pub table: String,
    /// Columns of it that are unique together, each with the place, among [`TableCapture::columns`], of the column whose value it has.
    pub by: Vec<(String, usize)>,
    /// The column whose value is taken.
    pub take: String,
    /// File, line and column where it is written.
    pub place: String,
}

impl TableCapture {
    /// A table whose rows come whole, as they are and as they were.
    #[must_use]
    pub fn new(table: &str, key: Vec<String>, columns: Vec<String>) -> Self {
        Self { table: table.to_owned(), key, columns, look_up: false, joins: Vec::new() }
    }

    /// A name for each of a row's cells.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let joined = self.joins.iter().map(|join| format!("{}.{}", join.table, join.take));
        self.columns.iter().cloned().chain(joined).collect()
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOp {
    /// A row came into being: `after` only.
    Insert,
    /// A row changed, its key did not (a key change is a delete and an insert): `before` and `after`.
    Update,
    /// A row is gone: `before` only.
    Delete,
    /// A row that was there already, read by the first load: `after` only.
    Snapshot,
}

/// Where a change stands in the log of its database, for sources that know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The log's own number of the transaction's commit.
    pub lsn: u64,
    /// Which change of the transaction; of a row that the first load read, the highest there is.
    pub index: u32,
}

/// One changed row, borrowed from the source's buffer for the time of one call.
#[derive(Debug)]
pub struct RowChange<'a> {
    /// Index into the source's list of [`TableCapture`].
    pub table: usize,
    /// What happened.
    pub op: RowOp,
    /// Text that names this change uniquely and for ever within the source's lineage: the same change read again has
    /// the same text. A snapshot row's text is made from the run and a digest of the key, never from the key itself.
    pub id: &'a str,
    /// Of an insert that a changed key made: the id of the delete that came just before it; `None` where the source cannot tell.
    pub moved_from: Option<&'a str>,
    /// Commit time in microseconds since 1970 UTC; for a snapshot row the time of reading.
    pub time: i64,
    /// Orders the changes of one source row, whoever reads them and how often; `None` where the database keeps no such order, so that
    /// they are numbered as they come. A source gives it for all of its rows or for none.
    pub place: Option<Place>,
    /// Cells in the order of [`TableCapture::columns`], then of [`TableCapture::joins`].
    pub before: Option<&'a [Cell<'a>]>,
    /// The same.
    pub after: Option<&'a [Cell<'a>]>,
    /// Every value that could not be read as a cell; the cell is null then. What needs such a value must go to quarantine.
    pub broken: &'a [BrokenValue],
    /// Indexes into the row's cells, in order: what stands there was looked up, and is of a later position than the change.
    pub looked_up: &'a [usize],
}

/// A table that was emptied as a whole. Which rows it had, its source does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emptied {
    /// Index into the source's list of [`TableCapture`].
    pub table: usize,
    /// As [`RowChange::id`]; those of the rows' deletions begin with it.
    pub id: String,
    /// Commit time in microseconds since 1970 UTC.
    pub time: i64,
    /// Where it stands in the log of its database.
    pub place: Place,
}

/// What becomes of a captured table that is emptied as a whole, where its source cannot tell the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenEmptied {
    /// The connector stops.
    #[default]
    Refuse,
    /// Every row that the log of the bus knows is deleted.
    Delete,
}

/// Whether a value is of the row before the change or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// [`RowChange::before`].
    Before,
    /// [`RowChange::after`].
    After,
}

/// A value in the source that no cell can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenValue {
    /// Where it stood.
    pub side: Side,
    /// Index into the row's cells.
    pub column: usize,
    /// Short rule name, such as `not-a-number` or `infinite-date`.
    pub rule: &'static str,
}

/// Receives rows during a poll. Called in order; must not block for long.
pub trait RowVisitor: Send {
    /// Takes one row. Everything needed of it must be copied before returning.
    fn row(&mut self, row: &RowChange<'_>);

    /// The rows to come were asked for as this event alone; `None`: as every event of their table again.
    fn asked(&mut self, _event: Option<&str>) {}

    /// A row of the transaction under way that was given out before the source was sought to where it is: it only counts.
    fn passed(&mut self, _row: &RowChange<'_>) {}

    /// A change that cannot be given as a row, because its table is set aside. What is kept of it must be safe before a position that
    /// covers it is.
    fn aside(&mut self, _change: &SetAside<'_>) {}

    /// A table was emptied as a whole. Nothing else comes in the same poll; before anything that comes later, every row of it that was
    /// published is to be deleted.
    fn emptied(&mut self, _emptied: Emptied) {}

    /// Every row of the transaction under way has been given. Called by sources that give a [`Place`].
    fn transaction_end(&mut self) {}
}

/// Bounds of one poll.
#[derive(Clone, Copy, Debug)]
pub struct PollLimit {
    /// At most so many rows, though a source may finish what it holds of one statement.
    pub rows: usize,
}

/// What a poll came to.
#[derive(Clone, Debug)]
pub struct Polled {
    /// The set of all changes given out so far, this poll's included.
    pub position: Position,
    /// Rows given to the visitor.
    pub rows: usize,
    /// Everything that was committed when this poll began has been given out, the first load included.
    pub caught_up: bool,
    /// The source's clock at the poll, microseconds since 1970 UTC: everything committed before is in `position` when
    /// `caught_up`.
    pub source_time: i64,
}

/// A database's column as its catalogue has it, for checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Column name.
    pub name: String,
    /// The database's own type name.
    pub type_name: String,
    /// Whether the column may be null.
    pub nullable: bool,
}

/// Something about a database that keeps its changes from being captured, or deserves a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong. Names only, no values.
    pub problem: String,
    /// A command or statement that mends it.
    pub fix: String,
    /// A connector does not start with it.
    pub halts: bool,
}

/// A database that publishes.
///
/// # Contract
/// - **Complete.** Every change of a captured table that commits after `prepare` is given out at least once, however
///   late its transaction commits; rows that existed before come as `Snapshot` rows first time round.
/// - **Ordered per row.** Changes of one source row come in the order in which they were made; a snapshot row stands
///   exactly where it was read between them.
/// - **Repeatable.** Sought to a position that it returned earlier, it gives out again exactly what that position does
///   not cover, each change with the same `id`.
/// - **Forgetting is explicit.** Nothing that `forget` has not covered may be lost.
/// - **One at a time.** A source holds its database's own lock (advisory lock, file lock) while open, so that a
///   healthy holder is not disturbed; safety does not depend on it.
#[async_trait]
pub trait Source: Send {
    /// Connects, takes the lock, checks that what `prepare` made is there, and reads the lineage. May be called again after an error.
    async fn open(&mut self) -> Result<Lineage, SourceError>;

    /// What the cells of an open source's table are, in the order of [`TableCapture::columns`]; empty where only a row tells.
    fn column_types(&self, _table: usize) -> Vec<PredicateType> {
        Vec::new()
    }

    /// Sets where the next poll goes on from, after `open`; `None` starts the first load. (Two calls, because the lock comes
    /// before the claim in the log, and the position is known only after it.)
    async fn seek(&mut self, from: Option<&Position>) -> Result<(), SourceError>;

    /// Whether an open source goes on from `from`, a position of the lineage `stored` that is no longer the present one: only where it
    /// can be proven that nothing is missing. An error says what is.
    async fn goes_on(&mut self, _stored: &Lineage, _from: &Position) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// Where whoever accepts the present lineage begins, after `open`: nothing counts as given out. What was committed before and cannot
    /// be told any more is passed over, because the first load of every table comes behind it. `None`: as at the very first start.
    async fn begin_anew(&mut self) -> Result<Option<Position>, SourceError> {
        Ok(None)
    }

    /// Gives out the next changes. Returns with `rows == 0` and `caught_up` when there is nothing new.
    async fn poll(&mut self, limit: PollLimit, visitor: &mut dyn RowVisitor) -> Result<Polled, SourceError>;

    /// Takes rows that somebody asks for, to be given out as `Snapshot` rows beside the changes; between `seek` and the first poll or
    /// between two polls, and one request at a time. `number` orders requests; a position holds how far the one has come, and with the
    /// same number again it goes on there. `Err` is why it is not served; the number counts as served then. Only where `served` tells.
    async fn load(&mut self, _number: i64, _request: Result<LoadRequest, String>) -> Result<(), SourceError> {
        Ok(())
    }

    /// The number of the first request that has not been served as a whole; `None` where the source has not been sought, or cannot.
    fn served(&self) -> Option<i64> {
        None
    }

    /// How far the newest request has come that `load` was given; also when it is done, or refused.
    fn load_progress(&self) -> Option<LoadProgress> {
        None
    }

    /// Tables that are set aside with what has been given out so far; after `seek`.
    fn aside(&self) -> Vec<AsideTable> {
        Vec::new()
    }

    /// Why nothing more can be given out: as many changes of a table are set aside as may be. The next poll ends with it.
    fn full(&self) -> Option<SourceError> {
        None
    }

    /// Decides how changes of the tables that are set aside are read again; between `seek` and the first poll. Gives the position with
    /// the decision, which must be in a checkpoint before the first of them is published; `None` where nothing is set aside.
    fn decide(&mut self, _mending: &Mending) -> Result<Option<Position>, SourceError> {
        Ok(None)
    }

    /// Gives a change that was set aside as the row that it is by the mapping of today and what was decided. `content` is that of
    /// [`SetAside`]; between `seek` and the first poll.
    async fn again(
        &mut self,
        table: &str,
        _content: &[u8],
        _visitor: &mut dyn RowVisitor,
    ) -> Result<(), SourceError> {
        Err(SourceError::ForeignPosition(format!("{table} is not set aside")))
    }

    /// All changes of the table that were set aside have been published: from here on they come again.
    fn mended(&mut self, _table: &str) -> Result<(), SourceError> {
        Ok(())
    }

    /// How far a first load is that is under way, over all tables that it loads; `None` where none is, and where the kind does not tell.
    fn first_load(&self) -> Option<LoadProgress> {
        None
    }

    /// Returns when something new may be there, at the latest after `at_most`. May return early.
    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError>;

    /// Lets go of everything that `through` covers (deletes published outbox rows, in batches; lets a server's log go). Never more.
    async fn forget(&mut self, through: &Position) -> Result<(), SourceError>;

    /// Changes that the source still keeps for the bus, published or not; may count some that are gone. What grows here without end
    /// fills the owner's disk. A log cannot count what it has not given out: there it is what was given out and not let go.
    async fn retained(&mut self) -> Result<u64, SourceError>;

    /// What the database's server keeps of its log for this source. Looked up every few seconds at most, so that it may be asked at any
    /// time between `open` and an error, also before `seek`; `None` where the kind has no such log or the source is not open, and while
    /// the last look is still the newest.
    async fn retained_log(&mut self) -> Result<Option<RetainedLog>, SourceError> {
        Ok(None)
    }

    /// The position that says that what `from` does not cover has been given up. Nothing goes on from it: to seek it is a gap.
    fn given_up(&self, from: Option<&Position>) -> Result<Option<Position>, SourceError> {
        Ok(from.cloned())
    }

    /// Makes the server keep nothing any more, published or not. Closes the source.
    async fn give_up(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The administrator's side of a source.
#[async_trait]
pub trait SourceAdmin: Send {
    /// The statements that `prepare` would run, for an administrator to read and run himself. Safe to run again.
    async fn ddl(&mut self) -> Result<String, SourceError>;

    /// Creates outbox and triggers, or publication and slot; leaves what is right alone. Safe to run again.
    async fn prepare(&mut self) -> Result<(), SourceError>;

    /// The statements that `remove` would run, for an administrator to read and run himself.
    async fn removal_ddl(&mut self, lose: bool) -> Result<String, SourceError>;

    /// Takes away all that `prepare` has made, on all tables; leaves what the owner has made alone. Safe to run again. Refuses while a
    /// connector holds the source and, unless `lose`, while changes wait to be published. The lineage ends with it.
    async fn remove(&mut self, lose: bool) -> Result<(), SourceError>;

    /// All that a connector would refuse at its start, at once, and what deserves a look. Changes nothing, and disturbs no connector.
    async fn findings(&mut self) -> Result<Vec<Finding>, SourceError>;

    /// Columns of a captured table.
    async fn columns(&mut self, table: &str) -> Result<Vec<ColumnInfo>, SourceError>;
}

/// Why a source failed. Texts name tables, columns and rules, never values.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The database cannot be reached or answers no more; trying again later may help.
    #[error("{source_name} is unreachable: {reason}")]
    Unreachable {
        /// The participant or database.
        source_name: String,
        /// The driver's reason, without values.
        reason: String,
    },
    /// Another connector holds the source.
    #[error("another connector holds this source: {holder}")]
    Held {
        /// What is known of the holder.
        holder: String,
    },
    /// Something that `prepare` makes is missing or different, rights are missing, a table or column is not there.
    #[error("{problem}; fix: {fix}")]
    NotPrepared {
        /// What is wrong.
        problem: String,
        /// A command or statement that mends it.
        fix: String,
    },
    /// Changes would be lost with it.
    #[error(
        "{source_name}: there is what has not been published: {changes}; fix: run `lienthong connect {source_name} --once` first, or give these changes up with --lose-unpublished"
    )]
    Unpublished {
        /// The participant.
        source_name: String,
        /// How many, of which tables.
        changes: String,
    },
    /// Changes are known to be missing: the stream cannot go on without a repair.
    #[error("changes are missing: {gap}; fix: {fix}")]
    Gap {
        /// From where to where, in which tables.
        gap: String,
        /// The repair.
        fix: String,
    },
    /// Changes of a table cannot be read as the participant's file says, and cannot be set aside either, or not be read again.
    #[error("{problem}; fix: {fix}")]
    Aside {
        /// Which table, and why.
        problem: String,
        /// What mends it.
        fix: String,
    },
    /// The server keeps as much of its log for the source as the participant's file allows.
    #[error("{}: {}; max_retained_wal is {}, and {}", .0.source_name, .0.told(), Size(.0.bound.most.unwrap_or_default()), then(.0))]
    LogFull(Box<RetainedLog>),
    /// The position was not made by this source.
    #[error("the stored position does not belong to this source: {0}")]
    ForeignPosition(String),
}

fn then(kept: &RetainedLog) -> &'static str {
    match kept.bound.then {
        AtBound::Stop => {
            "at_bound is stop: the slot is kept; fix: see in `lienthong status` and in this log what kept the connector from publishing, make it publish again, or raise max_retained_wal; an administrator who gives the changes up drops the slot"
        }
        AtBound::DropSlot => "at_bound is drop-slot: the slot is dropped",
    }
}
