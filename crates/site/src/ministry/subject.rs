//! How an entry's subject is found, and whether the file says the same as the catalogue.

use lienthong_capture::publication::{Field, FieldSource, Subject};
use lienthong_contract::source::TableCapture;
use lienthong_schemas::{EventContract, FieldPath, SubjectRule};

use crate::node::Place;
use crate::reader::{Reader, Text};

/// The catalogue's rules over the fields that have a source, and the slot of each.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    at: Place,
    event: &EventContract,
    fields: &[Field],
) -> Vec<Subject> {
    event.subjects.iter().map(|subject| rule(reader, at, event, subject, fields)).collect()
}

fn rule(
    reader: &mut Reader<'_>,
    at: Place,
    event: &EventContract,
    subject: &SubjectRule,
    fields: &[Field],
) -> Subject {
    let slot = |path: &FieldPath| fields.iter().position(|field| field.path == path.as_str());
    match subject {
        SubjectRule::First(paths) => {
            // A field without a source is never there: the next one of the list counts.
            let (found, slots): (Vec<FieldPath>, Vec<usize>) =
                paths.iter().filter_map(|path| Some((path.clone(), slot(path)?))).unzip();
            if found.is_empty() {
                let names: Vec<&str> = paths.iter().map(FieldPath::as_str).collect();
                let fix = format!("give one of them a source: {}", names.join(", "));
                reader.problem(at, format!("no field of the subject of `{}` has a source", event.name), fix);
            }
            Subject { rule: SubjectRule::First(found), slots }
        }
        SubjectRule::Compose(paths) => {
            for path in paths.iter().filter(|path| slot(path).is_none()) {
                let message = format!("the subject of `{}` needs `{path}`, which has no source", event.name);
                reader.problem(at, message, format!("add `{path}` to `fields`"));
            }
            Subject { rule: subject.clone(), slots: paths.iter().filter_map(slot).collect() }
        }
    }
}

/// Compares `subject`, written in columns or in fields of the contract, with the catalogue's list.
pub(super) fn check(
    reader: &mut Reader<'_>,
    written: &[Text],
    event: &EventContract,
    fields: &[Field],
    table: &TableCapture,
) {
    let wanted: Vec<(&str, Option<&str>)> = event
        .subjects
        .iter()
        .flat_map(SubjectRule::fields)
        .map(|path| {
            let field = fields.iter().find(|field| field.path == path.as_str());
            (path.as_str(), field.and_then(|field| column(field, table)))
        })
        .collect();
    let names: Vec<&str> = wanted.iter().map(|(path, column)| column.unwrap_or(path)).collect();
    let fix = format!("write subject: [{}], or leave it out", names.join(", "));
    for (index, name) in written.iter().enumerate() {
        let fits = wanted
            .get(index)
            .is_some_and(|(path, column)| *path == name.value || *column == Some(&name.value));
        if !fits {
            let message = match wanted.get(index) {
                Some((path, _)) => format!("the catalogue's subject has `{path}` here, not `{}`", name.raw),
                None => format!("the catalogue's subject ends before `{}`", name.raw),
            };
            reader.problem(name.at, message, fix.as_str());
        }
    }
    if let Some((last, missing)) = written.last().zip(wanted.get(written.len())) {
        reader.problem(last.at, format!("the catalogue's subject goes on with `{}`", missing.0), fix);
    }
}

fn column<'t>(field: &Field, table: &'t TableCapture) -> Option<&'t str> {
    match field.source {
        FieldSource::Column(column)
        | FieldSource::List { column, .. }
        | FieldSource::PartialDate { date: column, .. } => table.columns.get(column).map(String::as_str),
        FieldSource::Constant(_) => None,
    }
}
