//! Captured tables: each once, with every column that some entry needs.

use lienthong_contract::source::{Join, TableCapture};

use crate::database::same_table;
use crate::node::Place;
use crate::reader::{Reader, Text};

use super::file::FromFile;

/// Beyond the columns of any table.
const FIRST_JOINED: usize = 1 << 20;

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
            self.captures.push(TableCapture::new(&from.table.value, key, columns));
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

    /// The place of a value that rows of `table` take from another table, until all columns are known.
    pub(super) fn joined(&mut self, table: usize, join: Join) -> usize {
        let joins = &mut self.captures[table].joins;
        let same =
            |known: &Join| (&known.table, &known.by, &known.take) == (&join.table, &join.by, &join.take);
        let at = joins.iter().position(same).unwrap_or_else(|| {
            joins.push(join);
            joins.len() - 1
        });
        FIRST_JOINED + at
    }

    /// The place of a column, or of a value that is taken, among a row's cells.
    pub(super) fn place(&self, table: usize, column: usize) -> usize {
        match column.checked_sub(FIRST_JOINED) {
            Some(at) => self.captures[table].columns.len() + at,
            None => column,
        }
    }

    /// A table as it stands so far.
    pub(super) fn capture(&self, table: usize) -> &TableCapture {
        &self.captures[table]
    }

    /// The index of a table that is captured already.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.captures.iter().position(|known| same_table(&known.table, name))
    }

    /// Rows of the table may be looked up.
    pub(super) fn look_up(&mut self, table: usize) {
        self.captures[table].look_up = true;
    }

    /// Names of the tables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().map(|capture| capture.table.as_str())
    }

    /// What the source is opened with.
    pub(super) fn into_captures(self) -> Vec<TableCapture> {
        self.captures
    }
}
