//! A first load as it is told, and how fast it may go.

use std::time::Duration;

use lienthong_contract::load::LoadProgress;
use lienthong_contract::source::SourceError;
use tokio::time::Instant;

use super::super::asked::{self, at_once};
use super::super::error::source_error;
use super::super::session::{PATIENCE, within};
use super::position::Member;
use super::session::Session;
use super::source::LogSource;

/// What a first load is bound by, and what is known of it.
#[derive(Default)]
pub(super) struct First {
    /// At most so many rows per second are read; `None`: as fast as the bus takes them.
    rate: Option<u32>,
    /// Not before then the next chunk is read.
    due: Option<Instant>,
    /// Rows of all tables that it loads, by the planner's guess when it was begun or gone on with.
    expected: Option<u64>,
}

impl First {
    pub(super) fn new(rate: Option<u32>) -> Self {
        Self { rate, ..Self::default() }
    }

    /// How many rows the next chunk may have.
    pub(super) fn limit(&self, limit: usize) -> usize {
        self.rate.map_or(limit, |rate| limit.min(at_once(rate)))
    }

    /// So many rows have been read.
    pub(super) fn read(&mut self, rows: usize) {
        let time = |rate: u32| Duration::from_secs_f64(rows as f64 / f64::from(rate.max(1)));
        self.due = self.rate.map(|rate| Instant::now() + time(rate));
    }

    fn is_due(&self) -> bool {
        self.due.is_none_or(|due| Instant::now() >= due)
    }
}

impl LogSource {
    /// With a first load of at most so many rows per second.
    pub(crate) fn at_rate(mut self, rate: Option<u32>) -> Self {
        self.load_rate = rate;
        self
    }
}

impl Session {
    /// Whether rows are to be read now: of a first load, or those that somebody asks for.
    pub(super) fn rows_are_due(&self) -> bool {
        let loading = self.position.as_ref().is_some_and(|position| position.snap.is_some());
        if loading { self.first.is_due() } else { self.load_is_due() }
    }

    /// Asks the planner how many rows a first load will read that is under way or begins.
    pub(super) async fn expect_rows(&mut self) -> Result<(), SourceError> {
        let Some(position) = &self.position else { return Ok(()) };
        let Some(snap) = &position.snap else { return Ok(()) };
        let mut expected = Some(snap.rows);
        // What is set aside waits, and may never be loaded.
        let due = |member: &&Member| {
            !position.loaded.contains(member) && position.aside_of(&member.table).is_none()
        };
        for member in self.members.iter().filter(due) {
            let Some(table) = self.tables.named(&member.table) else { continue };
            let begun = position.paused.iter().chain([snap]).find(|load| load.table == *member);
            let after = begun.and_then(|load| load.after.as_deref());
            let captured = &self.tables.all[table].captured;
            let asking = asked::behind(&mut self.conn, captured, after);
            let rows = match within(PATIENCE, asking).await {
                Ok(rows) => rows,
                // Nothing depends on the guess.
                Err(sqlx::Error::Database(_)) => None,
                Err(error) => return Err(source_error(&self.name, &error)),
            };
            expected = expected.zip(rows).map(|(one, other)| one.saturating_add(other));
        }
        self.first.expected = expected;
        Ok(())
    }

    /// How far the first load is; `None` where none is under way.
    pub(super) fn first_load(&self) -> Option<LoadProgress> {
        let snap = self.position.as_ref()?.snap.as_ref()?;
        Some(LoadProgress {
            id: String::new(),
            rows: snap.rows,
            missing: 0,
            // There were more than was guessed.
            total: self
                .first
                .expected
                .filter(|_| snap.part.is_none())
                .map(|expected| expected.max(snap.rows)),
            estimated: true,
            done: false,
            refused: None,
        })
    }
}
