//! Tables that are set aside: where the log has changes of a table that cannot be read as the participant's file says, they are kept as
//! they came, in order, and the other tables go on.
//!
//! **Invariant:** from the first change that is set aside on, every one of its table is, also one that could be read: what comes later must
//! not overtake what waits. Only [`Session::mended`] ends that, when all that was set aside stands in the log of the bus.

use std::time::{SystemTime, UNIX_EPOCH};

use lienthong_contract::aside::{AsideTable, Mending, SetAside};
use lienthong_contract::position::Position;
use lienthong_contract::source::{Place, RowVisitor, SourceError};
use lienthong_contract::{Cell, counted};

use super::super::super::error::source_error;
use super::super::super::session::within;
use super::super::super::wal::message::Message;
use super::super::super::wal::relation::Difference;
use super::super::change::{self, Unreadable, unread};
use super::super::check::Unfit;
use super::super::connection::Form;
use super::super::kept::{self, Spot};
use super::super::position::{Aside, FirstLoad, LogPosition};
use super::super::tables::{Breach, judge};
use super::Session;
use super::rows::{changes, name};

/// Changes of one table that may be set aside.
const MOST_ROWS: u64 = 10_000;
/// Their length together: they are held in memory when they are published.
const MOST_BYTES: u64 = 256 << 20;
/// The longest of them: as a record of an event.
const LONGEST: usize = 1 << 20;

/// What mends a table that is set aside.
pub(in super::super) fn fix(participant: &str) -> String {
    format!(
        "change the participant's file to the columns that the table has now, or take the change of the table back; then stop the \
         connector and run `lienthong quarantine retry {participant}`"
    )
}

