//! The outbox source: lock, lineage, seeking, waiting and forgetting. What a poll does is in [`super::poll`].
//!
//! A file in WAL mode is read beside its writers. In the other journal modes a reader and a committing writer wait for each
//! other; polls and deletions are short there, and the owner's connections want a busy timeout.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::source::{PollLimit, Polled, RowVisitor, Source, SourceError, TableCapture};
use rusqlite::Connection;

use super::error::source_error;
use super::file::{self, Identity, NotLocked, OutboxLock};
use super::poll::Session;
use super::triggers::OutboxNames;
use crate::blocking;

/// Pause between looks at the file's counter of commits.
const LOOK: Duration = Duration::from_millis(5);
/// Shortest pause between two deletions, so that the owner's writers get their turn.
const TURN: Duration = Duration::from_millis(2);

/// A SQLite file that publishes through an outbox.
pub(crate) struct SqliteSource {
    name: String,
    path: PathBuf,
    names: OutboxNames,
    captures: Vec<TableCapture>,
    session: Option<Session>,
}

impl SqliteSource {
    /// Touches nothing yet.
    pub(crate) fn new(name: &str, (path, outbox): (&Path, &str), captures: Vec<TableCapture>) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            names: OutboxNames::new(outbox),
            captures,
            session: None,
        }
    }

    pub(super) fn session(&mut self) -> Result<&mut Session, SourceError> {
        self.session.as_mut().ok_or_else(|| SourceError::Unreachable {
            source_name: self.name.clone(),
            reason: "the source is not open".to_owned(),
        })
    }

    fn start(&self) -> Result<(Session, Lineage), SourceError> {
        let (conn, identity) = connect(&self.name, &self.path)?;
        let lock = lock(&self.name, &self.path, &self.names)?;
        Session::new(conn, (identity, lock), &self.name, &self.names, &self.captures)
    }
}

/// Takes the source's lock.
pub(super) fn lock(name: &str, path: &Path, names: &OutboxNames) -> Result<OutboxLock, SourceError> {
    OutboxLock::take(path, &names.outbox, name).map_err(|error| match error {
        NotLocked::Held(holder) => SourceError::Held { holder },
        NotLocked::Io(error) => SourceError::Unreachable {
            source_name: name.to_owned(),
            reason: format!("the lock file beside the database: {}", error.kind()),
        },
    })
}

/// Opens the file, which must be there.
pub(super) fn connect(name: &str, path: &Path) -> Result<(Connection, Identity), SourceError> {
    let identity = Identity::of(path).map_err(|e| SourceError::NotPrepared {
        problem: format!("{name}: the database file {}: {}", path.display(), e.kind()),
        fix: "correct the path in the participant's file, or bring the file back".to_owned(),
    })?;
    let conn = file::connect(path).map_err(|e| source_error(name, &e))?;
    Ok((conn, identity))
}

#[async_trait]
impl Source for SqliteSource {
    async fn open(&mut self) -> Result<Lineage, SourceError> {
        // The old session holds the lock.
        self.session = None;
        let (session, lineage) = blocking::run(|| self.start())?;
        self.session = Some(session);
        Ok(lineage)
    }

    async fn seek(&mut self, from: Option<&Position>) -> Result<(), SourceError> {
        let session = self.session()?;
        blocking::run(|| session.seek(from))
    }

    async fn poll(&mut self, limit: PollLimit, visitor: &mut dyn RowVisitor) -> Result<Polled, SourceError> {
        let session = self.session()?;
        blocking::run(|| session.poll(limit.rows.max(1), visitor))
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        let begin = Instant::now();
        // A look takes microseconds and never waits for a lock, so it needs no thread of its own.
        while !self.session()?.changed()? {
            let left = at_most.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(LOOK.min(left)).await;
        }
        Ok(())
    }

    async fn forget(&mut self, through: &Position) -> Result<(), SourceError> {
        loop {
            let begin = Instant::now();
            let session = self.session()?;
            if !blocking::run(|| session.forget_batch(through))? {
                return Ok(());
            }
            tokio::time::sleep(begin.elapsed().max(TURN)).await;
        }
    }

    async fn retained(&mut self) -> Result<u64, SourceError> {
        let session = self.session()?;
        blocking::run(|| session.retained())
    }
}
