//! The position of a source that reads the log: a set of changes, as text.
//!
//! The set is: every transaction whose commit stands before `end`, the first `given` row messages of the one in `split`, the first-load
//! rows of the tables in `loaded` and, in the tables of `snap` and `paused`, up to the key `after`. Of the tables in `aside` the changes are
//! in it that have been set aside.

use lienthong_contract::aside::Mending;
use lienthong_contract::keys::HashKey;
use lienthong_contract::position::Position;
use lienthong_contract::source::SourceError;
use serde::{Deserialize, Serialize};

use super::attached::{Part, Parts};
use super::proof::Last;
use crate::asked::Asked;

/// Version of the text's form.
const FORM: u32 = 1;

/// A captured table as one publication has it. A table that is dropped and made anew, or that leaves the publication and comes back,
/// is another member: what happened in between is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Member {
    /// The table.
    pub(in super::super) table: String,
    /// The publication's own number of it.
    pub(in super::super) oid: i64,
}

/// A transaction of which a part has been given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Split {
    /// Where its commit stands.
    pub(super) commit: u64,
    /// How many of its row messages have been given out.
    pub(super) given: u32,
}

/// How far the first load of one table has come.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstLoad {
    /// Part of every snapshot row's id.
    pub(super) run: String,
    /// The table.
    pub(super) table: Member,
    /// Key of the last row given out.
    pub(super) after: Option<Vec<String>>,
    /// Rows that the run has passed so far, of this table and of those before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) rows: u64,
    /// The partition, where only its rows are loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
}

fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

impl FirstLoad {
    /// A row has been given out, or has come as a change.
    pub(super) fn pass(&mut self, key: Vec<String>) {
        self.after = Some(key);
        self.rows += 1;
    }
}

/// A key may be a number of a person.
impl std::fmt::Debug for FirstLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "FirstLoad({}, {})",
            self.table.table,
            if self.after.is_some() { "begun" } else { "not begun" }
        )
    }
}

/// A table whose changes are set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Aside {
    /// The table.
    pub(super) table: String,
    /// From this commit on.
    pub(super) commit: u64,
    /// And of that from this row message on.
    pub(super) index: u32,
    /// The newest of them: its commit and its row message.
    pub(super) last: Option<(u64, u32)>,
    /// Changes set aside.
    pub(super) rows: u64,
    /// Their length.
    pub(super) bytes: u64,
    /// When the first was committed, microseconds since 1970 UTC.
    pub(super) since: i64,
    /// Why, in a word.
    pub(super) rule: String,
    /// Why.
    pub(super) problem: String,
    /// It has been decided how they are read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mending: Option<Mending>,
}

/// A position in the log of a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogPosition {
    v: u32,
    /// The server, database and slot that it belongs to.
    log: String,
    /// Everything that was committed before this place of the log is in the set.
    pub(super) end: u64,
    /// The transaction under way.
    pub(super) split: Option<Split>,
    /// Tables whose first load is done.
    pub(super) loaded: Vec<Member>,
    /// The first load under way.
    pub(super) snap: Option<FirstLoad>,
    /// Tables whose changes are set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aside: Vec<Aside>,
    /// First loads that wait until their table is not set aside any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) paused: Vec<FirstLoad>,
    /// Rows that somebody has asked for.
    #[serde(default, skip_serializing_if = "Asked::is_new")]
    pub(super) asked: Asked,
    /// What stands behind the set was given up when the log had come to here, as the server writes it: nothing goes on from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) given_up: Option<String>,
    /// The last transaction that came whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Last>,
    /// The publication's number and the transaction that wrote it last: whoever edits it and puts it back leaves a trace there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) publication: Option<String>,
    /// A lineage was accepted when the log stood here. What was committed before and cannot be read is passed over: the first load reads
    /// all rows after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) anew: Option<u64>,
    /// Partitions of captured roots; none where nobody has looked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parts: Option<Parts>,
}

impl LogPosition {
    /// Nothing of what the slot of `log` keeps from `end` on.
    pub(super) fn start(log: &str, end: u64) -> Self {
        Self {
            v: FORM,
            log: log.to_owned(),
            end,
            split: None,
            loaded: Vec::new(),
            snap: None,
            aside: Vec::new(),
            paused: Vec::new(),
            asked: Asked::default(),
            last: Some(Last { commit: end, xid: 0, time: 0 }),
            publication: None,
            anew: None,
            parts: None,
            given_up: None,
        }
    }

