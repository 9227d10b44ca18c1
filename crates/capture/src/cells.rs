//! From a row to an event's cells, judged, and its subjects. Pure.

use std::fmt::Write as _;

use bumpalo::Bump;
use lienthong_schemas::quality::Flag;
use lienthong_schemas::{Cell, FieldPath, MAX_SUBJECT_BYTES, is_person};

use crate::convert::{Rule, convert, partial_date, split_list};
use crate::publication::{Field, FieldSource, Publication, Subject};
use crate::side::Broken;

/// The event's cells, judged, and its subjects.
pub(crate) fn event<'a>(
    publication: &Publication,
    row: &[Cell<'a>],
    at: i64,
    arena: &'a Bump,
    flags: &mut Vec<Flag>,
) -> Result<(&'a [Cell<'a>], &'a [&'a str]), Broken> {
    let mut cells = bumpalo::collections::Vec::with_capacity_in(publication.fields.len(), arena);
    for field in &publication.fields {
        let cell = value(field, row, arena).map_err(|rule| (field.path.clone(), rule))?;
        if cell.is_null() && !field.nullable {
            return Err((field.path.clone(), "required-value-missing"));
        }
        cells.push(cell);
    }
    let cells = cells.into_bump_slice_mut();
    publication
        .quality
        .judge(cells, at, arena, flags)
        .map_err(|flag| (publication.fields[flag.slot].path.clone(), flag.rule.id))?;
    let cells: &'a [Cell<'a>] = cells;
    let mut subjects = bumpalo::collections::Vec::with_capacity_in(publication.subjects.len(), arena);
    for index in 0..publication.subjects.len() {
        let broken = |rule| ("subject".to_owned(), rule);
        let subject = subject(publication, index, cells, arena).ok_or_else(|| broken("no-subject"))?;
        if subject.len() > MAX_SUBJECT_BYTES {
            return Err(broken("subject-too-long"));
        }
        subjects.push(subject);
    }
    Ok((cells, subjects.into_bump_slice()))
}

fn value<'a>(field: &Field, row: &[Cell<'a>], arena: &'a Bump) -> Result<Cell<'a>, Rule> {
    match &field.source {
        FieldSource::Column(column) => convert(row[*column], &field.kind, arena),
        FieldSource::PartialDate { date, precision } => partial_date(row[*date], row[*precision], arena),
        FieldSource::Constant(text) => convert(Cell::Str(arena.alloc_str(text)), &field.kind, arena),
        FieldSource::List { column, separator } => split_list(row[*column], separator, arena),
    }
}

/// One subject's key. A person without a number is known only as the first, the second .. of a record, so where a record
/// has several persons the place stands behind its native key: two keys, never one for both.
fn subject<'a>(
    publication: &Publication,
    index: usize,
    cells: &[Cell<'a>],
    arena: &'a Bump,
) -> Option<&'a str> {
    let Subject { rule, slots } = &publication.subjects[index];
    let slots = rule.fields().iter().zip(slots);
    let mut person = false;
    let mut key = rule.subject(|path: &FieldPath| {
        person = is_person(path);
        slots.clone().find(|(field, _)| *field == path).map_or(Cell::Null, |(_, slot)| cells[*slot])
    })?;
    if publication.subjects.len() > 1 && !person {
        // Writing to a String cannot fail.
        let _ = write!(key, "/{}", index + 1);
    }
    Some(arena.alloc_str(&key))
}
