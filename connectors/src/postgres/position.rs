//! The position of an outbox source: a set of changes, as text.
//!
//! The set is: outbox rows visible in `from`, plus those visible in `to` with an id up to `id`, plus the first-load rows of the
//! tables in `loaded` and, in the table of `snap`, up to the key `after`. A set and not a highest id, because transactions
//! commit in another order than their rows take ids: one that commits late is in no set until its rows are given out.

use lienthong_contract::position::Position;
use lienthong_contract::source::SourceError;
use serde::{Deserialize, Serialize};

/// Version of the text's form.
const FORM: u32 = 1;

/// A position of a PostgreSQL outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutboxPosition {
    v: u32,
    /// The outbox that it belongs to, by the lineage id that `prepare` drew.
    of: String,
    /// How many statements the outbox had failed to record when the position began.
    pub(super) lost: i64,
    /// Snapshot text; rows visible in it are in the set. `None` sees nothing.
    pub(super) from: Option<String>,
    /// Snapshot of the pass under way.
    pub(super) to: Option<String>,
    /// Last outbox id given out in the pass.
    pub(super) id: i64,
    /// Tables whose first load is done.
    pub(super) loaded: Vec<String>,
    /// The first load under way.
    pub(super) snap: Option<FirstLoad>,
}

/// How far the first load of one table has come.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstLoad {
    /// Random text that is part of every snapshot row's id.
    pub(super) run: String,
    /// The table.
    pub(super) table: String,
    /// Key of the last row given out.
    pub(super) after: Option<Vec<String>>,
}

/// A key may be a number of a person.
impl std::fmt::Debug for FirstLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FirstLoad({}, {})", self.table, if self.after.is_some() { "begun" } else { "not begun" })
    }
}

impl OutboxPosition {
    /// The empty set of the outbox of `lineage`.
    pub(super) fn start(lineage: &str, lost: i64) -> Self {
        Self {
            v: FORM,
            of: lineage.to_owned(),
            lost,
            from: None,
            to: None,
            id: 0,
            loaded: Vec::new(),
            snap: None,
        }
    }

    /// Reads the text of a position in the outbox of `lineage`.
    pub(super) fn parse(position: &Position, lineage: &str) -> Result<Self, SourceError> {
        let parsed: Self = serde_json::from_str(position.as_str()).map_err(|_| {
            SourceError::ForeignPosition("it is no position of a PostgreSQL outbox".to_owned())
        })?;
        if parsed.v != FORM {
            return Err(SourceError::ForeignPosition(format!("form {} of positions is unknown", parsed.v)));
        }
        if parsed.of != lineage {
            return Err(SourceError::ForeignPosition(
                "it was made by another outbox, or before this one was made anew".to_owned(),
            ));
        }
        Ok(parsed)
    }

    /// The position as text.
    pub(super) fn to_position(&self) -> Result<Position, SourceError> {
        let text = serde_json::to_string(self)
            .map_err(|_| SourceError::ForeignPosition("the position cannot be written as text".to_owned()))?;
        Ok(Position::new(text))
    }

    /// Brings the first load in line with the tables that are captured now: a table that is captured for the first time, or again
    /// after a time without, is loaded. `run` names the run where a new one begins.
    pub(super) fn plan_first_load(&mut self, tables: &[String], run: &str) {
        self.loaded.retain(|table| tables.contains(table));
        if self.snap.as_ref().is_some_and(|snap| !tables.contains(&snap.table)) {
            self.snap = None;
        }
        if self.snap.is_none() {
            self.next_table(tables, run);
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

    /// Ends the pass: what was visible in its snapshot is in the set.
    pub(super) fn pass_done(&mut self) {
        if let Some(to) = self.to.take() {
            self.from = Some(to);
        }
        self.id = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_key_in_a_position_is_never_shown() {
        let mut position = OutboxPosition::start("l", 3);
        position.plan_first_load(&tables(&["public.a"]), "r");
        position.snap.as_mut().unwrap().after = Some(vec!["001085730194".to_owned()]);
        assert!(!format!("{position:?}").contains("0010857"));
    }

    #[test]
    fn text_reads_back_and_foreign_text_is_refused() {
        let mut position = OutboxPosition::start("l", 3);
        position.to = Some("5:9:7".to_owned());
        position.plan_first_load(&tables(&["public.a"]), "r");
        assert_eq!(OutboxPosition::parse(&position.to_position().unwrap(), "l").unwrap(), position);
        let other = OutboxPosition::parse(&position.to_position().unwrap(), "m");
        assert!(matches!(other, Err(SourceError::ForeignPosition(_))));
        for text in ["", "{}", r#"{"v":1,"id":4}"#, "0/16B3748"] {
            assert!(matches!(
                OutboxPosition::parse(&Position::new(text), "l"),
                Err(SourceError::ForeignPosition(_))
            ));
        }
    }

    #[test]
    fn tables_are_loaded_one_after_the_other_and_a_new_one_later() {
        let mut position = OutboxPosition::start("l", 0);
        position.plan_first_load(&tables(&["a", "b"]), "r1");
        position.table_loaded(&tables(&["a", "b"]));
        assert_eq!(position.snap.as_ref().map(|snap| snap.table.as_str()), Some("b"));
        position.table_loaded(&tables(&["a", "b"]));
        assert_eq!(position.snap, None);
        position.plan_first_load(&tables(&["a", "c"]), "r2");
        assert_eq!(
            position.snap.as_ref().map(|snap| (snap.run.as_str(), snap.table.as_str())),
            Some(("r2", "c"))
        );
        assert_eq!(
            position.loaded,
            ["a"],
            "a table that is no longer captured is loaded anew when it comes back"
        );
    }

    #[test]
    fn a_pass_that_is_over_becomes_the_base_of_the_next() {
        let mut position = OutboxPosition::start("l", 0);
        position.to = Some("5:9:7".to_owned());
        position.id = 12;
        position.pass_done();
        assert_eq!((position.from.as_deref(), position.to, position.id), (Some("5:9:7"), None, 0));
    }
}
