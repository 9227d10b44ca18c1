//! Tables whose rows may be looked up: of them the log need not hold more of a row as it was than its key. So whatever is asked of a row
//! as it was must be in the key, and the deletion of a row must do with the key.

use lienthong_capture::Publication;
use lienthong_capture::publication::{Field, Subject};
use lienthong_contract::source::TableCapture;

use crate::node::Place;
use crate::reader::Reader;

use super::file::{EntryFile, MinistryFile};
use super::source::Tables;

/// Marks the tables that `look_up` names, and checks the entries that they feed.
pub(super) fn check(
    reader: &mut Reader<'_>,
    file: &MinistryFile,
    tables: &mut Tables,
    publications: &[Publication],
) {
    for name in &file.look_up {
        let Some(table) = tables.named(&name.value) else {
            let bare = |name| str::strip_prefix(name, "public.").unwrap_or(name);
            let known: Vec<&str> = tables.names().flat_map(|name| [name, bare(name)]).collect();
            let message = format!("`look_up` names `{}`, and no entry captures it", name.raw);
            reader.unknown(name.at, message, &name.raw, known, "name tables that stand under `from`");
            continue;
        };
        tables.look_up(table);
    }
    for publication in publications {
        let (table, entry) = (tables.capture(publication.table), &file.publishes[publication.entry]);
        if table.look_up {
            Entry { reader: &mut *reader, table, entry, publication }.check();
        }
    }
}

/// A subject is not read from another table: nothing tells when it changes there.
pub(super) fn no_subject(
    reader: &mut Reader<'_>,
    entry: &EntryFile,
    table: &TableCapture,
    (fields, subjects): (&[Field], &[Subject]),
) {
    for field in subjects.iter().flat_map(|subject| &subject.slots).map(|slot| &fields[*slot]) {
        if field.source.columns().any(|column| column >= table.columns.len()) {
            let message =
                format!("`{}` is part of the subject, and is looked up in another table", field.path);
            reader.problem(entry.at, message, "take it from a column of the entry's own table");
        }
    }
}

struct Entry<'a, 's> {
    reader: &'a mut Reader<'s>,
    table: &'a TableCapture,
    entry: &'a EntryFile,
    publication: &'a Publication,
}

impl Entry<'_, '_> {
    fn check(&mut self) {
        let from = self.entry.from.as_ref();
        if let (Some(when), Some(text)) = (&self.publication.when, from.and_then(|from| from.when.as_ref()))
            && let Some(column) = when.columns.iter().find(|column| !self.in_key(**column))
        {
            let column = &self.table.columns[*column];
            let message = format!(
                "`when` reads `{column}`, and as it was before a change only the key of {} is known",
                self.named()
            );
            self.refuse(text.at, message);
        }
        let lookups = self.table.joins.iter().flat_map(|join| &join.by);
        if let Some((_, column)) = lookups.into_iter().find(|(_, column)| !self.in_key(*column)) {
            let column = &self.table.columns[*column];
            let message = format!(
                "a look-up reads `{column}`, and of a deleted row only the key of {} is known",
                self.named()
            );
            self.refuse(self.entry.at, message);
        }
        let slots = self.publication.subjects.iter().flat_map(|subject| &subject.slots);
        for field in slots.map(|slot| &self.publication.fields[*slot]) {
            if field.source.columns().any(|column| !self.in_key(column)) {
                let message = format!(
                    "`{}` is part of the subject, and as it was before a change only the key of {} is known",
                    field.path,
                    self.named()
                );
                return self.refuse(self.entry.at, message);
            }
        }
        let wanted = self.publication.fields.iter().filter(|field| !field.nullable);
        let lacking = wanted.filter(|field| field.source.columns().any(|column| !self.in_key(column)));
        let lacking: Vec<String> = lacking.map(|field| format!("`{}`", field.path)).collect();
        if !lacking.is_empty() {
            let message = format!(
                "the deletion of a row of {} tells its key alone, and the contract wants {}",
                self.named(),
                lacking.join(", ")
            );
            self.refuse(self.entry.at, message);
        }
    }

    fn in_key(&self, column: usize) -> bool {
        self.table.columns.get(column).is_some_and(|name| self.table.key.contains(name))
    }

    fn named(&self) -> String {
        format!("`{}`, which is looked up,", self.table.table)
    }

    fn refuse(&mut self, at: Place, message: String) {
        let table = &self.table.table;
        let fix = format!(
            "take `{table}` out of `look_up`, and have its owner run: alter table {table} replica identity full"
        );
        self.reader.problem(at, message, fix);
    }
}
