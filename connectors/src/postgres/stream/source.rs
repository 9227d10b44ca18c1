//! The source that reads the log: lock, lineage, seeking, waiting and forgetting. What a poll does is in [`super::session`].

use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::aside::{AsideTable, Mending};
use lienthong_contract::keys::HashKey;
use lienthong_contract::load::{LoadProgress, LoadRequest};
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::predicate::PredicateType;
use lienthong_contract::retained::{LogBound, RetainedLog};
use lienthong_contract::source::{
    PollLimit, Polled, RowVisitor, Source, SourceError, TableCapture, WhenEmptied,
};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use super::super::clock;
use super::super::error::source_error;
use super::super::session::{self as connections, within};
use super::super::source::lock;
use super::check::{self, Checked, Slot, Unfit};
use super::connection::{Form, Stream};
use super::first::First;
use super::position::LogPosition;
use super::proof::Proof;
use super::retained;
use super::session::{Session, aside};
use super::setup::LogNames;
use super::silence::Silence;
use super::tables::Tables;
use super::timelines::{TIMELINE, Timelines};
use crate::identifier::TableName;

/// The server gives lock and slot back when it notices that their holder has gone.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// So often the rows of a request are tried to be read.
const TRIES: u32 = 3;
/// What is said in parting may take so long.
const FAREWELL: Duration = Duration::from_secs(2);
/// Pause between looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// A PostgreSQL database that publishes from its log.
pub(crate) struct LogSource {
    name: String,
    url: String,
    names: LogNames,
    captures: Vec<TableCapture>,
    /// Snapshot rows are named by keyed digests of their keys.
    secret: HashKey,
    pub(super) session: Option<Session>,
    /// A session of ours has just been closed: the server may still count it as the slot's reader.
    left: bool,
    /// Server, database and slot, as positions name them.
    log: String,
    /// The request whose rows could not be read, and how often in a row: it must not keep changes from being published for ever.
    failed: Option<(i64, u32)>,
    /// How values are to come; text from then on where the server or a table could not do otherwise.
    form: Form,
    /// The slot kept the log from here on when it was looked at; `None` where it is gone.
    confirmed: Option<u64>,
    /// The publication as it was then.
    publication: Option<String>,
    /// Tables whose columns are others than those in the participant's file, when it was opened.
    unfit: Vec<Unfit>,
    /// What the server was when it was opened.
    lineage: Option<Lineage>,
    bound: LogBound,
    pub(super) silence: Silence,
    when_emptied: WhenEmptied,
    /// Rows per second of a first load.
    pub(super) load_rate: Option<u32>,
    /// When it was last looked what the server keeps.
    looked: Option<tokio::time::Instant>,
    /// End of the log at the last look, as the server writes it.
    seen: String,
}

