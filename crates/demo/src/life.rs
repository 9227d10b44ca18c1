//! The nation's life on the clock: happenings at a rate, their steps one after the other, and where it went on before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{FixedOffset, NaiveDate, Utc};
use lienthong_nation::{Calendar, Config, Happening, Nation, Rates, Step};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{DemoError, database};
use crate::offices::Offices;

const NAME: &str = "demo.db";

/// What the caller decides; `None` takes what the folder holds, or the default.
#[derive(Clone, Copy, Debug)]
pub struct LifeOptions {
    /// Where all chance comes from.
    pub seed: Option<u64>,
    /// How many live at the start.
    pub people: Option<u32>,
    /// Happenings per second.
    pub rate: f64,
    /// Whether a new nation is made of canaries; a folder's own stays as it is and may not become one.
    pub canaries: bool,
}

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
    /// Opens or makes the nation of this folder. A nation whose life was cut off is brought to where it was.
    ///
    /// # Errors
    /// When a database cannot be written, or the folder holds another nation than asked for.
    pub fn open(folder: &Path, options: LifeOptions) -> Result<Self, DemoError> {
        let error = database(NAME);
        let state = Connection::open(folder.join("var").join(NAME)).map_err(&error)?;
        state
            .execute_batch(
                "pragma journal_mode = wal; pragma synchronous = normal;
                 create table if not exists nation (seed integer, people integer, start text, happened integer not null default 0,
                     canaries integer not null default 0);
                 create table if not exists day (happening integer primary key, day text not null);",
            )
            .map_err(&error)?;
        let config = config(folder, &state, options)?;
        let mut life = Self {
            nation: Nation::new(config)?,
            offices: Offices::open(folder)?,
            state,
            pause: Duration::from_secs_f64(1.0 / options.rate.max(0.01)),
            next_at: Instant::now(),
            due: BinaryHeap::new(),
            open: BTreeMap::new(),
        };
        life.offices.populate(&life.nation)?;
        life.catch_up()?;
        Ok(life)
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
    fn catch_up(&mut self) -> Result<(), DemoError> {
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
            if let Some(day) = days.get(&number).and_then(|day| day.parse().ok()) {
                self.nation.set_today(day);
            }
            let Happening { number, steps, .. } = self.nation.advance();
            if number + apart > happened.cast_unsigned() {
                self.write_all(number, &steps)?;
            }
        }
        Ok(())
    }
}

/// Today in Viet Nam, which keeps UTC+7 all year.
fn today() -> NaiveDate {
    FixedOffset::east_opt(7 * 3600)
        .map_or_else(|| Utc::now().date_naive(), |zone| Utc::now().with_timezone(&zone).date_naive())
}

/// What the nation is made from: as it was, when the folder holds one.
fn config(folder: &Path, state: &Connection, options: LifeOptions) -> Result<Config, DemoError> {
    let error = database(NAME);
    let default = Config::default();
    let held = state
        .query_row("select seed, people, canaries, start from nation", [], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, u32>(1)?,
                row.get::<_, bool>(2)?,
                row.get::<_, String>(3)?,
            ))
        })
        .optional()
        .map_err(&error)?;
    let (seed, people, canaries, start) = match held {
        Some((seed, people, canaries, start)) => {
            let held = (seed.cast_unsigned(), people, canaries);
            let asked = (
                options.seed.unwrap_or(held.0),
                options.people.unwrap_or(people),
                canaries || options.canaries,
            );
            if held != asked {
                let words = |(seed, people, canaries): (u64, u32, bool)| {
                    let canaries = if canaries { " of canaries" } else { "" };
                    format!("seed {seed} and {people} people{canaries}")
                };
                let folder = folder.display().to_string();
                return Err(DemoError::Other { folder, held: words(held), asked: words(asked) });
            }
            (held.0, people, canaries, start.parse().unwrap_or(default.start))
        }
        None => {
            let (seed, people) =
                (options.seed.unwrap_or(default.seed), options.people.unwrap_or(default.people));
            let start = today();
            state
                .execute(
                    "insert into nation (seed, people, canaries, start) values (?1, ?2, ?3, ?4)",
                    params![seed.cast_signed(), people, options.canaries, start.to_string()],
                )
                .map_err(&error)?;
            (seed, people, options.canaries, start)
        }
    };
    Ok(Config {
        seed,
        people,
        start,
        canaries,
        calendar: Calendar::Driven,
        rates: Rates::lively(),
        ..default
    })
}
