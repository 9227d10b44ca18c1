//! Rows that somebody asks for, beside the stream: chunks as those of a first load, at a rate, on an open source.

use lienthong_contract::load::{LoadProgress, LoadRequest};
use lienthong_contract::source::{RowChange, RowOp, RowVisitor, Side, SourceError};
use tokio::time::Instant;

use super::super::asked::{ChunkQuery, Load};
use super::super::decode;
use super::super::error::source_error;
use super::super::joins;
use super::super::session::{PATIENCE, within};
use super::load::{Chunk, Loaded};
use super::session::Session;
use super::session::aside::waits;
use crate::asked::Passed;

impl Session {
    /// The number of the first request that has not been served as a whole.
    pub(super) fn served(&self) -> Option<i64> {
        self.position.as_ref().map(|position| position.asked.next)
    }

    /// How far the newest request has come.
    pub(super) fn load_progress(&self) -> Option<LoadProgress> {
        self.told.clone()
    }

    /// When the next chunk is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.load.as_ref().map(|load| load.due)
    }

    /// Begins or goes on with a request.
    pub(super) async fn load(
        &mut self,
        number: i64,
        request: Result<LoadRequest, String>,
    ) -> Result<(), SourceError> {
        let Some(position) = self.position.as_mut() else { return Ok(()) };
        position.asked.turn_to(number);
        let (id, begun) = match request {
            Err(reason) => (String::new(), Err(reason)),
            Ok(request) => (request.id.clone(), self.begin_load(request).await?),
        };
        let Some(position) = self.position.as_mut() else { return Ok(()) };
        match begun {
            Ok(load) => {
                self.told = Some(load.progress(&position.asked));
                self.load = Some(load);
            }
            Err(reason) => {
                position.asked = position.asked.done();
                self.told = Some(LoadProgress::refused(&id, &reason));
            }
        }
        Ok(())
    }

    async fn begin_load(&mut self, request: LoadRequest) -> Result<Result<Load, String>, SourceError> {
        let Some(of) = self.tables.all.get(request.table) else {
            return Ok(Err("its table is not captured".to_owned()));
        };
        let name = &of.captured.name;
        if self.position.as_ref().is_some_and(|position| position.aside_of(name).is_some()) {
            return Ok(Err(waits(name)));
        }
        let run = self.secret.derive("asked").hash(&[request.id.as_bytes()]).hex()[..12].to_owned();
        let beginning = Load::begin(&mut self.conn, &of.captured, request, format!("q{run}"));
        self.asking = true;
        let begun = within(PATIENCE, beginning).await.map_err(|error| source_error(&self.name, &error))?;
        self.asking = false;
        Ok(begun)
    }

    /// The request is not served any further.
    pub(super) fn refuse(&mut self, reason: &str) {
        let Some(load) = self.load.take() else { return };
        self.told = Some(LoadProgress::refused(&load.request.id, reason));
        if let Some(position) = &mut self.position {
            position.asked = position.asked.done();
        }
    }

    /// Whether it is somebody's rows that are read, and no first load.
    pub(super) fn serves(&self) -> bool {
        self.load.is_some() && self.position.as_ref().is_some_and(|position| position.snap.is_none())
    }

    /// What the next chunk reads: a first load goes before what somebody asks for. `only` says which rows of a first load, if not all.
    pub(super) fn next_chunk(&self, limit: usize, only: Option<&str>) -> Option<(usize, ChunkQuery)> {
        let position = self.position.as_ref()?;
        if let Some(snap) = &position.snap {
            let table = self.tables.named(&snap.table.table)?;
            let captured = &self.tables.all[table].captured;
            let limit = self.first.limit(limit);
            let query = ChunkQuery::whole(captured, snap.after.as_deref(), limit);
            return Some((table, only.into_iter().fold(query, |query, only| query.narrowed(captured, only))));
        }
        let load = self.load.as_ref()?;
        let of = self.tables.all.get(load.request.table)?;
        Some((load.request.table, load.next(&of.captured, &position.asked, limit)))
    }

    /// A chunk that was read for whoever asks knows what giving it out comes to.
    pub(super) fn mark(&mut self, chunk: &mut Chunk, limit: usize) {
        if !self.serves() {
            return;
        }
        let (Some(position), Some(load)) = (&self.position, &mut self.load) else { return };
        let last = chunk.rows.back().map(|row| &row.key);
        chunk.asked = Some(load.pass(&position.asked, limit, (chunk.rows.len(), last)));
    }

    /// Gives a chunk out as a whole, so that what is missing of it is counted once.
    pub(super) fn give_asked(
        &mut self,
        mut chunk: Chunk,
        passed: Passed,
        visitor: &mut dyn RowVisitor,
    ) -> Result<usize, SourceError> {
        let Some(Load { run, request, .. }) = &self.load else { return Ok(0) };
        let (run, event) = (run.clone(), request.event.clone());
        visitor.asked(Some(&event));
        let rows = std::mem::take(&mut chunk.rows);
        let mut given = Ok(0);
        for row in rows.iter().filter(|row| chunk.stands(row)) {
            given = match (given, self.visit(&chunk, row, &run, visitor)) {
                (Ok(count), Ok(())) => Ok(count + 1),
                (_, Err(error)) | (Err(error), _) => Err(error),
            };
            if given.is_err() {
                break;
            }
        }
        visitor.asked(None);
        let given = given?;
        self.passed(passed);
        Ok(given)
    }

    fn passed(&mut self, Passed { asked, progress }: Passed) {
        if progress.done {
            self.load = None;
        }
        self.told = Some(progress);
        if let Some(position) = &mut self.position {
            position.asked = asked;
        }
    }

    /// Gives out a row that was read.
    pub(super) fn visit(
        &mut self,
        chunk: &Chunk,
        row: &Loaded,
        run: &str,
        visitor: &mut dyn RowVisitor,
    ) -> Result<(), SourceError> {
        let of = &self.tables.all[chunk.table];
        self.arena.reset();
        let mut broken = Vec::new();
        let json = self.arena.alloc_str(&row.json);
        let Ok(cells) = decode::row(json, &of.captured.needed, (Side::After, &mut broken), &self.arena)
        else {
            let gap = format!("a row of {} cannot be read", of.captured.name);
            return Err(SourceError::Gap { gap, fix: "report this as a defect".to_owned() });
        };
        let joins = &of.captured.joins;
        let found = |at: usize| row.taken.get(at).and_then(Option::as_deref);
        let cells = match joins.is_empty() {
            true => cells,
            false => joins::extend(cells, joins, found, (Side::After, &mut broken), &self.arena),
        };
        visitor.row(&RowChange {
            table: chunk.table,
            op: RowOp::Snapshot,
            id: &super::super::poll::snapshot_id(&self.secret, run, &of.captured.name, &row.key),
            moved_from: None,
            time: chunk.time,
            place: self.behind(),
            before: None,
            after: Some(cells),
            broken: &broken,
            looked_up: &[],
        });
        Ok(())
    }

    /// Whether somebody's rows are to be read now.
    pub(super) fn load_is_due(&self) -> bool {
        self.due().is_some_and(|due| Instant::now() >= due)
    }
}
