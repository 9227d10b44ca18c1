//! An open source: what a poll gives out of the stream and of the first load.

pub(super) mod aside;
mod emptied;
mod look_up;
mod rows;

use std::collections::VecDeque;
use std::time::Duration;

use bumpalo::Bump;
use lienthong_contract::keys::HashKey;
use lienthong_contract::load::LoadProgress;
use lienthong_contract::predicate::PredicateType;
use lienthong_contract::source::{Place, Polled, RowVisitor, SourceError, WhenEmptied};
use pgwire_replication::ReplicationEvent;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tokio::time::Instant;

use super::super::asked::{Load, refusal};
use super::super::error::{lacks_column, source_error};
use super::super::session::{PATIENCE, within};
use super::super::wal::message::{EPOCH_MICROS, Message};
use super::connection::{Form, Stream, moves, told};
use super::first::First;
use super::load::Chunk;
use super::position::{LogPosition, Member, Split};
use super::proof::{Last, Other, Proof};
use super::silence::Silence;
use super::tables::Tables;
use super::visible::Snapshot;
use emptied::unreadable;
use look_up::Found;

/// How long a poll waits for the stream before it looks what keeps it.
const STEP: Duration = Duration::from_millis(20);
/// How long a poll with nothing to give waits in all.
const LONGEST: Duration = Duration::from_millis(300);
/// How long a poll goes on while something comes.
const BUSY: Duration = Duration::from_secs(1);
/// A chunk that somebody asks for may take so long: changes wait meanwhile.
const ASKED: Duration = Duration::from_secs(20);
/// How often the server is made to write what it has not written yet, but for once per chunk of a first load.
const BEAT: Duration = Duration::from_secs(1);

/// An open source.
pub(super) struct Session {
    pub(super) name: String,
    /// The connection that holds the lock and reads first loads.
    pub(super) conn: PgConnection,
    silence: Silence,
    stream: Option<Stream>,
    pub(super) tables: Tables,
    pub(super) members: Vec<Member>,
    pub(super) secret: HashKey,
    pub(super) position: Option<LogPosition>,
    /// Everything that was committed before this place has come. Between two transactions it is the end of the position.
    reached: u64,
    /// Until it is done nothing is given out.
    proof: Option<Proof>,
    /// The transaction that is being read has been read before: it proves something, and that is all.
    proving: bool,
    /// The transaction that is being read.
    open: Option<Open>,
    /// Came, and has not been taken.
    ahead: VecDeque<ReplicationEvent>,
    /// What has been looked up for it.
    answers: Found,
    pub(super) chunk: Option<Chunk>,
    pub(super) first: First,
    /// Rows that somebody asks for, and how far the newest request has come.
    pub(super) load: Option<Load>,
    pub(super) told: Option<LoadProgress>,
    /// Rows of a request were being read when an error came.
    pub(super) asking: bool,
    /// Transactions that have been given out and that a snapshot to come may not see yet.
    pub(super) delivered: Vec<u32>,
    /// Tables that the database does not have any more as they are captured.
    pub(super) unfit: Vec<usize>,
    /// What happens when a table is emptied by `truncate`.
    pub(super) when_emptied: WhenEmptied,
    /// One has just been: the poll ends behind it.
    emptied: bool,
    /// A chunk was read too soon; not again before then.
    not_before: Option<Instant>,
    beaten: Option<Instant>,
    /// When it was last looked what partitions there are.
    pub(super) met: Option<Instant>,
    /// Ends of polls with the rows given out up to there, as far as they are not forgotten.
    given: Vec<(u64, u64)>,
    caught_up: bool,
    pub(super) arena: Bump,
    /// The id of the change at hand; reused.
    id: String,
}

/// A transaction that has begun and not ended.
struct Open {
    commit: u64,
    /// Microseconds since 1970 UTC.
    time: i64,
    xid: u32,
    /// Row messages that have come.
    messages: u32,
    /// Of which so many were given out before.
    skip: u32,
}

/// Where the server stands.
struct Look {
    /// Its clock before that, microseconds since 1970 UTC.
    time: i64,
    written: u64,
}

