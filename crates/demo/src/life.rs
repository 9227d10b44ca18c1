//! The nation's life on the clock: happenings at a rate, their steps one after the other, and where it went on before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::{FixedOffset, NaiveDate, Utc};
use lienthong_nation::{Happening, Nation, Step};
use rusqlite::{Connection, params};

use crate::error::{DemoError, database};
use crate::ground::{Making, NAME};
use crate::offices::Offices;

/// The way back through former happenings is told after so many.
const TELL: i64 = 1_000;

/// A nation that lives in the databases of a folder.
pub struct Life {
    nation: Nation,
    offices: Offices,
    state: Connection,
    /// Between two happenings.
    pause: Duration,
    next_at: Instant,
    /// When a step is due, its happening and index.
    due: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    /// Steps that are left, by happening.
    open: BTreeMap<u64, Vec<Step>>,
}

impl Life {
    pub(crate) fn new(nation: Nation, offices: Offices, state: Connection, pause: Duration) -> Self {
        let (due, open) = (BinaryHeap::new(), BTreeMap::new());
        Self { nation, offices, state, pause, next_at: Instant::now(), due, open }
    }

    /// Happenings since the nation began.
    #[must_use]
    pub fn happened(&self) -> u64 {
        self.nation.happened()
    }

    /// People who live.
    #[must_use]
    pub fn living(&self) -> u32 {
        self.nation.living()
    }

    /// Does what is due and says when to come again.
    ///
    /// # Errors
    /// When a database refuses a step.
    pub fn tick(&mut self) -> Result<Duration, DemoError> {
        let now = Instant::now();
        while let Some(Reverse((at, number, index))) = self.due.peek().copied() {
            if at > now {
                break;
            }
            self.due.pop();
            self.step(number, index)?;
        }
        // A happening waits for the one so many before it; then life is as slow as the disks.
        let oldest = self.open.keys().next().copied();
        let crowded = oldest.is_some_and(|oldest| oldest + self.nation.apart() <= self.nation.happened() + 1);
        if self.next_at <= now && !crowded {
            self.begin(now)?;
            self.next_at = (self.next_at + self.pause).max(now);
        }
        let next = self.due.peek().map_or(self.next_at, |Reverse((at, ..))| (*at).min(self.next_at));
        let next = if crowded { next.max(now + Duration::from_millis(5)) } else { next };
        Ok(next.saturating_duration_since(Instant::now()))
    }

    /// Brings every happening that has begun to its end.
    ///
    /// # Errors
    /// When a database refuses a step.
    pub fn finish(&mut self) -> Result<(), DemoError> {
        self.due.clear();
        for (number, steps) in std::mem::take(&mut self.open) {
            self.write_all(number, &steps)?;
        }
        Ok(())
    }

    fn begin(&mut self, now: Instant) -> Result<(), DemoError> {
        let error = database(NAME);
        let today = today();
        if self.nation.today() < today {
            let from = self.nation.happened().cast_signed() + 1;
            let sql = "insert or replace into day values (?1, ?2)";
            self.state.execute(sql, params![from, today.to_string()]).map_err(&error)?;
            self.nation.set_today(today);
        }
        let happening = self.nation.advance();
        // Known before its first step: a demo that is killed makes the same happening again and finishes it.
        let number = happening.number.cast_signed();
        self.state.execute("update nation set happened = ?1", [number]).map_err(&error)?;
        let mut at = now;
        for (index, step) in happening.steps.iter().enumerate() {
            at += step.delay;
            self.due.push(Reverse((at, happening.number, index)));
        }
        self.open.insert(happening.number, happening.steps);
        Ok(())
    }

    fn step(&mut self, number: u64, index: usize) -> Result<(), DemoError> {
        let Some(steps) = self.open.get(&number) else { return Ok(()) };
        self.offices.write(number, index, &steps[index])?;
        if index + 1 == steps.len() {
            self.open.remove(&number);
        }
        Ok(())
    }

    fn write_all(&mut self, number: u64, steps: &[Step]) -> Result<(), DemoError> {
        for (index, step) in steps.iter().enumerate() {
            self.offices.write(number, index, step)?;
        }
        Ok(())
    }