    /// The same, and what it does not cover has been given up when the log had come `to` there.
    pub(super) fn giving_up(self, to: &str) -> Self {
        Self { given_up: Some(to.to_owned()), ..self }
    }

    /// Reads the text of a position in `log`.
    pub(super) fn parse(position: &Position, log: &str) -> Result<Self, SourceError> {
        let foreign = |reason: &str| SourceError::ForeignPosition(reason.to_owned());
        let parsed: Self = serde_json::from_str(position.as_str())
            .map_err(|_| foreign("it is no position in the log of a PostgreSQL server"))?;
        if parsed.v != FORM {
            return Err(SourceError::ForeignPosition(format!("form {} of positions is unknown", parsed.v)));
        }
        if parsed.log != log {
            return Err(foreign("it was made in another server or database, or by another slot"));
        }
        if parsed.split.as_ref().is_some_and(|split| split.commit < parsed.end) {
            return Err(foreign("its transaction under way is one that it calls done"));
        }
        Ok(parsed)
    }

    /// The position as text.
    pub(super) fn to_position(&self) -> Result<Position, SourceError> {
        let text = serde_json::to_string(self)
            .map_err(|_| SourceError::ForeignPosition("the position cannot be written as text".to_owned()))?;
        Ok(Position::new(text))
    }

    /// A table of the position that is not the member that it was.
    pub(super) fn replaced(&self, members: &[Member]) -> Option<&str> {
        let known = self.loaded.iter().chain(self.snap.iter().chain(&self.paused).map(|snap| &snap.table));
        let other = |known: &&Member| {
            members.iter().any(|member| member.table == known.table && member.oid != known.oid)
        };
        known.clone().find(other).map(|known| known.table.as_str())
    }

    /// Brings the first load in line with the tables that are captured now: a table that is captured for the first time, or again
    /// after a time without, is loaded. `run` names the run where a new one begins.
    pub(super) fn plan_first_load(&mut self, members: &[Member], run: &str) {
        self.loaded.retain(|table| members.contains(table));
        self.paused.retain(|load| members.contains(&load.table));
        if self.snap.as_ref().is_some_and(|snap| !members.contains(&snap.table)) {
            self.snap = None;
        }
        if self.snap.is_none() {
            self.next_table(members, (run, 0));
        }
    }

    /// Marks the table of the first load as done and goes to the next, then to partitions that came later.
    pub(super) fn table_loaded(&mut self, members: &[Member], secret: &HashKey) {
        if let Some(snap) = self.snap.take() {
            match &snap.part {
                Some(part) => self.part_loaded(part),
                None => {
                    self.loaded.push(snap.table);
                    self.next_table(members, (&snap.run, snap.rows));
                }
            }
        }
        if self.snap.is_none() {
            self.next_part(members, secret);
        }
    }

    fn next_table(&mut self, members: &[Member], (run, rows): (&str, u64)) {
        let due = |table: &&Member| !self.loaded.contains(table) && self.aside_of(&table.table).is_none();
        let Some(table) = members.iter().find(due) else { return };
        let begun = self.paused.iter().position(|load| load.table == *table);
        self.snap = Some(match begun {
            // What the others have passed meanwhile counts.
            Some(at) => {
                let load = self.paused.remove(at);
                FirstLoad { rows: load.rows.max(rows), ..load }
            }
            None => FirstLoad { run: run.to_owned(), table: table.clone(), after: None, rows, part: None },
        });
    }

    /// What is known of a table that is set aside.
    pub(super) fn aside_of(&self, table: &str) -> Option<&Aside> {
        self.aside.iter().find(|aside| aside.table == table)
    }

    /// Sets a table aside. Its first load waits, and that of the next table begins.
    pub(super) fn set_aside(&mut self, aside: Aside, members: &[Member]) {
        let waits = self.snap.take_if(|snap| snap.table.table == aside.table);
        self.aside.push(aside);
        if let Some(snap) = waits {
            let (run, rows) = (snap.run.clone(), snap.rows);
            // A partition is loaded from its beginning.
            if snap.part.is_none() {
                self.paused.push(snap);
            }
            self.next_table(members, (&run, rows));
        }
    }

