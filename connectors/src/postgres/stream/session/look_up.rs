//! What the log leaves out is looked up, for many rows of the stream in one statement.

use std::collections::{BTreeSet, HashMap};

use bumpalo::Bump;
use lienthong_contract::source::SourceError;
use pgwire_replication::ReplicationEvent;

use super::super::super::error::source_error;
use super::super::super::session::{PATIENCE, within};
use super::super::super::wal::message::Message;
use super::super::connection::told;
use super::super::looked;
use super::super::tables::StreamTable;
use super::super::visible::Snapshot;
use super::Session;

/// So many rows are looked up in one statement at most: their large values are in memory until they are given out.
const AT_ONCE: usize = 256;
/// So much of the stream is read ahead for it at most, messages and bytes.
const AHEAD: (usize, usize) = (4_096, 4 << 20);

/// What is looked up for a table's rows: 0 for the row itself, from 1 on what it takes from others.
type What = (usize, usize);
/// A row that is looked up, by a key as texts.
type Place = (What, Vec<Option<String>>);

/// What was looked up last.
#[derive(Default)]
pub(super) struct Found {
    /// What the statements saw, one per table that was looked into.
    seen: Vec<Snapshot>,
    rows: HashMap<Place, Option<String>>,
}

impl Found {
    /// The row itself as it was found, or that none was; `None` where nobody has looked.
    pub(super) fn own(&self, table: usize, key: &[String]) -> Option<Option<&str>> {
        let key = key.iter().cloned().map(Some).collect();
        self.rows.get(&((table, 0), key)).map(Option::as_deref)
    }

    /// What a row takes from another table.
    pub(super) fn taken(&self, (table, join): (usize, usize), key: Vec<Option<String>>) -> Option<&str> {
        self.rows.get(&((table, join + 1), key)).and_then(Option::as_deref)
    }
}

impl Session {
    /// Whether an event can be taken: what it leaves out has been looked up by somebody who saw its transaction. A commit stands in the
    /// log before others see it; who looks too soon finds the row as it was before, or none where it will be.
    pub(super) async fn is_answered(&mut self, event: &ReplicationEvent) -> Result<bool, SourceError> {
        if self.proving || !self.tables.all.iter().any(StreamTable::looks_up) {
            return Ok(true);
        }
        let mut arena = Bump::new();
        let places = self.wanted(event, &mut arena);
        let Some(xid) = self.open.as_ref().map(|open| open.xid).filter(|_| !places.is_empty()) else {
            if self.ahead.is_empty() {
                self.answers = Found::default();
            }
            return Ok(true);
        };
        let seen = |found: &Found| found.seen.iter().all(|snapshot| snapshot.sees(xid));
        if places.iter().all(|place| self.answers.rows.contains_key(place)) && seen(&self.answers) {
            return Ok(true);
        }
        let places = self.read_ahead(places, &mut arena).await?;
        self.look_up(places).await?;
        Ok(seen(&self.answers))
    }

    /// What has to be looked up for an event, which needs its table's description for that.
    fn wanted(&self, event: &ReplicationEvent, arena: &mut Bump) -> Vec<Place> {
        let ReplicationEvent::XLogData { data, .. } = event else { return Vec::new() };
        let Ok(message) = Message::parse(data) else { return Vec::new() };
        let (Message::Insert { relation, .. }
        | Message::Update { relation, .. }
        | Message::Delete { relation, .. }) = message
        else {
            return Vec::new();
        };
        let Some(table) = self.tables.of(relation) else { return Vec::new() };
        let of = &self.tables.all[table];
        let Some(plan) = of.plan.as_ref().filter(|_| of.looks_up()) else { return Vec::new() };
        arena.reset();
        let own = if of.is_by_key() { looked::wanted(&message, (of, plan), arena) } else { None };
        let own = own.map(|key| ((table, 0), key.into_iter().map(Some).collect()));
        let joins = &of.captured.joins;
        let rows = if joins.is_empty() { Vec::new() } else { looked::rows(&message, (of, plan), arena) };
        let taken = rows.into_iter().flat_map(|cells| {
            joins.iter().enumerate().map(move |(at, join)| ((table, at + 1), join.key(cells)))
        });
        own.into_iter().chain(taken).collect()
    }

    /// What has to be looked up for the events that are there, of which the first wants `first`.
    async fn read_ahead(
        &mut self,
        first: Vec<Place>,
        arena: &mut Bump,
    ) -> Result<HashMap<What, Vec<Vec<Option<String>>>>, SourceError> {
        let (mut places, mut bytes, mut at) = (BTreeSet::from_iter(first), 0, 0);
        while places.len() < AT_ONCE && at < AHEAD.0 && bytes < AHEAD.1 {
            if at == self.ahead.len() {
                let event = self.parts()?.0.at_hand().await.map_err(|error| told(&self.name, &error))?;
                let Some(event) = event else { break };
                self.ahead.push_back(event);
            }
            let event = &self.ahead[at];
            if let ReplicationEvent::XLogData { data, .. } = event {
                bytes += data.len();
                // A table is another one behind it.
                if matches!(Message::parse(data), Ok(Message::Relation(_))) {
                    break;
                }
            }
            places.extend(self.wanted(event, arena));
            at += 1;
        }
        let mut sorted: HashMap<What, Vec<Vec<Option<String>>>> = HashMap::new();
        for (what, key) in places {
            sorted.entry(what).or_default().push(key);
        }
        Ok(sorted)
    }

    /// One statement for each table that is looked into.
    async fn look_up(&mut self, places: HashMap<What, Vec<Vec<Option<String>>>>) -> Result<(), SourceError> {
        self.answers = Found::default();
        for ((table, what), keys) in places {
            let Some(of) = self.tables.all.get(table) else { continue };
            let joined = what.checked_sub(1).and_then(|at| of.captured.joins.get(at)).map(|join| &join.keyed);
            let Some(keyed) = joined.or(of.keyed.as_ref()) else { continue };
            let looking = keyed.read(&mut self.conn, &keys);
            let found = within(PATIENCE, looking).await.map_err(|error| source_error(&self.name, &error))?;
            let broken =
                || source_error(&self.name, &sqlx::Error::Protocol("a snapshot is no snapshot".to_owned()));
            self.answers.seen.push(Snapshot::parse(&found.snapshot).ok_or_else(broken)?);
            let places = keys.into_iter().map(|key| ((table, what), key));
            self.answers.rows.extend(places.zip(found.rows));
        }
        Ok(())
    }
}
