//! The position of an outbox source, as text. A file has one writer at a time, so outbox ids have the order of commits, and the
//! set of changes given out is: outbox rows up to `id`, first-load rows of the tables in `loaded` and, in the table of
//! `snap`, up to the key `after`.

use lienthong_contract::keys::HashKey;
use lienthong_contract::position::Position;
use lienthong_contract::source::SourceError;
use serde::{Deserialize, Serialize};

use super::value::KeyValue;

/// Version of the text's form.
const FORM: u32 = 1;

/// A position of an SQLite outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutboxPosition {
    sqlite: u32,
    /// The outbox that it belongs to, by the lineage that `prepare` drew.
    of: String,
    /// Last outbox id given out.
    pub(super) id: i64,
    /// The time in that row, by which it is known again; `None` when no row has been given out.
    pub(super) time: Option<i64>,
    /// Tables whose first load is done.
    pub(super) loaded: Vec<String>,
    /// The first load under way.
    pub(super) snap: Option<FirstLoad>,
}

/// How far the first load of one table has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstLoad {
    /// Text that is part of every snapshot row's id.
    pub(super) run: String,
    /// The table.
    pub(super) table: String,
    /// Key of the last row given out.
    pub(super) after: Option<Vec<KeyValue>>,
}

impl OutboxPosition {
    /// Before everything in the outbox of `lineage`, where the rows up to `id` are gone already.
    pub(super) fn start(lineage: &str, id: i64) -> Self {
        Self { sqlite: FORM, of: lineage.to_owned(), id, time: None, loaded: Vec::new(), snap: None }
    }

    /// Reads the text of a position in the outbox of `lineage`.
    pub(super) fn parse(position: &Position, lineage: &str) -> Result<Self, SourceError> {
        let parsed: Self = serde_json::from_str(position.as_str())
            .map_err(|_| SourceError::ForeignPosition("it is no position of an SQLite outbox".to_owned()))?;
        if parsed.sqlite != FORM {
            return Err(SourceError::ForeignPosition(format!(
                "form {} of positions is unknown",
                parsed.sqlite
            )));
        }
        if parsed.of != lineage {
            return Err(SourceError::ForeignPosition("it belongs to another outbox".to_owned()));
        }
        Ok(parsed)
    }

    /// The position as text.
    pub(super) fn to_position(&self) -> Result<Position, SourceError> {
        let text = serde_json::to_string(self)
            .map_err(|_| SourceError::ForeignPosition("the position cannot be written as text".to_owned()))?;
        Ok(Position::new(text))
    }

    /// Brings the first load in line with the tables that are captured now. `fresh`: nothing has ever been given out.
    pub(super) fn plan_first_load(&mut self, tables: &[String], secret: &HashKey, fresh: bool) {
        self.loaded.retain(|table| tables.contains(table));
        if self.snap.as_ref().is_some_and(|snap| !tables.contains(&snap.table)) {
            self.snap = None;
        }
        if self.snap.is_none() {
            let run = run(secret, if fresh { None } else { Some(self.id) });
            self.next_table(tables, &run);
        }
    }

    /// Marks the table of the first load as done and goes to the next.
    pub(super) fn table_loaded(&mut self, tables: &[String]) {
        if let Some(snap) = self.snap.take() {
            self.loaded.push(snap.table);
            self.next_table(tables, &snap.run);
        }
    }

    fn next_table(&mut self, tables: &[String], run: &str) {
        let next = tables.iter().find(|table| !self.loaded.contains(table));
        self.snap = next.map(|table| FirstLoad { run: run.to_owned(), table: table.clone(), after: None });
    }
}

/// Names a run. It follows from where the run began, so that a first load that was killed before its first position was stored
/// gives its rows the same ids the second time; a table that is captured anew later belongs to another run.
fn run(secret: &HashKey, id: Option<i64>) -> String {
    let begin = id.map_or_else(|| "start".to_owned(), |id| id.to_string());
    secret.derive("run").hash(&[begin.as_bytes()]).hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn secret() -> HashKey {
        HashKey::new([5; 32])
    }

    #[test]
    fn text_reads_back_and_foreign_text_is_refused() {
        let mut position = OutboxPosition::start("l", 3);
        position.plan_first_load(&tables(&["a"]), &secret(), true);
        let after = vec![
            KeyValue::Text("x".to_owned()),
            KeyValue::Integer(i64::MIN),
            KeyValue::Real(0.1f64.to_bits()),
        ];
        position.snap.as_mut().expect("planned").after = Some(after);
        let text = position.to_position().expect("text");
        assert_eq!(OutboxPosition::parse(&text, "l").expect("reads"), position);
        let refused = |position: &Position| {
            matches!(OutboxPosition::parse(position, "m"), Err(SourceError::ForeignPosition(_)))
        };
        assert!(refused(&text), "of another outbox");
        for text in ["", "{}", r#"{"v":1,"id":4}"#, r#"{"sqlite":2,"of":"m","id":4,"loaded":[],"snap":null}"#]
        {
            assert!(refused(&Position::new(text)));
        }
    }

    #[test]
    fn tables_are_loaded_one_after_the_other_and_a_new_one_later_in_another_run() {
        let mut position = OutboxPosition::start("l", 0);
        position.plan_first_load(&tables(&["a", "b"]), &secret(), true);
        let first = position.snap.clone().expect("planned").run;
        position.table_loaded(&tables(&["a", "b"]));
        assert_eq!(position.snap.as_ref().map(|snap| snap.table.as_str()), Some("b"));
        position.table_loaded(&tables(&["a", "b"]));
        assert_eq!(position.snap, None);
        position.plan_first_load(&tables(&["a", "c"]), &secret(), false);
        let snap = position.snap.as_ref().expect("planned");
        assert_eq!(snap.table, "c");
        assert_ne!(snap.run, first);
        assert_eq!(
            position.loaded,
            ["a"],
            "a table that is no longer captured is loaded anew when it comes back"
        );
    }
}
