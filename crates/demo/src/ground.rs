//! A folder that a nation is to live in: what it was made from, its first day, and the life that it has had.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveDate;
use lienthong_nation::{Calendar, Config, Nation, Rates, System, unit_rows};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{DemoError, database};
use crate::layout;
use crate::life::{Life, today};
use crate::offices::Offices;

pub(crate) const NAME: &str = "demo.db";
/// Tables of [`NAME`].
pub(crate) const OWN_STATE: &str = "
create table nation (seed integer not null, people integer not null, start text not null, happened integer not null default 0,
  canaries integer not null);
create table day (happening integer primary key, day text not null);
";
/// The order in which the ministries get their first day: small ones first, so that something is on its way at once.
const ORDER: [System; 7] = [
    System::AdminUnits,
    System::Facilities,
    System::Identity,
    System::Residence,
    System::Population,
    System::Insurance,
    System::CivilStatus,
];
/// Progress is told after so many rows.
const TELL: u64 = 1_000;

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

/// How far the making of a nation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// Rows of the first day: how many are written, of the people and units that have been asked for theirs, ministry by ministry.
    Rows {
        /// Rows since the start of this run; those of a transaction that is under way are among them.
        rows: u64,
        /// People and units that were asked.
        asked: u64,
        /// Of so many.
        of: u64,
    },
    /// This participant's database holds its first day.
    Filled(&'static str),
    /// Happenings of former runs that are lived through again.
    Past {
        /// So many.
        done: u64,
        /// Of so many.
        of: u64,
    },
}

/// A folder's databases, open and of this version; nobody lives in them yet.
pub struct Ground {
    state: Connection,
    config: Config,
    offices: Offices,
    pause: Duration,
}

pub(crate) fn state_file(folder: &Path) -> PathBuf {
    folder.join("var").join(NAME)
}

impl Ground {
    /// Opens a folder that [`crate::write`] has made; the ministries' tables are there afterwards.
    ///
    /// # Errors
    /// When a database cannot be written, or the folder holds another nation than asked for.
    pub fn open(folder: &Path, options: LifeOptions) -> Result<Self, DemoError> {
        Self::open_on(today(), folder, options)
    }

    /// As [`Self::open`]; a new nation begins on this day.
    pub(crate) fn open_on(day: NaiveDate, folder: &Path, options: LifeOptions) -> Result<Self, DemoError> {
        layout::inspect(folder)?;
        let error = database(NAME);
        let mut state = Connection::open(state_file(folder)).map_err(&error)?;
        state.execute_batch("pragma journal_mode = wal; pragma synchronous = normal;").map_err(&error)?;
        let held = held(&state).map_err(&error)?;
        let default = Config::default();
        let start = match held {
            Some(held) => held.agrees(folder, options)?,
            None => {
                let (seed, people) =
                    (options.seed.unwrap_or(default.seed), options.people.unwrap_or(default.people));
                let start = Start { seed, people, canaries: options.canaries, day };
                start.keep(&mut state).map_err(&error)?
            }
        };
        let config = Config {
            seed: start.seed,
            people: start.people,
            start: start.day,
            canaries: start.canaries,
            calendar: Calendar::Driven,
            rates: Rates::lively(),
            ..default
        };
        let pause = Duration::from_secs_f64(1.0 / options.rate.max(0.01));
        Ok(Self { state, config, offices: Offices::open(folder)?, pause })
    }

