//! A captured table with the statements that read its first load.

use lienthong_contract::source::TableCapture;

use super::catalogue::Table;
use super::decode::{Needed, Reading};
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
        let after: Vec<String> = capture
            .key
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let cast = table.column(name).map_or("text", |column| column.cast.as_str());
                format!("${}::text::{cast}", at + 2)
            })
            .collect();
        // Of a row no more than what is captured: the role may not see the rest.
        let columns = quote_list("", capture.columns.iter().map(String::as_str));
        let chunk = |condition: &str| {
            format!(
                "select array[{}] as key, row_to_json(t.*)::text as row from (select {columns} from {}{}) t {condition} \
                 order by {} limit $1",
                texts.join(", "),
                if table.kind == "p" { "" } else { "only " },
                table.name.sql(),
                keys.join(", ")
            )
        };
        Self {
            name: table.name.plain(),
            needed: needed.collect(),
            first_chunk: chunk(""),
            next_chunk: chunk(&format!("where ({}) > ({})", keys.join(", "), after.join(", "))),
            key_count: capture.key.len(),
        }
    }
}
