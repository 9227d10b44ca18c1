//! From a row message to what happened to the row. Pure.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::{BrokenValue, RowOp, Side, SourceError};

use super::super::wal::message::Message;
use super::super::wal::relation::{Misfit, Part, Plan, Row};
use super::super::wal::tuple::Tuple;
use super::tables::StreamTable;

/// What happened to one row.
pub(super) struct Changed<'a> {
    pub(super) op: RowOp,
    pub(super) before: Option<&'a [Cell<'a>]>,
    pub(super) after: Option<&'a [Cell<'a>]>,
    pub(super) broken: Vec<BrokenValue>,
    /// Columns whose values are of a later position.
    pub(super) looked_up: &'a [usize],
}

impl<'a> Changed<'a> {
    /// What has its values from the log.
    pub(super) fn new(
        op: RowOp,
        before: Option<&'a [Cell<'a>]>,
        after: Option<&'a [Cell<'a>]>,
        broken: Vec<BrokenValue>,
    ) -> Self {
        Self { op, before, after, broken, looked_up: &[] }
    }
}

/// Why a message cannot be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It does not hold the row as it was before.
    NoBefore,
    /// It does not suit its table.
    Misfit,
}

impl From<Misfit> for Unreadable {
    fn from(_: Misfit) -> Self {
        Self::Misfit
    }
}

/// One change, or a delete and an insert where the key has changed. `keys` are the places of the key among the `columns` columns.
pub(super) fn read<'a>(
    message: &Message<'a>,
    plan: &Plan,
    (keys, columns): (&[usize], usize),
    arena: &'a Bump,
) -> Result<(Changed<'a>, Option<Changed<'a>>), Unreadable> {
    let mut broken = Vec::new();
    let whole = |row: Row<'a>| -> Result<&'a mut [Cell<'a>], Unreadable> {
        let known = row.part == Part::Whole || (0..columns).all(|column| plan.in_identity(column));
        if known && row.unchanged.is_empty() { Ok(row.cells) } else { Err(Unreadable::NoBefore) }
    };
    match *message {
        Message::Insert { new, .. } => {
            let after = whole(plan.new_row(new, &mut broken, arena)?).map_err(|_| Unreadable::Misfit)?;
            Ok((Changed::new(RowOp::Insert, None, Some(after), broken), None))
        }
        Message::Delete { old, .. } => {
            let before = whole(plan.old_row(old, &mut broken, arena)?)?;
            Ok((Changed::new(RowOp::Delete, Some(before), None, broken), None))
        }
        Message::Update { old: Some(old), new, .. } => {
            let before: &[Cell<'a>] = whole(plan.old_row(old, &mut broken, arena)?)?;
            let after = completed(plan, new, before, (&mut broken, arena))?;
            Ok(update(before, after, broken, keys))
        }
        // Nothing that identifies the row has changed, and everything that is captured does.
        Message::Update { old: None, new, .. } => {
            if !(0..columns).all(|column| plan.in_identity(column)) {
                return Err(Unreadable::NoBefore);
            }
            let after: &[Cell<'a>] = whole(plan.new_row(new, &mut broken, arena)?)?;
            let before = broken.iter().map(|value| BrokenValue { side: Side::Before, ..value.clone() });
            let before: Vec<BrokenValue> = before.collect();
            broken.extend(before);
            Ok(update(after, after, broken, keys))
        }
        _ => Err(Unreadable::Misfit),
    }
}

/// What is stored out of line and has not changed is taken from the row as it was.
fn completed<'a>(
    plan: &Plan,
    new: Tuple<'a>,
    before: &[Cell<'a>],
    (broken, arena): (&mut Vec<BrokenValue>, &'a Bump),
) -> Result<&'a [Cell<'a>], Unreadable> {
    let row = plan.new_row(new, broken, arena)?;
    for column in row.unchanged {
        row.cells[column] = before[column];
        let same = |value: &&BrokenValue| value.side == Side::Before && value.column == column;
        if let Some(value) = broken.iter().find(same).cloned() {
            broken.push(BrokenValue { side: Side::After, ..value });
        }
    }
    Ok(row.cells)
}

pub(super) fn update<'a>(
    before: &'a [Cell<'a>],
    after: &'a [Cell<'a>],
    broken: Vec<BrokenValue>,
    keys: &[usize],
) -> (Changed<'a>, Option<Changed<'a>>) {
    let (before_side, after_side) = (Some(before), Some(after));
    if keys.iter().all(|key| before[*key] == after[*key]) {
        return (Changed::new(RowOp::Update, before_side, after_side, broken), None);
    }
    let (of_before, of_after) = broken.into_iter().partition(|value| value.side == Side::Before);
    (
        Changed::new(RowOp::Delete, before_side, None, of_before),
        Some(Changed::new(RowOp::Insert, None, after_side, of_after)),
    )
}

/// What is told of a row that cannot be read.
pub(super) fn unread(of: &StreamTable, reason: Unreadable) -> SourceError {
    let name = &of.captured.name;
    match reason {
        Unreadable::NoBefore => SourceError::Gap {
            gap: format!("the log has a change of {name} without the row as it was"),
            fix: format!(
                "list {name} under look_up in the participant's file, or set its replica identity to full and run `lienthong connect PARTICIPANT --accept-lineage REASON`"
            ),
        },
        Unreadable::Misfit => SourceError::Gap {
            gap: format!("a row of {name} in the log cannot be read"),
            fix: "report this as a defect".to_owned(),
        },
    }
}