impl LogSource {
    /// Touches nothing yet.
    pub(crate) fn new(
        name: &str,
        url: &str,
        (slot, publication): (&str, &str),
        captures: Vec<TableCapture>,
        secret: &HashKey,
    ) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            names: LogNames { slot: slot.to_owned(), publication: publication.to_owned() },
            captures,
            secret: secret.derive(&format!("snapshot rows/{name}")),
            session: None,
            left: false,
            log: String::new(),
            failed: None,
            form: Form::Binary,
            confirmed: None,
            publication: None,
            unfit: Vec::new(),
            lineage: None,
            bound: LogBound::default(),
            silence: Silence::USUAL,
            when_emptied: WhenEmptied::default(),
            load_rate: None,
            looked: None,
            seen: String::new(),
        }
    }

    /// With a bound of what the server may keep.
    pub(crate) fn bounded(mut self, bound: LogBound) -> Self {
        self.bound = bound;
        self
    }

    /// With what happens when a table is emptied by `truncate`.
    pub(crate) fn when_emptied(mut self, then: WhenEmptied) -> Self {
        self.when_emptied = then;
        self
    }

    fn error(&self, error: &sqlx::Error) -> SourceError {
        source_error(&self.name, error)
    }

    fn not_open(&self) -> SourceError {
        SourceError::Unreachable {
            source_name: self.name.clone(),
            reason: "the source is not open".to_owned(),
        }
    }

    fn take_session(&mut self) -> Result<Session, SourceError> {
        self.session.take().ok_or_else(|| self.not_open())
    }

    async fn leave(&mut self, session: Session) {
        if session.wants_text() {
            self.form = Form::Text;
        }
        if session.asking
            && let Some(number) = session.served()
        {
            let times = self.failed.filter(|(of, _)| *of == number).map_or(0, |(_, times)| times);
            self.failed = Some((number, times + 1));
        }
        session.close().await;
        self.left = true;
    }

    fn table_names(&self) -> String {
        let names = self.captures.iter().map(|capture| TableName::parse(&capture.table).plain());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Takes the lock, checks what `prepare` made, and reads the lineage.
    async fn look(&mut self, conn: &mut PgConnection, ours: bool) -> Result<(Checked, Lineage), SourceError> {
        clock::compare(conn, &self.name).await.map_err(|e| self.error(&e))?;
        // What is written to be read again waits for no standby.
        let local = sqlx::query("set synchronous_commit = local").execute(&mut *conn).await;
        local.map_err(|e| self.error(&e))?;
        let deadline = tokio::time::Instant::now() + GIVEN_BACK;
        loop {
            match lock(conn, &self.names.lock()).await.map_err(|e| self.error(&e))? {
                Err(SourceError::Held { .. }) if ours && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOK).await;
                }
                taken => break taken?,
            }
        }
        let checked = loop {
            let checked = check::check(conn, &self.name, &self.names, &self.captures).await?;
            // Whether a slot that is not there is missing or was never made, the position tells.
            if !checked.lacks_only_the_slot() {
                checked.starts(&self.name)?;
            }
            match checked.slot.as_ref().and_then(|slot| slot.holder.clone()) {
                None => break checked,
                Some(_) if ours && tokio::time::Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                Some(holder) => return Err(SourceError::Held { holder }),
            }
        };
        self.confirmed = checked.slot.as_ref().map(|slot| slot.confirmed);
        if let Some(Slot { lost: true, confirmed, .. }) = checked.slot {
            return Err(SourceError::Gap {
                gap: format!(
                    "the server has thrown away the log that slot {} kept, from {} to where it is made anew, with changes of {}",
                    self.names.slot,
                    place(confirmed),
                    self.table_names()
                ),
                fix: format!("raise max_slot_wal_keep_size, {NEW_SLOT}"),
            });
        }
        self.publication.clone_from(&checked.publication);
        self.unfit.clone_from(&checked.unfit);
        let lineage = self.lineage(conn).await.map_err(|e| self.error(&e))?;
        Ok((checked, lineage))
    }

    async fn lineage(&mut self, conn: &mut PgConnection) -> Result<Lineage, sqlx::Error> {
        let mut parts = Vec::new();
        let control = "select system_identifier::text from pg_catalog.pg_control_system()";
        // Some hosted servers do not show it; the other parts must do then.
        match sqlx::query_scalar::<_, String>(control).fetch_one(&mut *conn).await {
            Ok(identifier) => parts.push(("system_identifier".to_owned(), identifier)),
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
        let sql = "select d.oid::text as database, \
             left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) as timeline \
             from pg_catalog.pg_database d where d.datname = current_database()";
        let row = sqlx::query(sql).fetch_one(conn).await?;
        parts.push(("database".to_owned(), row.try_get("database")?));
        parts.push(("slot".to_owned(), self.names.slot.clone()));
        self.log = parts.iter().map(|(_, part)| part.as_str()).collect::<Vec<_>>().join("/");
        parts.push((TIMELINE.to_owned(), row.try_get("timeline")?));
        Ok(Lineage { parts })
    }

    async fn start(&mut self, ours: bool) -> Result<(Session, Lineage), SourceError> {
        let application = format!("lienthong connector {}", self.name);
        let mut conn =
            connections::connect_reader(&self.url, &application).await.map_err(|e| self.error(&e))?;
        let silence = self.silence;
        let name = self.name.clone();
        let (checked, lineage) = match silence.bound(&name, self.look(&mut conn, ours)).await {
            Ok(found) => found,
            Err(error) => {
                // Closed in good order, so that the lock is free when this returns.
                if within(FAREWELL, conn.close()).await.is_err() {
                    tracing::debug!("a connection was gone before it was closed");
                }
                return Err(error);
            }
        };
        if !checked.binary {
            self.form = Form::Text;
        }
        let tables = Tables::new(&self.captures, (&checked.tables, checked.joins), checked.types);
        let mut session =
            Session::new(&self.name, (conn, silence), tables, checked.members, self.secret.clone());
        session.when_emptied = self.when_emptied;
        session.unfit = checked.unfit.iter().map(|unfit| unfit.table).collect();
        Ok((session, lineage))
    }

    /// Where the log ends now.
    async fn written(&mut self, session: &mut Session) -> Result<u64, SourceError> {
        let sql = "select (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";
        let asking = sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut session.conn);
        Ok(within(self.silence.given_up, asking).await.map_err(|e| self.error(&e))?.unsigned_abs())
    }

    /// Nothing of what the slot keeps.
    fn beginning(&self) -> Result<LogPosition, SourceError> {
        let missing = || SourceError::NotPrepared {
            problem: format!("replication slot {} does not exist", self.names.slot),
            fix: format!("lienthong connect {} --prepare", self.name),
        };
        let mut position = LogPosition::start(&self.log, self.confirmed.ok_or_else(missing)?);
        position.publication.clone_from(&self.publication);
        Ok(position)
    }

    /// The position to go on from, if the slot still has everything behind it.
    async fn sought(
        &mut self,
        session: &mut Session,
        from: Option<&Position>,
    ) -> Result<LogPosition, SourceError> {
        let position = from.map(|from| LogPosition::parse(from, &self.log)).transpose()?;
        let Some(mut position) = position else { return self.beginning() };
        let written = self.written(session).await?;
        let gap = |gap: String| Err(SourceError::Gap { gap, fix: crate::NEW_LINEAGE.to_owned() });
        let (tables, publication) = (self.table_names(), &self.names.publication);
        let (from, to) = (place(position.end), place(written));
        if position.end > written {
            return gap(format!(
                "the stored position {from} is ahead of the database, which ends at {to} and has been set back to an earlier state: \
                 changes of {tables} from {to} to {from} were published and are not in it"
            ));
        }
        if let Some(to) = &position.given_up {
            return Err(self.gave_up(&place(position.end), to));
        }
        let Some(confirmed) = self.confirmed else {
            let slot = &self.names.slot;
            return Err(SourceError::Gap {
                gap: format!(
                    "slot {slot} is gone, and changes of {tables} from {from} to {to}, the end of the log, with it"
                ),
                fix: NEW_SLOT.to_owned(),
            });
        };
        if confirmed > position.end {
            return gap(format!(
                "slot {} keeps the log from {} on, and changes of {tables} are wanted from {from} on",
                self.names.slot,
                place(confirmed),
            ));
        }
        if let Some(table) = position.replaced(&session.members) {
            return gap(format!(
                "{table} was made anew, or was out of publication {publication} for a time: changes from {from} to {to} may not be in the log"
            ));
        }
        if position.publication.is_some() && position.publication != self.publication {
            return gap(format!(
                "publication {publication} was edited or made anew: changes of {tables} from {from} to {to} may not be in the log"
            ));
        }
        position.publication.clone_from(&self.publication);
        Ok(position)
    }

    fn gave_up(&self, from: &str, to: &str) -> SourceError {
        SourceError::Gap {
            gap: format!(
                "what slot {} kept of {} from {from} to {to} was given up, since it had reached max_retained_wal",
                self.names.slot,
                self.table_names()
            ),
            fix: NEW_SLOT.to_owned(),
        }
    }

    /// Whoever gave the log up may have been killed before the slot was dropped. One that was made later begins behind it.
    fn owes_the_drop(&self, from: Option<&Position>) -> bool {
        let from = from.and_then(|from| LogPosition::parse(from, &self.log).ok());
        from.is_some_and(|from| {
            from.given_up.is_some() && self.confirmed.is_some_and(|confirmed| confirmed <= from.end)
        })
    }

    /// Drops the slot. Whoever holds the source may not lose it.
    async fn drop_slot(&mut self) -> Result<(), SourceError> {
        if let Some(session) = self.session.take() {
            self.leave(session).await;
        }
        let application = format!("lienthong connector {}", self.name);
        let mut conn = connections::connect(&self.url, &application).await.map_err(|e| self.error(&e))?;
        let deadline = tokio::time::Instant::now() + GIVEN_BACK;
        let patience = self.silence.given_up;
        while let Err(held) =
            within(patience, lock(&mut conn, &self.names.lock())).await.map_err(|e| self.error(&e))?
        {
            if tokio::time::Instant::now() >= deadline {
                return Err(held);
            }
            tokio::time::sleep(LOOK).await;
        }
        let dropping = retained::drop_slot(&mut conn, &self.names.slot, deadline);
        let dropped = within(patience, dropping).await;
        if within(FAREWELL, conn.close()).await.is_err() {
            tracing::debug!("a connection was gone before it was closed");
        }
        dropped.map_err(|e| self.error(&e))
    }

    async fn begin(&mut self, session: &mut Session, from: Option<&Position>) -> Result<(), SourceError> {
        let mut position = self.sought(session, from).await?;
        let began = if from.is_some() { place(position.end) } else { "start".to_owned() };
        position.aside.retain(|aside| session.members.iter().any(|member| member.table == aside.table));
        position.plan_first_load(&session.members, &aside::run(&self.secret, &began));
        session.lets_wait(&self.unfit, &mut position)?;
        // Nobody knows yet as what the values of a table that is set aside will be read.
        if !position.aside.is_empty() {
            self.form = Form::Text;
        }
        // Before the stream: what is under way now may have been given out before, where commits wait for a standby. A snapshot does
        // not name all of it.
        let sql = "select (l.transactionid::text::bigint) from pg_catalog.pg_locks l where l.locktype = 'transactionid' \
             and l.mode = 'ExclusiveLock' and l.granted and current_setting('synchronous_standby_names') <> ''";
        let asking = sqlx::query_scalar::<_, i64>(sql).fetch_all(&mut session.conn);
        let running = within(self.silence.given_up, asking).await.map_err(|e| self.error(&e))?;
        let unsure = running.into_iter().filter_map(|xid| u32::try_from(xid).ok()).collect();
        let confirmed = self.confirmed.unwrap_or_default();
        let (from, proof) = Proof::new(position.last, confirmed, position.end);
        let places = (from, confirmed);
        let server = (self.url.as_str(), &self.names, self.silence);
        let stream = Stream::open(&self.name, server, places, self.form).await?;
        session.go_on(position, (stream, proof), unsure);
        session.first = First::new(self.load_rate);
        session.expect_rows().await
    }
}

