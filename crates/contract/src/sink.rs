//! The door of a database that subscribes.

use async_trait::async_trait;
use lienthong_schemas::Cell;

use crate::keys::KeyHash;

/// Where one (subscription, topic, partition) stands; kept in the subscriber's database and moved by compare-and-set in the
/// transaction of the rows. The reading rule's state is part of it: a reader that lost `epoch` would be unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetState {
    /// First offset not yet delivered.
    pub next_offset: i64,
    /// Highest fence seen in the partition; -1 before the first.
    pub epoch: i64,
    /// Partition sequence of the last accepted record; 0 before the first.
    pub sequence: u64,
    /// Heartbeat time up to which the partition is known to be complete, microseconds; 0 when unknown.
    pub fresh_through: i64,
}

impl OffsetState {
    /// Before the first record.
    pub const START: Self = Self { next_offset: 0, epoch: -1, sequence: 0, fresh_through: 0 };
}

/// Names one worker's work. Their order is the one in which every sink locks offset rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanePartition {
    /// `<subscriber>/<family>`.
    pub subscription: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
}

/// One lane's part in a transaction.
#[derive(Clone, Copy, Debug)]
pub struct LaneMove<'a> {
    /// Whose.
    pub lane: &'a LanePartition,
    /// What the offset row must hold; anything else means that this worker has been fenced. `None`: no offset row yet.
    pub expected: Option<OffsetState>,
    /// What it holds afterwards.
    pub next: OffsetState,
    /// `None` when no event was delivered (heartbeats only).
    pub receipt: Option<&'a ReceiptBody<'a>>,
}

/// One transaction's work.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Every lane whose events these are: at least one, and none of them twice.
    pub lanes: &'a [LaneMove<'a>],
    /// Writes of all lanes in rounds: inside a round no key of a table occurs twice; rounds run in order.
    pub rounds: &'a [Vec<KeyWrite<'a>>],
}

/// One key's write.
#[derive(Clone, Debug)]
pub struct KeyWrite<'a> {
    /// Index into the tables that the sink was opened with.
    pub table: usize,
    /// Keyed hash of table and key.
    pub key_hash: KeyHash,
    /// Key cells in the table's order.
    pub key: &'a [Cell<'a>],
    /// What to do.
    pub action: Action<'a>,
}

/// What a write does to its row.
#[derive(Clone, Debug)]
pub enum Action<'a> {
    /// Writes the groups' columns; creates the row when it is not there.
    Upsert(Vec<GroupWrite<'a>>),
    /// Writes the groups' columns of a row that is there. A row that is not there is left alone (`if_missing: skip`), and the ledger
    /// does not learn the version.
    Update(Vec<GroupWrite<'a>>),
    /// Deletes the row (`hard`) and leaves a mark.
    Delete {
        /// `ce_sequence`.
        version: &'a str,
        /// `Some` for a revocation.
        revokes: Option<Revokes<'a>>,
    },
    /// Sets a column of the row to a time (`soft`); the row stays.
    Void {
        /// `None`: the row is gone for its subscriber, which leaves a mark as a delete does. `Some`: only what this group's event
        /// said is gone, because another event decides about the row.
        group: Option<usize>,
        /// Column that takes `at`, a timestamp or text column.
        column: &'a str,
        /// Microseconds since 1970 UTC.
        at: i64,
        /// `ce_sequence`.
        version: &'a str,
        /// `Some` for a revocation.
        revokes: Option<Revokes<'a>>,
    },
    /// Sets the group's columns to null (`hard` for a delivery that only updates): the record behind them is gone.
    Clear {
        /// Index of the group in the table.
        group: usize,
        /// `ce_sequence`.
        version: &'a str,
        /// For a revocation, hash (hex) of the record: counts only if it wrote this group.
        revokes: Option<&'a str>,
    },
}

/// A revocation: counts only if the record wrote the newest value of one of the groups that its event writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revokes<'a> {
    /// Keyed hash (hex) of the record number.
    pub record: &'a str,
    /// Indexes of the groups in the table.
    pub groups: &'a [usize],
}

