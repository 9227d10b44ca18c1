//! From a row message of a table of which the log holds no more as it was than the key to what happened to the row. Pure.
//!
//! Conditions and subjects are read from the key, so they are the same before a change that keeps it. What is stored out of line and has
//! not changed stands in no message: it is looked up by the key, later than the change was made. A row that is not found then has been
//! deleted, or has another key by now. That stands in the log behind the change and comes, so the change itself is left out: nobody
//! could say what stood in its columns.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::{BrokenValue, RowOp, Side};

use super::super::decode;
use super::super::fitted::literal;
use super::super::wal::message::Message;
use super::super::wal::relation::Plan;
use super::change::{self, Changed, Unreadable};
use super::tables::StreamTable;

/// What a message comes to.
pub(super) struct ByKey<'a> {
    pub(super) changes: [Option<Changed<'a>>; 2],
    /// The row of a change that is left out. No more than its key is known.
    pub(super) gone: Option<&'a [Cell<'a>]>,
}

/// A key cannot be told, so that nothing could be looked up by it.
const NOT_LOOKED_UP: &str = "not-looked-up";

/// The key of the row that has to be looked up for a message, as texts that the types of its columns read.
pub(super) fn wanted(
    message: &Message<'_>,
    (of, plan): (&StreamTable, &Plan),
    arena: &Bump,
) -> Option<Vec<String>> {
    let Message::Update { .. } = message else { return None };
    let New { cells, unchanged, .. } = new(message, plan, &mut Vec::new(), arena).ok()?;
    if unchanged.is_empty() { None } else { key(cells, of) }
}

/// The rows of which a message tells, as they are, else as they were, as far as it tells.
pub(super) fn rows<'a>(
    message: &Message<'a>,
    (of, plan): (&StreamTable, &Plan),
    arena: &'a Bump,
) -> Vec<&'a [Cell<'a>]> {
    let mut broken = Vec::new();
    match *message {
        Message::Delete { old, .. } if of.is_by_key() => {
            let row = plan.old_row(old, &mut broken, arena);
            row.map(|row| vec![&*row.cells]).unwrap_or_default()
        }
        Message::Update { .. } if of.is_by_key() => {
            let new = new(message, plan, &mut broken, arena);
            new.map(|new| new.before.into_iter().chain([&*new.cells]).collect()).unwrap_or_default()
        }
        _ => {
            let read = change::read(message, plan, (&of.keys, of.capture.columns.len()), arena);
            let changes = read.map(|(first, second)| vec![Some(first), second]).unwrap_or_default();
            changes.into_iter().flatten().filter_map(|change| change.after.or(change.before)).collect()
        }
    }
}

/// `answer` gives the row that was found for a key, or that none was; `None` where nobody has looked.
pub(super) fn read<'a, 's>(
    message: &Message<'a>,
    (of, plan): (&StreamTable, &Plan),
    answer: impl Fn(&[String]) -> Option<Option<&'s str>>,
    arena: &'a Bump,
) -> Result<ByKey<'a>, Unreadable> {
    let one = |change| ByKey { changes: [Some(change), None], gone: None };
    match *message {
        Message::Delete { old, .. } => {
            let mut broken = Vec::new();
            let before: &[Cell<'a>] = plan.old_row(old, &mut broken, arena)?.cells;
            Ok(one(Changed::new(RowOp::Delete, Some(before), None, broken)))
        }
        Message::Update { .. } => update(message, (of, plan), answer, arena),
        _ => change::read(message, plan, (&of.keys, of.capture.columns.len()), arena)
            .map(|(first, _)| one(first)),
    }
}

/// An update's row as it is now, and of the one before what the message says.
struct New<'a> {
    before: Option<&'a [Cell<'a>]>,
    cells: &'a mut [Cell<'a>],
    /// Columns that no part of the message has.
    unchanged: Vec<usize>,
}

fn new<'a>(
    message: &Message<'a>,
    plan: &Plan,
    broken: &mut Vec<BrokenValue>,
    arena: &'a Bump,
) -> Result<New<'a>, Unreadable> {
    let Message::Update { old, new, .. } = *message else { return Err(Unreadable::Misfit) };
    let before: Option<&[Cell<'a>]> = match old {
        Some(old) => Some(plan.old_row(old, broken, arena)?.cells),
        None => None,
    };
    let row = plan.new_row(new, broken, arena)?;
    let (cells, mut unchanged) = (row.cells, row.unchanged);
    if let Some(before) = before {
        unchanged.retain(|column| {
            let known = plan.in_identity(*column);
            if known {
                cells[*column] = before[*column];
            }
            !known
        });
    }
    Ok(New { before, cells, unchanged })
}

fn update<'a, 's>(
    message: &Message<'a>,
    (of, plan): (&StreamTable, &Plan),
    answer: impl Fn(&[String]) -> Option<Option<&'s str>>,
    arena: &'a Bump,
) -> Result<ByKey<'a>, Unreadable> {
    let mut broken = Vec::new();
    let New { before, cells, unchanged } = new(message, plan, &mut broken, arena)?;
    let mut found = true;
    if !unchanged.is_empty() {
        match key(cells, of).as_deref().map(&answer) {
            None => broken.extend(unchanged.iter().map(|&column| after(column, NOT_LOOKED_UP))),
            Some(None) => return Err(Unreadable::Misfit),
            Some(Some(None)) => found = false,
            Some(Some(Some(json))) => fill(cells, (json, &unchanged), of, (&mut broken, arena))?,
        }
    }
    let (cells, looked_up): (&[Cell<'a>], &[usize]) = (cells, arena.alloc_slice_copy(&unchanged));
    let moved = before.filter(|before| of.keys.iter().any(|key| before[*key] != cells[*key]));
    let (mut first, mut second) = match moved {
        Some(before) => {
            let (first, second) = change::update(before, cells, broken, &of.keys);
            (Some(first), second)
        }
        None => {
            let same = broken.iter().filter(|value| value.side == Side::After).cloned();
            let same: Vec<BrokenValue> =
                same.map(|value| BrokenValue { side: Side::Before, ..value }).collect();
            broken.retain(|value| value.side == Side::After);
            broken.extend(same);
            (Some(change::update(cells, cells, broken, &of.keys).0), None)
        }
    };
    let newest = if moved.is_some() { &mut second } else { &mut first };
    if let Some(change) = newest {
        change.looked_up = looked_up;
    }
    if found {
        return Ok(ByKey { changes: [first, second], gone: None });
    }
    *newest = None;
    Ok(ByKey { changes: [first, second], gone: Some(cells) })
}

/// Puts into a row what was looked up of it.
fn fill<'a>(
    cells: &mut [Cell<'a>],
    (json, unchanged): (&str, &[usize]),
    of: &StreamTable,
    (broken, arena): (&mut Vec<BrokenValue>, &'a Bump),
) -> Result<(), Unreadable> {
    let mut unread = Vec::new();
    let row = decode::row(arena.alloc_str(json), &of.captured.needed, (Side::After, &mut unread), arena)
        .map_err(|_| Unreadable::Misfit)?;
    for &column in unchanged {
        cells[column] = row[column];
    }
    broken.extend(unread.into_iter().filter(|value| unchanged.contains(&value.column)));
    Ok(())
}

fn after(column: usize, rule: &'static str) -> BrokenValue {
    BrokenValue { side: Side::After, column, rule }
}

/// `None` where a part of it is no value.
fn key(cells: &[Cell<'_>], of: &StreamTable) -> Option<Vec<String>> {
    of.keys.iter().map(|at| literal(&cells[*at])).collect()
}