    /// Lives again through what has happened, and finishes what may have been cut off.
    pub(crate) fn catch_up(
        &mut self,
        tell: &mut dyn FnMut(Making) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DemoError> {
        let error = database(NAME);
        let happened: i64 =
            self.state.query_row("select happened from nation", [], |row| row.get(0)).map_err(&error)?;
        let mut statement =
            self.state.prepare("select happening, day from day order by happening").map_err(&error)?;
        let days = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        let days: BTreeMap<i64, String> = days.and_then(Iterator::collect).map_err(&error)?;
        drop(statement);
        let apart = self.nation.apart();
        for number in 1..=happened {
            if number % TELL == 0 {
                let (done, of) = (number.cast_unsigned(), happened.cast_unsigned());
                if tell(Making::Past { done, of }).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if let Some(day) = days.get(&number).and_then(|day| day.parse().ok()) {
                self.nation.set_today(day);
            }
            let Happening { number, steps, .. } = self.nation.advance();
            if number + apart > happened.cast_unsigned() {
                self.write_all(number, &steps)?;
            }
        }
        self.next_at = Instant::now();
        Ok(ControlFlow::Continue(()))
    }
}

/// Today in Viet Nam, which keeps UTC+7 all year.
pub(crate) fn today() -> NaiveDate {
    FixedOffset::east_opt(7 * 3600)
        .map_or_else(|| Utc::now().date_naive(), |zone| Utc::now().with_timezone(&zone).date_naive())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::types::Value;

    use super::*;
    use crate::ground::{Ground, LifeOptions};
    use crate::site::{PARTICIPANTS, publisher_file};

    /// So many people that no happening waits for another.
    const PEOPLE: u32 = 2_000;
    const HAPPENINGS: u64 = 40;

    /// So many happenings of a new nation, at whatever rate they come.
    fn lives(folder: &Path, rate: f64) -> Result<NaiveDate, DemoError> {
        crate::site::write(folder, None)?;
        let options = LifeOptions { seed: Some(7), people: Some(PEOPLE), rate, canaries: false };
        let ground = Ground::open(folder, options)?;
        let mut life = ground.settle(&mut |_| ControlFlow::Continue(()))?.expect("nobody breaks it off");
        let first = life.nation.today();
        while life.happened() < HAPPENINGS {
            std::thread::sleep(life.tick()?);
        }
        life.finish()?;
        Ok(first)
    }

    /// Every row of every ministry's tables.
    fn rows(folder: &Path) -> Vec<(String, Vec<Vec<Value>>)> {
        let mut found = Vec::new();
        for participant in PARTICIPANTS {
            let file = Connection::open(publisher_file(folder, participant)).expect("a database");
            let mut names = file
                .prepare("select name from sqlite_master where type = 'table' and name not like 'sqlite%' order by name")
                .expect("the catalogue");
            let names: Vec<String> = names
                .query_map([], |row| row.get(0))
                .expect("names")
                .collect::<Result<_, _>>()
                .expect("names");
            for name in names {
                let mut statement = file.prepare(&format!("select * from {name}")).expect("the table");
                let width = statement.column_count();
                let cells = statement.query_map([], |row| (0..width).map(|cell| row.get(cell)).collect());
                let mut cells: Vec<Vec<Value>> =
                    cells.expect("rows").collect::<Result<_, _>>().expect("rows");
                cells.sort_by_key(|row| format!("{row:?}"));
                found.push((format!("{participant} {name}"), cells));
            }
        }
        found
    }

    #[test]
    fn two_folders_of_one_seed_on_one_day_hold_equal_rows_whatever_the_pace() {
        loop {
            let (one, other) =
                (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            let days = [(&one, 1e6), (&other, 20.0)]
                .map(|(folder, rate)| lives(folder.path(), rate).expect("a nation that lives"));
            // Midnight came between.
            if days[0] != days[1] || days[1] != today() {
                continue;
            }
            let (one, other) = (rows(one.path()), rows(other.path()));
            assert_eq!(one.iter().map(|(_, rows)| rows.len()).sum::<usize>(), {
                other.iter().map(|(_, rows)| rows.len()).sum::<usize>()
            });
            for (one, other) in one.iter().zip(&other) {
                assert!(one == other, "{} differs", one.0);
            }
            return;
        }
    }
}