    /// Writes the first day where it is missing and lives again through what has happened. A ministry's first day is one transaction:
    /// `None` when `tell` breaks it off, and the ministries that were filled by then stay so.
    ///
    /// # Errors
    /// When a database refuses what is written.
    pub fn settle(self, tell: &mut dyn FnMut(Making) -> ControlFlow<()>) -> Result<Option<Life>, DemoError> {
        let Self { state, config, mut offices, pause } = self;
        let mut missing = Vec::new();
        for system in ORDER {
            if offices.is_filled(system)? {
                if tell(Making::Filled(system.participant())).is_break() {
                    return Ok(None);
                }
            } else {
                missing.push(system);
            }
        }
        let units = unit_rows().count() as u64;
        let share = |system| if system == System::AdminUnits { units } else { u64::from(config.people) };
        let of = missing.iter().copied().map(share).sum();
        let mut progress = Progress { rows: 0, asked: 0, of, tell };
        // Before anybody is thought of, which takes seconds where they are many.
        if missing.first() == Some(&System::AdminUnits) {
            let rows = unit_rows().zip(1..);
            if offices.fill(System::AdminUnits, rows, &mut progress)?.is_break() {
                return Ok(None);
            }
        }
        let nation = Nation::new(config)?;
        for system in missing.into_iter().filter(|system| *system != System::AdminUnits) {
            let mut rows = nation.initial_rows(system);
            let rows = std::iter::from_fn(|| rows.next().map(|row| (row, rows.asked())));
            if offices.fill(system, rows, &mut progress)?.is_break() {
                return Ok(None);
            }
        }
        let mut life = Life::new(nation, offices, state, pause);
        Ok(life.catch_up(tell)?.is_continue().then_some(life))
    }
}

/// Tells how far the first day is.
pub(crate) struct Progress<'a> {
    rows: u64,
    /// By the ministries before the one at hand.
    asked: u64,
    of: u64,
    tell: &'a mut dyn FnMut(Making) -> ControlFlow<()>,
}

impl Progress<'_> {
    /// A row has been written; so many people of this ministry have been asked.
    pub(crate) fn row(&mut self, asked: usize) -> ControlFlow<()> {
        self.rows += 1;
        if !self.rows.is_multiple_of(TELL) {
            return ControlFlow::Continue(());
        }
        (self.tell)(Making::Rows { rows: self.rows, asked: self.asked + asked as u64, of: self.of })
    }

    /// A ministry's rows are committed.
    pub(crate) fn filled(&mut self, system: System, share: u64) -> ControlFlow<()> {
        self.asked += share;
        let rows = (self.tell)(Making::Rows { rows: self.rows, asked: self.asked, of: self.of });
        let filled = (self.tell)(Making::Filled(system.participant()));
        if rows.is_break() { rows } else { filled }
    }
}

/// What a nation is made from.
struct Start {
    seed: u64,
    people: u32,
    canaries: bool,
    day: NaiveDate,
}

impl Start {
    /// Makes the folder this nation's, with the mark of its version, in one transaction.
    fn keep(self, state: &mut Connection) -> rusqlite::Result<Self> {
        let transaction = state.transaction()?;
        transaction.execute_batch(OWN_STATE)?;
        transaction.execute(
            "insert into nation (seed, people, canaries, start) values (?1, ?2, ?3, ?4)",
            params![self.seed.cast_signed(), self.people, self.canaries, self.day.to_string()],
        )?;
        transaction.pragma_update(None, "user_version", layout::mark())?;
        transaction.commit()?;
        Ok(self)
    }

    /// What is asked for must be what is held.
    fn agrees(self, folder: &Path, options: LifeOptions) -> Result<Self, DemoError> {
        let held = (self.seed, self.people, self.canaries);
        let asked = (
            options.seed.unwrap_or(self.seed),
            options.people.unwrap_or(self.people),
            self.canaries || options.canaries,
        );
        if held == asked {
            return Ok(self);
        }
        let words = |(seed, people, canaries): (u64, u32, bool)| {
            let canaries = if canaries { " of canaries" } else { "" };
            format!("seed {seed} and {people} people{canaries}")
        };
        let folder = folder.display().to_string();
        Err(DemoError::Other { folder, held: words(held), asked: words(asked) })
    }
}

/// What the folder's nation was made from, when it holds one.
fn held(state: &Connection) -> rusqlite::Result<Option<Start>> {
    let tables = "select count(*) from sqlite_master where name = 'nation'";
    if state.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let start = |row: &rusqlite::Row<'_>| {
        let day: String = row.get(3)?;
        let day = day.parse().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error))
        })?;
        let seed = row.get::<_, i64>(0)?.cast_unsigned();
        Ok(Start { seed, people: row.get(1)?, canaries: row.get(2)?, day })
    };
    state.query_row("select seed, people, canaries, start from nation", [], start).optional()
}