impl Session {
    /// A session that must be sought before it is polled.
    pub(super) fn new(
        name: &str,
        (conn, silence): (PgConnection, Silence),
        tables: Tables,
        members: Vec<Member>,
        secret: HashKey,
    ) -> Self {
        Self {
            name: name.to_owned(),
            conn,
            silence,
            stream: None,
            tables,
            members,
            secret,
            position: None,
            reached: 0,
            proof: None,
            proving: false,
            open: None,
            ahead: VecDeque::new(),
            answers: Found::default(),
            chunk: None,
            first: First::default(),
            load: None,
            told: None,
            asking: false,
            delivered: Vec::new(),
            unfit: Vec::new(),
            when_emptied: WhenEmptied::default(),
            emptied: false,
            not_before: None,
            beaten: None,
            met: None,
            given: Vec::new(),
            caught_up: false,
            arena: Bump::new(),
            id: String::new(),
        }
    }

    /// What conditions see of a table's cells.
    pub(super) fn column_types(&self, table: usize) -> Vec<PredicateType> {
        if self.unfit.contains(&table) { Vec::new() } else { self.tables.column_types(table) }
    }

    /// Goes on from `position` with a stream from its end. Transactions of which it is not known whether they have been given out
    /// before are `unsure`: a first load waits until everybody sees how they ended.
    pub(super) fn go_on(
        &mut self,
        position: LogPosition,
        (stream, proof): (Stream, Option<Proof>),
        unsure: Vec<u32>,
    ) {
        self.delivered = unsure;
        self.proof = proof;
        self.reached = position.end;
        self.position = Some(position);
        self.stream = Some(stream);
    }

    /// A table has been described. What is not read in the form in which it comes is asked for again as text.
    fn in_form(&mut self, oid: u32) -> Result<usize, SourceError> {
        let fits = self.tables.binary_fits();
        let stream = self.parts()?.0;
        if fits || stream.form == Form::Text {
            return Ok(0);
        }
        tracing::info!(table = oid, "a type has no binary form: the log is read as text from here on");
        stream.refused = true;
        let reason = "the log is read again as text".to_owned();
        Err(SourceError::Unreachable { source_name: self.name.clone(), reason })
    }