/// One group's new values.
#[derive(Clone, Copy, Debug)]
pub struct GroupWrite<'a> {
    /// Index into the table's groups.
    pub group: usize,
    /// `ce_sequence` of the event.
    pub version: &'a str,
    /// Keyed hash (hex) of the event's record number, when the catalogue names one.
    pub record: Option<&'a str>,
    /// Cells in the order of the group's columns.
    pub values: &'a [Cell<'a>],
}

/// What a receipt says; the sink adds the hash of the previous one and the applied time.
#[derive(Debug)]
pub struct ReceiptBody<'a> {
    /// First and last offset of the batch.
    pub offsets: (i64, i64),
    /// Writer epoch of the last record.
    pub writer_epoch: i64,
    /// Events read, and of them those that the filter let pass.
    pub events: (u32, u32),
    /// First and last event time, microseconds.
    pub times: (i64, i64),
    /// Agreement with its version, such as `vss.insurance/2026-01`.
    pub agreement: &'a str,
    /// Names the key of `subjects`.
    pub key_id: &'a str,
    /// One keyed hash per distinct subject delivered.
    pub subjects: &'a [KeyHash],
}

/// What a transaction changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows inserted, changed or removed.
    pub changed: u64,
    /// Writes that were older than what was there.
    pub older: u64,
    /// Writes that found the row as they wanted it, or no row to update.
    pub unchanged: u64,
}

/// A database that subscribes.
///
/// # Contract
/// - `apply` is one transaction of the subscriber's database: rows, ledger, receipts and offsets of all lanes are there afterwards
///   or nothing of any of them; also when the connection is cut at any instant.
/// - When the offset row of any lane is not `expected`, nothing is written for any lane and [`SinkError::Fenced`] is returned.
/// - Two deliveries at once, whatever lanes they share, do not deadlock on offset rows.
/// - Every write passes the version guard of [`crate::ledger`].
/// - Every lane has a chain of receipts of its own. Its hash is SHA-256 over the previous hash and the canonical text of the receipt.
/// - After any error the sink can be used again; it reconnects by itself.
#[async_trait]
pub trait Sink: Send {
    /// Checks tables, columns, types, unique keys and rights; changes nothing.
    async fn check(&mut self) -> Result<(), SinkError>;

    /// The offset row of one lane partition.
    async fn offset(&mut self, lane: &LanePartition) -> Result<Option<OffsetState>, SinkError>;

    /// One transaction.
    async fn apply(&mut self, delivery: &Delivery<'_>) -> Result<Applied, SinkError>;
}

/// The administrator's side of a sink.
#[async_trait]
pub trait SinkAdmin: Send {
    /// The statements that `prepare` would run. Safe to run again.
    async fn ddl(&mut self) -> Result<String, SinkError>;

    /// Creates the tables of the bus in the subscriber's database. Safe to run again.
    async fn prepare(&mut self) -> Result<(), SinkError>;
}

/// Why a sink failed. Texts name tables, columns, constraints and codes, never values.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Down, cut off, overloaded, deadlocked: the partition waits and tries again.
    #[error("{target} cannot take the batch now: {reason}")]
    Busy {
        /// The subscriber.
        target: String,
        /// Code and class of the driver's error.
        reason: String,
    },
    /// An offset row is not the expected one: another worker has taken over. Of a delivery of several lanes it is not told which.
    #[error("another worker has taken over this partition")]
    Fenced,
    /// A row can never be applied as it is.
    #[error("a row cannot be applied to {table}: {reason}")]
    Refused {
        /// The target table.
        table: String,
        /// Constraint or code.
        reason: String,
    },
    /// The target does not fit the agreement: columns, types, keys or rights.
    #[error("{problem}; fix: {fix}")]
    Unfit {
        /// What is wrong.
        problem: String,
        /// The DDL that mends it.
        fix: String,
    },
}
