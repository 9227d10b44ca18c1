//! Captured tables: each once, with every column that some entry needs.

use lienthong_contract::source::TableCapture;

use crate::database::same_table;
use crate::node::Place;
use crate::reader::{Reader, Text};

use super::file::FromFile;

/// The tables of one participant.
#[derive(Default)]
pub(super) struct Tables {
    captures: Vec<TableCapture>,
    places: Vec<Place>,
}

impl Tables {
    /// The table's index; entries of one table must agree in its key.
    pub(super) fn table(&mut self, reader: &mut Reader<'_>, from: &FromFile) -> usize {
        let key: Vec<String> = from.key.iter().map(|column| column.value.clone()).collect();
        let found = self.captures.iter().position(|known| same_table(&known.table, &from.table.value));
        let Some(index) = found else {
            let columns = key.clone();
            self.captures.push(TableCapture { table: from.table.value.clone(), key, columns });
            self.places.push(from.key.first().map_or(from.table.at, |column| column.at));
            return self.captures.len() - 1;
        };
        if self.captures[index].key != key {
            let (line, column) = self.places[index];
            let known = self.captures[index].key.join(", ");
            let message = format!("`{}` has another key at {line}:{column}", from.table.raw);
            let at = from.key.first().map_or(from.table.at, |column| column.at);
            reader.problem(at, message, format!("write key: [{known}] in both places"));
        }
        index
    }

    /// The column's index in its table.
    pub(super) fn column(&mut self, table: usize, name: &str) -> usize {
        let columns = &mut self.captures[table].columns;
        columns.iter().position(|known| known == name).unwrap_or_else(|| {
            columns.push(name.to_owned());
            columns.len() - 1
        })
    }

    /// The same for a name with its place.
    pub(super) fn column_of(&mut self, table: usize, name: &Text) -> usize {
        self.column(table, &name.value)
    }

    /// A table as it stands so far.
    pub(super) fn capture(&self, table: usize) -> &TableCapture {
        &self.captures[table]
    }

    /// What the source is opened with.
    pub(super) fn into_captures(self) -> Vec<TableCapture> {
        self.captures
    }
}