    /// Whether the stream has come to what must be read as text.
    pub(super) fn wants_text(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.refused)
    }

    /// Gives slot and lock back.
    pub(super) async fn close(mut self) {
        if let Some(stream) = self.stream {
            stream.close().await;
        }
        // The server ends a session, and its lock, only some time after it was left.
        let unlocking = sqlx::query("select pg_catalog.pg_advisory_unlock_all()").execute(&mut self.conn);
        if within(STEP * 100, unlocking).await.is_err() {
            tracing::debug!("a connection was gone before its lock was given back");
            return;
        }
        if self.conn.close().await.is_err() {
            tracing::debug!("a connection was gone before it was closed");
        }
    }

    fn parts(&mut self) -> Result<(&mut Stream, &mut LogPosition), SourceError> {
        match (&mut self.stream, &mut self.position) {
            (Some(stream), Some(position)) => Ok((stream, position)),
            _ => Err(SourceError::ForeignPosition("the source has not been sought".to_owned())),
        }
    }

    /// Gives out the next changes.
    pub(super) async fn poll(
        &mut self,
        limit: usize,
        visitor: &mut dyn RowVisitor,
    ) -> Result<Polled, SourceError> {
        if let Some(full) = self.full() {
            return Err(full);
        }
        let (began, mut rows, mut look) = (Instant::now(), 0, None);
        (self.caught_up, self.emptied) = (false, false);
        loop {
            // A changed key may have been one row too many.
            rows += self.give_chunk(limit.saturating_sub(rows), visitor)?;
            // What comes may be nothing of ours for long.
            if rows >= limit || began.elapsed() >= BUSY || self.full().is_some() || self.emptied {
                break;
            }
            if self.open.is_none() && self.proof.is_none() {
                self.meet_partitions().await?;
            }
            if self.wants_chunk() {
                self.read_chunk(limit).await?;
                continue;
            }
            if let Some(event) = self.at_hand().await? {
                if self.is_answered(&event).await? {
                    rows += self.take(event, visitor).await?;
                    continue;
                }
                self.ahead.push_front(event);
            }
            let Look { time, written } = match look {
                Some(seen) => seen,
                None => self.look().await?,
            };
            look = Some(Look { time, written });
            let loading = self.parts()?.1.snap.is_some();
            let proven = self.proof.is_none();
            self.caught_up = self.open.is_none() && self.reached >= written && !loading && proven;
            if (self.caught_up && self.chunk.is_none()) || rows > 0 || began.elapsed() >= LONGEST {
                break;
            }
            if self.chunk.is_some() || !proven {
                self.beat().await?;
            }
            if !self.ahead.is_empty() {
                tokio::time::sleep(STEP).await;
                continue;
            }
            let waited = tokio::time::timeout(STEP, self.parts()?.0.next()).await;
            match waited {
                Ok(event) => self.ahead.push_back(event.map_err(|error| told(&self.name, &error))?),
                Err(_elapsed) => self.beat().await?,
            }
        }
        let Look { time, .. } = match look {
            Some(seen) => seen,
            None => self.look().await?,
        };
        self.polled(rows, time)
    }

    fn polled(&mut self, rows: usize, source_time: i64) -> Result<Polled, SourceError> {
        let (caught_up, reached) = (self.caught_up, self.reached);
        let (_, position) = self.parts()?;
        let end = position.split.as_ref().map_or(reached, |split| split.commit.saturating_add(1));
        let position = position.to_position()?;
        if rows > 0 {
            self.given.push((end, rows as u64));
        }
        Ok(Polled { position, rows, caught_up, source_time })
    }

    async fn at_hand(&mut self) -> Result<Option<ReplicationEvent>, SourceError> {
        if let Some(event) = self.ahead.pop_front() {
            return Ok(Some(event));
        }
        let event = self.parts()?.0.at_hand().await;
        event.map_err(|error| told(&self.name, &error))
    }

    /// Waits until a transaction has begun to come. What only moves the end on is taken on the way.
    pub(super) async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        let deadline = Instant::now() + at_most;
        let deadline = self.due().map_or(deadline, |due| deadline.min(due));
        while self.chunk.is_none() && self.ahead.is_empty() {
            let Ok(event) = tokio::time::timeout_at(deadline, self.parts()?.0.next()).await else {
                return Ok(());
            };
            let event = event.map_err(|error| told(&self.name, &error))?;
            match moves(&event) {
                Some(end) if self.open.is_none() => self.reach(end)?,
                _ => self.ahead.push_back(event),
            }
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<Look, SourceError> {
        let sql = "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint as time, \
             (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint as written, \
             pg_catalog.pg_current_snapshot()::text as snapshot";
        let asking = async {
            let row = sqlx::query(sql).fetch_one(&mut self.conn).await?;
            let written: i64 = row.try_get("written")?;
            let look = Look { time: row.try_get("time")?, written: written.unsigned_abs() };
            Ok((look, row.try_get::<String, _>("snapshot")?))
        };
        let (look, snapshot) =
            within(self.silence.given_up, asking).await.map_err(|error| source_error(&self.name, &error))?;
        // What one snapshot sees every later one sees.
        if let Some(snapshot) = Snapshot::parse(&snapshot) {
            self.delivered.retain(|xid| !snapshot.sees(*xid));
        }
        Ok(look)
    }

    /// What others have begun to write may stay in the server's memory, and then nothing tells that the stream has come to its end.
    /// A transaction behind it is written at once, and comes.
    async fn beat(&mut self) -> Result<(), SourceError> {
        if self.beaten.is_some_and(|at| at.elapsed() < BEAT) {
            return Ok(());
        }
        self.beaten = Some(Instant::now());
        let sql = "select pg_catalog.pg_logical_emit_message(true, 'lienthong', '')::text";
        let beating = sqlx::query(sql).execute(&mut self.conn);
        within(self.silence.given_up, beating)
            .await
            .map(drop)
            .map_err(|error| source_error(&self.name, &error))
    }

    /// Everything before `end` has come, and a transaction is not under way.
    fn reach(&mut self, end: u64) -> Result<(), SourceError> {
        if let Some(proof) = &self.proof {
            if !proof.reached(end).map_err(|other| self.another_log(&other))? {
                return Ok(());
            }
            self.proof = None;
        }
        self.reached = self.reached.max(end);
        let reached = self.reached;
        let (_, position) = self.parts()?;
        position.anew = position.anew.filter(|anew| *anew > reached);
        // One that was given out in part before still has to come.
        if position.split.is_none() {
            position.end = reached;
        }
        Ok(())
    }

    /// Takes an event; gives the rows given out.
    async fn take(
        &mut self,
        event: ReplicationEvent,
        visitor: &mut dyn RowVisitor,
    ) -> Result<usize, SourceError> {
        if let Some(end) = moves(&event) {
            if self.open.is_none() {
                self.reach(end)?;
            }
            return Ok(0);
        }
        match event {
            ReplicationEvent::Begin { final_lsn, xid, commit_time_micros } => {
                self.begin(final_lsn.as_u64(), xid, commit_time_micros)?;
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                if std::mem::take(&mut self.proving) {
                    return Ok(0);
                }
                let ended = self.open.take();
                visitor.transaction_end();
                let (_, position) = self.parts()?;
                position.split = None;
                if let Some(Open { commit, time, xid, .. }) = ended {
                    position.last = Some(Last { commit, xid, time });
                    self.delivered.push(xid);
                }
                self.reach(end_lsn.as_u64())?;
            }
            ReplicationEvent::XLogData { data, .. } => return self.message(&data, visitor).await,
            _ => {}
        }
        Ok(0)
    }

    fn begin(&mut self, commit: u64, xid: u32, time: i64) -> Result<(), SourceError> {
        let time = time.saturating_add(EPOCH_MICROS);
        if let Some(proof) = &mut self.proof {
            let read = proof.begin(Last { commit, xid, time });
            if read.map_err(|other| self.another_log(&other))? {
                self.proving = true;
                return Ok(());
            }
            self.proof = None;
        }
        let (_, position) = self.parts()?;
        let skip = match &position.split {
            Some(split) if split.commit == commit => split.given,
            Some(_) => {
                return Err(SourceError::Gap {
                    gap: "the rest of a transaction that was given out in part does not come".to_owned(),
                    fix: crate::NEW_LINEAGE.to_owned(),
                });
            }
            None => 0,
        };
        self.open = Some(Open { commit, time, xid, messages: 0, skip });
        Ok(())
    }

    async fn message(&mut self, data: &[u8], visitor: &mut dyn RowVisitor) -> Result<usize, SourceError> {
        let message = Message::parse(data).map_err(|_| unreadable("a message"))?;
        if self.proving && !matches!(message, Message::Relation(_)) {
            return Ok(0);
        }
        let oid = match &message {
            Message::Relation(relation) => {
                let describing = self.tables.describe(&mut self.conn, (relation, data));
                let described = within(self.silence.given_up, describing)
                    .await
                    .map_err(|error| source_error(&self.name, &error))?;
                // As it was: what is captured now may have come later, and then another description does.
                if self.proving {
                    return Ok(0);
                }
                self.or_passed_over(described.map(|()| 0))?;
                return self.in_form(relation.oid);
            }
            Message::Truncate { relations, .. } => return self.truncate(relations, visitor).map(|()| 0),
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => *relation,
            _ => return Ok(0),
        };
        let Some(open) = &mut self.open else { return Err(unreadable("a row outside of a transaction")) };
        let index = open.messages;
        open.messages = index.saturating_add(1);
        let (commit, given, passed) = (open.commit, open.messages, index < open.skip);
        let rows = match self.tables.of(oid) {
            Some(table) => {
                let given = self.row_or_aside((&message, data), (table, index, passed), visitor);
                self.or_passed_over(given)?
            }
            None => 0,
        };
        if passed {
            return Ok(0);
        }
        self.parts()?.1.split = Some(Split { commit, given });
        Ok(rows)
    }

    /// What cannot be told of a transaction from before the acceptance of this lineage: every row is read after it by the first load.
    fn or_passed_over(&mut self, told: Result<usize, SourceError>) -> Result<usize, SourceError> {
        let anew = self.position.as_ref().and_then(|position| position.anew);
        match (told, &self.open) {
            (Err(SourceError::Gap { gap, .. }), Some(open))
                if anew.is_some_and(|anew| open.commit < anew) =>
            {
                tracing::warn!(source = self.name, gap, "passed over: its lineage has been accepted");
                // A row of it that a chunk holds may be the one of before.
                if let Some(chunk) = &mut self.chunk {
                    chunk.spoiled = true;
                }
                Ok(0)
            }
            (told, _) => told,
        }
    }

    fn another_log(&self, other: &Other) -> SourceError {
        other.told(self.tables.all.iter().map(|table| table.captured.name.as_str()))
    }

    /// Whether the next chunk is to be read now: between two transactions.
    fn wants_chunk(&self) -> bool {
        let position = self.position.as_ref();
        self.chunk.is_none()
            && self.open.is_none()
            && self.proof.is_none()
            && position.is_some_and(|position| position.split.is_none())
            && self.rows_are_due()
            && self.not_before.is_none_or(|at| Instant::now() >= at)
    }

    pub(super) async fn read_chunk(&mut self, limit: usize) -> Result<(), SourceError> {
        let only = self.only_part().await?;
        let Some((table, query)) = self.next_chunk(limit, only.as_deref()) else { return Ok(()) };
        self.asking = self.serves();
        let reading = Chunk::read(&mut self.conn, (table, &self.tables.all[table]), &query);
        let mut chunk = match within(if self.asking { ASKED } else { PATIENCE }, reading).await {
            Ok(chunk) => chunk,
            Err(error) => match refusal(&error).filter(|_| self.asking) {
                Some(reason) => {
                    self.refuse(&reason);
                    return Ok(());
                }
                None if lacks_column(&error) => return self.set_load_aside(table),
                None => return Err(source_error(&self.name, &error)),
            },
        };
        self.asking = false;
        // A commit stands in the log before others see it, for long where it waits for a standby.
        let too_soon = self.delivered.iter().any(|xid| !chunk.snapshot.sees(*xid));
        self.delivered.retain(|xid| !chunk.snapshot.sees(*xid));
        if too_soon {
            self.not_before = Some(Instant::now() + STEP);
        } else {
            self.first.read(chunk.rows.len());
            chunk.part = self.position.as_ref().and_then(|position| position.snap.as_ref()?.part.clone());
            self.mark(&mut chunk, query.limit);
            self.chunk = Some(chunk);
            self.beaten = None;
        }
        Ok(())
    }

    /// Gives out the chunk when the stream has come far enough; gives the rows given out.
    fn give_chunk(&mut self, limit: usize, visitor: &mut dyn RowVisitor) -> Result<usize, SourceError> {
        let due = |chunk: &mut Chunk| self.open.is_none() && self.reached >= chunk.until;
        let Some(mut chunk) = self.chunk.take_if(due) else { return Ok(0) };
        if chunk.spoiled {
            return Ok(0);
        }
        if let Some(passed) = chunk.asked.take() {
            return self.give_asked(chunk, passed, visitor);
        }
        let snap = |position: &LogPosition| position.snap.as_ref().map(|snap| snap.run.clone());
        let Some(run) = self.position.as_ref().and_then(snap) else { return Ok(0) };
        let mut rows = 0;
        while rows < limit {
            let Some(row) = chunk.rows.pop_front() else { break };
            if chunk.stands(&row) {
                self.visit(&chunk, &row, &run, visitor)?;
                rows += 1;
            }
            if let Some(snap) = self.position.as_mut().and_then(|position| position.snap.as_mut()) {
                snap.pass(row.key);
            }
        }
        if !chunk.rows.is_empty() {
            self.chunk = Some(chunk);
        } else if !chunk.more
            && let Some(position) = &mut self.position
        {
            position.table_loaded(&self.members, &self.secret);
        }
        Ok(rows)
    }

    /// The place of a row that was read: behind all that has come, before all that comes, since the commit of that stands at `reached`
    /// or later.
    pub(super) fn behind(&self) -> Option<Place> {
        Some(Place { lsn: self.reached.saturating_sub(1), index: u32::MAX })
    }

    /// Lets go of everything before the end of a position.
    pub(super) async fn forget(&mut self, end: u64) -> Result<(), SourceError> {
        let caught_up = self.caught_up;
        let (stream, _) = self.parts()?;
        stream.forget(end);
        // A process that ends now would take it with it; one that has more to do tells it on the way.
        if caught_up {
            stream.told(end).await;
        }
        self.given.retain(|(of, _)| *of > end);
        Ok(())
    }

    /// Rows given out and not forgotten.
    pub(super) fn retained(&self) -> u64 {
        self.given.iter().map(|(_, rows)| rows).sum()
    }
}