    /// What was set aside of the table has been given out. Its first load goes on; `run` names the run where a new one begins.
    pub(super) fn mended(&mut self, table: &str, members: &[Member], run: &str) {
        self.aside.retain(|aside| aside.table != table);
        if self.snap.is_none() {
            self.next_table(members, (run, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[(&str, i64)]) -> Vec<Member> {
        names.iter().map(|(name, oid)| Member { table: (*name).to_owned(), oid: *oid }).collect()
    }

    #[test]
    fn text_reads_back_without_a_key_being_shown_and_foreign_text_is_refused() {
        let mut position = LogPosition::start("1/2/s", 0x10);
        position.split = Some(Split { commit: 0x18, given: 3 });
        position.plan_first_load(&members(&[("public.a", 7)]), "r");
        position.snap.as_mut().unwrap().after = Some(vec!["001085730194".to_owned()]);
        assert!(!format!("{position:?}").contains("0010857"));
        let text = position.to_position().unwrap();
        assert_eq!(LogPosition::parse(&text, "1/2/s").unwrap(), position);
        position.end = 0x19;
        let strange = ["", "{}", r#"{"v":1,"end":4}"#, "0/16B3748"].map(Position::new);
        for (position, log) in strange
            .iter()
            .map(|text| (text, "1/2/s"))
            .chain([(&text, "1/2/t"), (&position.to_position().unwrap(), "1/2/s")])
        {
            assert!(matches!(LogPosition::parse(position, log), Err(SourceError::ForeignPosition(_))));
        }
    }

    #[test]
    fn tables_are_loaded_one_after_the_other_and_a_new_one_later() {
        let mut position = LogPosition::start("l", 0);
        let first = members(&[("a", 1), ("b", 2)]);
        position.plan_first_load(&first, "r1");
        position.table_loaded(&first, &HashKey::new([0; 32]));
        assert_eq!(position.snap.as_ref().map(|snap| snap.table.table.as_str()), Some("b"));
        position.table_loaded(&first, &HashKey::new([0; 32]));
        assert_eq!(position.snap, None);
        position.plan_first_load(&members(&[("a", 1), ("c", 3)]), "r2");
        let snap = position.snap.as_ref().map(|snap| (snap.run.as_str(), snap.table.table.as_str()));
        assert_eq!(
            (snap, &position.loaded),
            (Some(("r2", "c")), &members(&[("a", 1)])),
            "b is loaded anew when it comes back"
        );
    }

    #[test]
    fn the_first_load_of_a_table_that_is_set_aside_waits_and_goes_on_where_it_was() {
        let both = members(&[("a", 1), ("b", 2)]);
        let aside = |table: &str| Aside {
            table: table.to_owned(),
            commit: 7,
            index: 1,
            last: None,
            rows: 0,
            bytes: 0,
            since: 0,
            rule: "column-missing".to_owned(),
            problem: String::new(),
            mending: None,
        };
        let mut position = LogPosition::start("l", 0);
        position.plan_first_load(&both, "r1");
        position.snap.as_mut().unwrap().after = Some(vec!["5".to_owned()]);
        let begun = position.snap.clone();
        position.set_aside(aside("a"), &both);
        let table = |position: &LogPosition| position.snap.as_ref().map(|snap| snap.table.table.clone());
        assert_eq!(table(&position).as_deref(), Some("b"));
        position.set_aside(aside("b"), &both);
        assert_eq!(table(&position), None);
        position = LogPosition::parse(&position.to_position().unwrap(), "l").unwrap();
        position.plan_first_load(&both, "r2");
        assert_eq!(table(&position), None, "nor after a start");
        position.mended("a", &both, "r3");
        assert_eq!(position.snap, begun);
        position.mended("b", &both, "r3");
        position.table_loaded(&both, &HashKey::new([0; 32]));
        assert_eq!(position.snap.as_ref().map(|snap| snap.run.as_str()), Some("r1"), "as it was planned");
        position.table_loaded(&both, &HashKey::new([0; 32]));
        assert_eq!((position.snap, position.loaded), (None, both));
    }

    #[test]
    fn a_table_that_left_the_publication_in_between_is_told() {
        let mut position = LogPosition::start("l", 0);
        position.plan_first_load(&members(&[("a", 1), ("b", 2)]), "r");
        assert_eq!(
            position.replaced(&members(&[("a", 1), ("b", 9), ("c", 3)])),
            None,
            "b has given out nothing"
        );
        assert_eq!(position.replaced(&members(&[("a", 8)])), Some("a"));
        position.table_loaded(&members(&[("a", 1)]), &HashKey::new([0; 32]));
        assert_eq!(position.replaced(&members(&[("a", 8)])), Some("a"));
        assert_eq!(position.replaced(&[]), None);
    }
}