/// What mends a slot whose log is gone.
const NEW_SLOT: &str = "run `lienthong connect PARTICIPANT --prepare`, which makes the slot anew, and then \
     `lienthong connect PARTICIPANT --accept-lineage REASON`";

/// As the server writes it.
pub(super) fn place(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)
}

#[async_trait]
impl Source for LogSource {
    async fn open(&mut self) -> Result<Lineage, SourceError> {
        // The old connections hold lock and slot; they must be gone before new ones can take them.
        if let Some(session) = self.session.take() {
            self.leave(session).await;
        }
        let ours = std::mem::take(&mut self.left);
        let (session, lineage) = self.start(ours).await?;
        self.session = Some(session);
        self.lineage = Some(lineage.clone());
        Ok(lineage)
    }

    fn column_types(&self, table: usize) -> Vec<PredicateType> {
        self.session.as_ref().map(|session| session.column_types(table)).unwrap_or_default()
    }

    async fn goes_on(&mut self, stored: &Lineage, from: &Position) -> Result<bool, SourceError> {
        let (Some(present), position) = (&self.lineage, LogPosition::parse(from, &self.log)) else {
            return Err(self.not_open());
        };
        let (Some(timelines), Ok(position)) = (Timelines::between(stored, present), position) else {
            return Ok(false);
        };
        let history = Stream::history(&self.name, (&self.url, &self.names), timelines.present).await?;
        timelines.prove(&history, &position, &self.table_names()).map(|()| true)
    }

