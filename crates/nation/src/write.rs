//! What the driver gets: happenings, their steps, and the rows that each step writes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::NaiveDate;

use crate::dirt::Dirt;
use crate::tables::System;

/// A cell of a ministry's table. `Debug` shows kind and length only: even invented people do not belong in a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Absent.
    Null,
    /// A whole number; booleans are 0 and 1.
    Int(i64),
    /// Text; dates are ISO 8601.
    Text(Cow<'static, str>),
}

impl Value {
    /// The text, when it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Int(_) => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("Null"),
            Value::Int(_) => f.write_str("Int"),
            Value::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<NaiveDate> for Value {
    fn from(day: NaiveDate) -> Self {
        Value::Text(Cow::Owned(day.to_string()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(i64::from(value))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A column and what stands in it.
pub type Field = (&'static str, Value);

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A new row.
    Insert,
    /// Other values in a row that is there.
    Update,
    /// The row goes.
    Delete,
}

/// One row of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// Whose table it is.
    pub system: System,
    /// The table's name.
    pub table: &'static str,
    /// What happens.
    pub op: Op,
    /// The row's primary key before the write.
    pub key: Vec<Field>,
    /// Insert: every column that is not null, the key's among them. Update: the columns that change, which may be the key's.
    /// Delete: none.
    pub values: Vec<Field>,
    /// What is wrong with the values, on purpose.
    pub dirt: Vec<Dirt>,
    /// What was meant, for the columns whose values the bus refuses.
    pub meant: Vec<Field>,
    /// Whose row it is, where a repair must know.
    pub(crate) about: u32,
}

impl RowWrite {
    /// A value of this write.
    #[must_use]
    pub fn value(&self, column: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
    }

    /// Whether the bus must refuse the row as it stands.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.dirt.iter().any(|dirt| dirt.is_rejected())
    }

    /// The values that were meant in the place of those that the bus refuses.
    pub(crate) fn mend(&mut self) {
        for (column, value) in std::mem::take(&mut self.meant) {
            self.values
                .iter_mut()
                .filter(|(name, _)| *name == column)
                .for_each(|field| field.1 = value.clone());
        }
        self.dirt.retain(|dirt| !dirt.is_rejected());
    }

    /// SQL with `?` for each value, and the values in that order. Depends on the shape of the write only, so that a driver can keep
    /// prepared statements by it.
    #[must_use]
    pub fn statement(&self) -> (String, Vec<&Value>) {
        let names = |fields: &[Field], between: &str, after: &str| {
            let named: Vec<String> = fields.iter().map(|(name, _)| format!("{name}{after}")).collect();
            named.join(between)
        };
        let values = self.values.iter().map(|(_, value)| value);
        let key = self.key.iter().map(|(_, value)| value);
        let (table, condition) = (self.table, names(&self.key, " and ", " = ?"));
        match self.op {
            Op::Insert => {
                let marks = vec!["?"; self.values.len()].join(", ");
                let columns = names(&self.values, ", ", "");
                (format!("insert into {table} ({columns}) values ({marks})"), values.collect())
            }
            Op::Update => {
                let changes = names(&self.values, ", ", " = ?");
                (format!("update {table} set {changes} where {condition}"), values.chain(key).collect())
            }
            Op::Delete => (format!("delete from {table} where {condition}"), key.collect()),
        }
    }
}

/// One transaction in one system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whose database it is.
    pub system: System,
    /// How long after the step before. Small, fractions of a second to seconds, and not the nation's own time: a driver may stretch it.
    pub delay: Duration,
    /// The case that the step belongs to: the correlation of its events.
    pub dossier: Option<String>,
    /// What is written; never empty.
    pub writes: Vec<RowWrite>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Birth notice, registration, population, residence, health card, card.
    Birth,
    /// Death notice, registration, population, residence, card, insurance, benefit.
    Death,
    /// A death registered for somebody who lives, and its revocation.
    WrongDeath,
    /// People leave one address for another.
    Move,
    /// Two people marry, and one moves in.
    Marriage,
    /// Two people part.
    Divorce,
    /// A name or a birth date is corrected.
    Correction,
    /// A card is issued, renewed or replaced.
    Card,
    /// Insurance begins, ends or goes on.
    Insurance,
    /// A child that was registered without a PIN gets one.
    PinAssigned,
    /// A row that the bus refused is mended at its source.
    Repair,
    /// A commune becomes a ward.
    UnitRenamed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Birth,
        Kind::Death,
        Kind::WrongDeath,
        Kind::Move,
        Kind::Marriage,
        Kind::Divorce,
        Kind::Correction,
        Kind::Card,
        Kind::Insurance,
        Kind::PinAssigned,
        Kind::Repair,
        Kind::UnitRenamed,
    ];
}

/// Something that happens in the nation. Its steps are in causal order; happenings that lie at least [`crate::Nation::apart`] apart never
/// wait for each other, and nearer ones never concern the same people, so a driver may run the steps of both side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// From 1, without gaps.
    pub number: u64,
    /// What happens.
    pub kind: Kind,
    /// The nation's day on which it begins.
    pub day: NaiveDate,
    /// Transactions in causal order; never empty.
    pub steps: Vec<Step>,
}
