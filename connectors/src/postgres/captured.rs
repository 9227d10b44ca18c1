//! A captured table with the statements that read its first load.

use lienthong_contract::source::TableCapture;

use super::catalogue::Table;
use super::decode::{Needed, Reading};
use super::joins::Joined;
use crate::identifier::{quote, quote_list};

/// A captured table, ready to be read.
pub(super) struct Captured {
    /// `schema.table`.
    pub(super) name: String,
    /// The captured columns.
    pub(super) needed: Vec<Needed>,
    /// The first rows by key; `$1` is the limit.
    pub(super) first_chunk: String,
    /// The rows behind a key, whose parts are `$2..`.
    pub(super) next_chunk: String,
    /// Parts of the key.
    pub(super) key_count: usize,
    /// Each of them, as it is said of `t`.
    pub(super) keys: Vec<String>,
    /// The type of each of them.
    pub(super) casts: Vec<String>,
    /// Key and row of each row of the table `t`.
    pub(super) select: String,
    /// The table as `t`.
    pub(super) from: String,
    /// What rows take from other tables.
    pub(super) joins: Vec<Joined>,
}

impl Captured {
    /// `table` is what the catalogue says of the capture's table.
    pub(super) fn new(capture: &TableCapture, table: &Table) -> Self {
        let needed = capture.columns.iter().map(|name| {
            let reading = table
                .column(name)
                .map_or(Reading::Text, |column| Reading::of(&column.base, column.element.as_deref()));
            Needed { name: name.clone(), reading }
        });
        let keys: Vec<String> = capture.key.iter().map(|name| format!("t.{}", quote(name))).collect();
        let texts: Vec<String> = keys.iter().map(|key| format!("{key}::text")).collect();
        let cast = |name| table.column(name).map_or("text", |column| column.cast.as_str()).to_owned();
        let casts: Vec<String> = capture.key.iter().map(|name| cast(name)).collect();
        let after: Vec<String> =
            casts.iter().enumerate().map(|(at, cast)| format!("${}::text::{cast}", at + 2)).collect();
        // Of a row no more than what is captured: the role may not see the rest.
        let columns = quote_list("", capture.columns.iter().map(String::as_str));
        let only = if table.kind == "p" { "" } else { "only " };
        let from = format!("from (select {columns} from {only}{}) t", table.name.sql());
        let select =
            format!("select array[{}] as key, row_to_json(t.*)::text as row {from}", texts.join(", "));
        let chunk = |condition: &str| format!("{select} {condition} order by {} limit $1", keys.join(", "));
        Self {
            name: table.name.plain(),
            needed: needed.collect(),
            first_chunk: chunk(""),
            next_chunk: chunk(&format!("where ({}) > ({})", keys.join(", "), after.join(", "))),
            key_count: capture.key.len(),
            keys,
            casts,
            select,
            from,
            joins: Vec::new(),
        }
    }

    /// With what its rows take from other tables.
    pub(super) fn joining(self, joins: Vec<Joined>) -> Self {
        Self { joins, ..self }
    }
}