    async fn begin_anew(&mut self) -> Result<Option<Position>, SourceError> {
        let mut session = self.take_session()?;
        match self.written(&mut session).await {
            Ok(written) => {
                self.session = Some(session);
                let mut position = self.beginning()?;
                position.anew = Some(written);
                position.to_position().map(Some)
            }
            Err(error) => {
                self.leave(session).await;
                Err(error)
            }
        }
    }

    async fn seek(&mut self, from: Option<&Position>) -> Result<(), SourceError> {
        let mut session = self.take_session()?;
        match self.begin(&mut session, from).await {
            Ok(()) => self.session = Some(session),
            Err(error) => {
                self.leave(session).await;
                if self.owes_the_drop(from) {
                    self.drop_slot().await?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn poll(&mut self, limit: PollLimit, visitor: &mut dyn RowVisitor) -> Result<Polled, SourceError> {
        // An error leaves the session behind: a broken connection must not be used again.
        let mut session = self.take_session()?;
        match session.poll(limit.rows.max(1), visitor).await {
            Ok(polled) => {
                self.session = Some(session);
                Ok(polled)
            }
            Err(error) => {
                self.leave(session).await;
                Err(error)
            }
        }
    }

    async fn load(&mut self, number: i64, request: Result<LoadRequest, String>) -> Result<(), SourceError> {
        let mut session = self.take_session()?;
        let given_up = self.failed.is_some_and(|(of, times)| of == number && times >= TRIES);
        let request =
            if given_up { Err("its rows could not be read several times over".to_owned()) } else { request };
        match session.load(number, request).await {
            Ok(()) => self.session = Some(session),
            Err(error) => {
                self.leave(session).await;
                return Err(error);
            }
        }
        Ok(())
    }

    fn served(&self) -> Option<i64> {
        self.session.as_ref().and_then(Session::served)
    }

    fn load_progress(&self) -> Option<LoadProgress> {
        self.session.as_ref().and_then(Session::load_progress)
    }

    fn aside(&self) -> Vec<AsideTable> {
        self.session.as_ref().map(Session::aside).unwrap_or_default()
    }

    fn full(&self) -> Option<SourceError> {
        self.session.as_ref().and_then(Session::full)
    }

    fn decide(&mut self, mending: &Mending) -> Result<Option<Position>, SourceError> {
        match &mut self.session {
            Some(session) => session.decide(mending),
            None => Err(self.not_open()),
        }
    }

    async fn again(
        &mut self,
        table: &str,
        content: &[u8],
        visitor: &mut dyn RowVisitor,
    ) -> Result<(), SourceError> {
        match &mut self.session {
            Some(session) => session.again(table, content, visitor).await,
            None => Err(self.not_open()),
        }
    }

    fn mended(&mut self, table: &str) -> Result<(), SourceError> {
        match &mut self.session {
            Some(session) => session.mended(table),
            None => Err(self.not_open()),
        }
    }

    fn first_load(&self) -> Option<LoadProgress> {
        self.session.as_ref().and_then(Session::first_load)
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        match &mut self.session {
            Some(session) => session.wait(at_most).await,
            None => Err(self.not_open()),
        }
    }

    async fn forget(&mut self, through: &Position) -> Result<(), SourceError> {
        let through = LogPosition::parse(through, &self.log)?;
        match &mut self.session {
            Some(session) => session.forget(through.end).await,
            None => Err(self.not_open()),
        }
    }

    async fn retained(&mut self) -> Result<u64, SourceError> {
        self.session.as_ref().map(Session::retained).ok_or_else(|| self.not_open())
    }

    async fn retained_log(&mut self) -> Result<Option<RetainedLog>, SourceError> {
        let Some(session) = &mut self.session else { return Ok(None) };
        if self.looked.is_some_and(|at| at.elapsed() < retained::EVERY) {
            return Ok(None);
        }
        let looking = retained::look(&mut session.conn, &self.names.slot);
        let found = match within(self.silence.given_up, looking).await {
            Ok(found) => found,
            Err(error) => {
                // A broken connection must not be used again.
                if let Some(session) = self.session.take() {
                    self.leave(session).await;
                }
                return Err(self.error(&error));
            }
        };
        self.looked = Some(tokio::time::Instant::now());
        let Some(found) = found else { return Ok(None) };
        self.seen = place(found.written);
        Ok(Some(RetainedLog {
            source_name: self.name.clone(),
            slot: self.names.slot.clone(),
            tables: self.table_names(),
            from: place(found.kept),
            to: place(found.written),
            bytes: found.written.saturating_sub(found.kept),
            state: found.state,
            safe: found.safe,
            bound: self.bound,
        }))
    }

    fn given_up(&self, from: Option<&Position>) -> Result<Option<Position>, SourceError> {
        let from = match from {
            Some(from) => LogPosition::parse(from, &self.log)?,
            None => LogPosition::start(&self.log, self.confirmed.unwrap_or_default()),
        };
        from.giving_up(&self.seen).to_position().map(Some)
    }

    async fn give_up(&mut self) -> Result<(), SourceError> {
        self.drop_slot().await
    }
}