impl Session {
    /// Gives out what happened to a row, or sets it aside; one that was given out before only passes.
    pub(super) fn row_or_aside(
        &mut self,
        (message, data): (&Message<'_>, &[u8]),
        (table, index, passed): (usize, u32, bool),
        visitor: &mut dyn RowVisitor,
    ) -> Result<usize, SourceError> {
        let (of, place) = (&self.tables.all[table], self.open.as_ref().map(|open| (open.commit, open.time)));
        let (Some((commit, time)), Some(position)) = (place, &self.position) else {
            return Err(unread(of, Unreadable::Misfit));
        };
        let aside = position.aside_of(&of.captured.name);
        let breach = of.seen.as_ref().and_then(|seen| seen.breach.clone());
        // It was set aside, or it was published by a mapping that is not that of today: neither counts.
        let counted = aside.is_none_or(|aside| (commit, index) < (aside.commit, aside.index));
        if passed && (of.plan.is_none() || !counted) {
            return Ok(0);
        }
        // The first load reads every row of it after this.
        let passed_over = position.anew.is_some_and(|anew| commit < anew);
        match (aside, breach) {
            (Some(_), _) if !passed => {}
            // What would have to be looked up for it later is of now.
            (None, Some(breach)) if passed_over || of.looks_up() => {
                return Err(SourceError::Gap { gap: breach.problem, fix: fix(&self.name) });
            }
            (None, Some(breach)) => self.set_aside(table, &breach, (commit, index, time))?,
            _ => return self.row(message, (table, index, passed), visitor),
        }
        self.keep((message, data), (table, Spot { commit, index, time }), visitor)?;
        Ok(1)
    }

    /// From here on no change of the table is given out.
    fn set_aside(
        &mut self,
        table: usize,
        breach: &Breach,
        (commit, index, since): (u64, u32, i64),
    ) -> Result<(), SourceError> {
        let of = self.tables.all[table].captured.name.clone();
        // Nobody knows yet as what the values will be read.
        let stream = self.parts()?.0;
        if stream.form == Form::Binary {
            tracing::info!(table = of, "it will be set aside: the log is read as text from here on");
            stream.refused = true;
            let reason = "the log is read again as text".to_owned();
            return Err(SourceError::Unreachable { source_name: self.name.clone(), reason });
        }
        let (rule, problem) = (breach.rule.to_owned(), breach.problem.clone());
        tracing::error!(
            source = self.name,
            table = of,
            rule,
            problem,
            fix = fix(&self.name),
            "the table's changes are set aside from here on"
        );
        self.chunk.take_if(|chunk| chunk.table == table);
        if self.load.as_ref().is_some_and(|load| load.request.table == table) {
            self.refuse(&waits(&of));
        }
        let aside = Aside {
            table: of,
            commit,
            index,
            last: None,
            rows: 0,
            bytes: 0,
            since,
            rule,
            problem,
            mending: None,
        };
        if let Some(position) = &mut self.position {
            position.set_aside(aside, &self.members);
        }
        Ok(())
    }

    /// The rows of a table that is loaded cannot be read.
    pub(super) fn set_load_aside(&mut self, table: usize) -> Result<(), SourceError> {
        let name = &self.tables.all[table].captured.name;
        let problem = format!("{name} lacks a captured column, and its rows cannot be loaded");
        self.set_aside(table, &Breach { rule: "column-missing", problem }, (self.reached, 0, now()))
    }

    /// Hands a change over as it came.
    fn keep(
        &mut self,
        (message, data): (&Message<'_>, &[u8]),
        (table, spot): (usize, Spot),
        visitor: &mut dyn RowVisitor,
    ) -> Result<(), SourceError> {
        let of = &self.tables.all[table];
        let Some(seen) = &of.seen else { return Err(unread(of, Unreadable::Misfit)) };
        if let Some(partitions) = &of.partitions {
            partitions.tell(&of.captured.name, message)?;
        }
        self.arena.reset();
        let mut broken = Vec::new();
        let row = match *message {
            Message::Insert { new, .. } | Message::Update { new, .. } => {
                seen.plan.new_row(new, &mut broken, &self.arena)
            }
            Message::Delete { old, .. } => seen.plan.old_row(old, &mut broken, &self.arena),
            _ => return Err(unread(of, Unreadable::Misfit)),
        };
        let row = row.map_err(|misfit| unread(of, misfit.into()))?;
        let key: Vec<Cell<'_>> = of.keys.iter().map(|at| row.cells[*at]).collect();
        let too_long = || SourceError::Aside {
            problem: format!(
                "{} is set aside, and the log has a change of it that is longer than 1 MiB",
                of.captured.name
            ),
            fix: fix(&self.name),
        };
        let content = kept::write(spot, &seen.relation, data).filter(|content| content.len() <= LONGEST);
        let content = content.ok_or_else(too_long)?;
        name(spot, &mut self.id);
        let aside = self
            .position
            .as_mut()
            .and_then(|position| position.aside.iter_mut().find(|aside| aside.table == of.captured.name));
        let Some(aside) = aside else { return Err(unread(of, Unreadable::Misfit)) };
        visitor.aside(&SetAside {
            table: &aside.table,
            index: table,
            id: &self.id,
            place: Place { lsn: spot.commit, index: spot.index },
            time: spot.time,
            key: &key,
            rule: &aside.rule,
            fix: &fix(&self.name),
            content: &content,
        });
        aside.last = Some((spot.commit, spot.index));
        aside.rows += 1;
        aside.bytes += content.len() as u64;
        Ok(())
    }

    /// A table that has been loaded goes on until its log has a change that cannot be read; the load of one that has other columns now
    /// waits. One that was never captured with these columns is refused.
    pub(in super::super) fn lets_wait(
        &self,
        unfit: &[Unfit],
        position: &mut LogPosition,
    ) -> Result<(), SourceError> {
        for Unfit { table, problem, fix } in unfit {
            let name = &self.tables.all[*table].captured.name;
            let loaded = position.loaded.iter().any(|member| member.table == *name);
            if loaded || position.aside_of(name).is_some() {
                continue;
            }
            let begun = |snap: &FirstLoad| snap.table.table == *name && snap.after.is_some();
            if !position.snap.as_ref().is_some_and(begun) {
                return Err(SourceError::NotPrepared { problem: problem.clone(), fix: fix.clone() });
            }
            let aside = Aside {
                table: name.clone(),
                commit: position.end,
                index: 0,
                last: None,
                rows: 0,
                bytes: 0,
                since: now(),
                rule: "column-missing".to_owned(),
                problem: problem.clone(),
                mending: None,
            };
            position.set_aside(aside, &self.members);
        }
        Ok(())
    }

    /// Tables that are set aside.
    pub(in super::super) fn aside(&self) -> Vec<AsideTable> {
        let all = self.position.iter().flat_map(|position| &position.aside);
        let told = all.map(|aside| AsideTable {
            table: aside.table.clone(),
            from: Place { lsn: aside.commit, index: aside.index },
            last: aside.last.map(|(lsn, index)| Place { lsn, index }),
            rows: aside.rows,
            since: aside.since,
            rule: aside.rule.clone(),
            problem: aside.problem.clone(),
            fix: fix(&self.name),
            decided: aside.mending.is_some(),
        });
        told.collect()
    }

    /// Why nothing more is given out.
    pub(in super::super) fn full(&self) -> Option<SourceError> {
        let position = self.position.as_ref()?;
        let mut all = position.aside.iter();
        let full = all.find(|aside| aside.rows >= MOST_ROWS || aside.bytes >= MOST_BYTES)?;
        let changes = counted(full.rows, "change");
        let problem = format!("{}; {changes} of it are set aside, as many as may be", full.problem);
        Some(SourceError::Aside { problem, fix: fix(&self.name) })
    }

    /// How what is set aside is read again; the position that says so.
    pub(in super::super) fn decide(&mut self, mending: &Mending) -> Result<Option<Position>, SourceError> {
        let (_, position) = self.parts()?;
        if position.aside.is_empty() {
            return Ok(None);
        }
        for aside in &mut position.aside {
            let of = |table: &str| table == aside.table;
            aside.mending = Some(Mending {
                renames: mending.renames.iter().filter(|renamed| of(&renamed.table)).cloned().collect(),
                absent: mending.absent.iter().filter(|absent| of(&absent.table)).cloned().collect(),
            });
        }
        position.to_position().map(Some)
    }

    /// Gives out a change that was set aside.
    pub(in super::super) async fn again(
        &mut self,
        table: &str,
        content: &[u8],
        visitor: &mut dyn RowVisitor,
    ) -> Result<(), SourceError> {
        let unknown = || SourceError::Aside {
            problem: format!("what was set aside of {table} cannot be read"),
            fix: "use the program and the seal key by which it was set aside".to_owned(),
        };
        let mending = self.position.as_ref().and_then(|position| position.aside_of(table)?.mending.clone());
        let (Some(mending), Some(at)) = (mending, self.tables.named(table)) else { return Err(unknown()) };
        let (spot, mut relation, message) = kept::read(content).ok_or_else(unknown)?;
        for renamed in &mending.renames {
            let there = |name: &str| relation.columns.iter().position(|column| column.name == name);
            if let (Some(old), None) = (there(&renamed.old), there(&renamed.new)) {
                relation.columns[old].name = &renamed.new;
            }
        }
        let planning = self.tables.plan(&mut self.conn, at, &relation);
        let planned = within(self.silence.given_up, planning)
            .await
            .map_err(|error| source_error(&self.name, &error))?;
        let (mut plan, of) = (planned.0, &self.tables.all[at]);
        if of.looks_up() {
            return Err(SourceError::Aside {
                problem: format!(
                    "something of {table} is looked up, and what was set aside of it has not been"
                ),
                fix: "leave the look-ups out of the participant's file until the table is mended".to_owned(),
            });
        }
        for difference in &planned.1 {
            if let Difference::Missing(column) = difference
                && mending.absent.iter().any(|absent| absent.column == *column)
                && let Some(place) = of.capture.columns.iter().position(|name| name == column)
            {
                plan = plan.without(place);
            } else if let Some(breach) = judge(table, difference)? {
                return Err(self.still(&breach));
            }
        }
        self.arena.reset();
        let columns = (&of.keys[..], of.capture.columns.len());
        let read =
            change::read(&message, &plan, columns, &self.arena).map_err(|reason| unread(of, reason))?;
        changes([Some(read.0), read.1], (at, spot), &mut self.id, &mut |change| visitor.row(change));
        Ok(())
    }

    fn still(&self, breach: &Breach) -> SourceError {
        SourceError::Aside {
            problem: format!("what was set aside does not suit the participant's file: {}", breach.problem),
            fix: format!(
                "change the file, or say by `lienthong quarantine retry {} --rename TABLE.OLD=NEW` under which other name it has the \
                 column, or by --absent TABLE.COLUMN that null is right where it has none",
                self.name
            ),
        }
    }

    /// The table's changes are given out again from here on.
    pub(in super::super) fn mended(&mut self, table: &str) -> Result<(), SourceError> {
        let run = self.run(self.position.as_ref().map_or(0, |position| position.end));
        let Some(position) = &mut self.position else { return Ok(()) };
        position.mended(table, &self.members, &run);
        Ok(())
    }

    /// Names the run of a first load. It follows from where the run began: one that was killed before its first position was stored gives
    /// its rows the same ids again, and a table that is captured later belongs to another run.
    pub(in super::super) fn run(&self, end: u64) -> String {
        run(&self.secret, &super::super::source::place(end))
    }
}

/// See [`Session::run`].
pub(in super::super) fn run(secret: &lienthong_contract::keys::HashKey, began: &str) -> String {
    secret.derive("run").hash(&[began.as_bytes()]).hex()[..12].to_owned()
}

/// Why rows of a table are not loaded.
pub(in super::super) fn waits(table: &str) -> String {
    format!(
        "{table} is set aside: `lienthong status` says why; its rows can be loaded when it is mended and retried"
    )
}

/// Microseconds since 1970 UTC.
pub(in super::super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
