//! A member of a consumer group: leases lanes, reads them on demand, holds nothing ready.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lienthong_contract::sink::OffsetState;
use rusqlite::Connection;

use super::clock::BootClock;
use super::fault::Fault;
use super::file::Durability;
use super::group::{self, Member};
use super::topics::{Lane, lane};
use super::{Inner, blocking, read};
use crate::api::{ConsumeOptions, Consumer, Delivered, LogError, TopicPartition};
use crate::marks::state_after;

/// How long it may have been quiet, and how often to look at the file then: far below the time that a person notices, and cheap for a
/// member that has nothing to do.
const POLL: [(Duration, Duration); 2] =
    [(Duration::from_secs(1), Duration::from_millis(2)), (Duration::from_secs(10), Duration::from_millis(8))];
/// How often after that.
const POLL_IDLE: Duration = Duration::from_millis(15);
/// At the latest after so long a member looks at the clock of its leases, even when nothing is appended.
const STEP_EVERY: Duration = Duration::from_millis(100);
/// Told offsets are written together.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// See [`Consumer`].
pub(super) struct EmbeddedConsumer {
    inner: Arc<Inner>,
    sql: Connection,
    member: Member,
    fetch_bytes: usize,
    held: BTreeMap<i64, Held>,
    /// Told to the caller as revoked; their leases go at the next call, when the caller has had its turn.
    releasing: BTreeSet<i64>,
    events: VecDeque<Delivered>,
    /// The lane that is read next, so that all get their turn.
    turn: i64,
    /// Boot time at which the leases run out, and at which they are renewed.
    expires: i64,
    renew_at: i64,
    /// `pragma data_version` when nothing was found the last time.
    seen: Option<i64>,
    stepped_at: Instant,
    told: BTreeMap<i64, i64>,
    told_at: Option<Instant>,
    found_at: Instant,
    left: bool,
}

struct Held {
    source: TopicPartition,
    /// `None` until the caller has said where to start.
    state: Option<OffsetState>,
    paused: bool,
    /// Expiry was told; nothing comes until a new start.
    stuck: bool,
}

impl EmbeddedConsumer {
    /// Joins; the first `next` leases.
    pub(super) fn join(inner: Arc<Inner>, options: ConsumeOptions) -> Result<Self, LogError> {
        blocking(|| {
            let sql = inner.connect(Durability::Relaxed)?;
            let made = || -> Result<(String, Member), Fault> {
                super::topics::lanes(&sql, options.topics.iter().map(String::as_str))?;
                let id: String = sql.query_row("select lower(hex(randomblob(12)))", [], |row| row.get(0))?;
                let member = Member {
                    group: options.group,
                    id: id.clone(),
                    topics: options.topics,
                    session_ms: (options.session.as_millis() as i64).max(1),
                    clock: BootClock::new()?,
                };
                Ok((id, member))
            };
            let (_, member) = made().map_err(|fault| fault.into_log(&inner.path))?;
            Ok(Self {
                inner,
                sql,
                member,
                fetch_bytes: options.fetch_bytes.max(1),
                held: BTreeMap::new(),
                releasing: BTreeSet::new(),
                events: VecDeque::new(),
                turn: 0,
                expires: 0,
                renew_at: 0,
                seen: None,
                stepped_at: Instant::now(),
                told: BTreeMap::new(),
                told_at: None,
                found_at: Instant::now(),
                left: false,
            })
        })
    }

    /// Whether nothing can have changed since the last step. Looks at shared memory only: idle members do this all the time.
    fn quiet(&self) -> bool {
        let every = STEP_EVERY.min(Duration::from_millis(self.member.session_ms as u64 / 10));
        self.events.is_empty()
            && self.releasing.is_empty()
            && self.told.is_empty()
            && self.stepped_at.elapsed() < every
            && self.seen.is_some_and(|seen| self.version().is_ok_and(|version| version == seen))
    }

    /// Changes with every commit by another connection.
    fn version(&self) -> Result<i64, rusqlite::Error> {
        self.sql.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0))
    }

    /// Everything that can be had without waiting.
    fn step(&mut self) -> Result<Option<Delivered>, Fault> {
        self.stepped_at = Instant::now();
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        let now = self.member.clock.now()?;
        if now >= self.renew_at || !self.releasing.is_empty() {
            self.round(now)?;
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
        }
        if self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.tell()?;
        }
        let Some(found) = self.records()? else { return Ok(None) };
        let now = self.member.clock.now()?;
        if now < self.expires {
            return Ok(Some(found));
        }
        // Frozen between the look at the leases and the one at the file: that they are gone is told instead.
        self.round(now)?;
        Ok(self.events.pop_front())
    }

    /// Renews the leases, and tells what came and what went. A member that was frozen past its leases finds them gone here,
    /// before it hands out anything more.
    fn round(&mut self, now: i64) -> Result<(), Fault> {
        // What has run out is lost even when nobody has taken it: another member may have had it in between.
        let believed: BTreeSet<i64> =
            if now >= self.expires { BTreeSet::new() } else { self.held.keys().copied().collect() };
        let releasing = std::mem::take(&mut self.releasing);
        let round = self.member.round(&mut self.sql, &believed, &releasing)?;
        self.expires = round.expires;
        self.renew_at = round.expires - self.member.session_ms + (self.member.session_ms / 5).clamp(10, 1000);
        let gone: Vec<i64> = self
            .held
            .keys()
            .filter(|id| !believed.contains(id) || !round.mine.contains_key(id) || round.surplus.contains(id))
            .copied()
            .collect();
        for id in gone {
            if let Some(held) = self.held.remove(&id) {
                self.events.push_back(Delivered::Revoked(held.source));
            }
        }
        self.releasing = round.surplus;
        for (id, Lane { source, .. }) in round.mine {
            if !self.releasing.contains(&id) && !self.held.contains_key(&id) {
                self.events.push_back(Delivered::Assigned(source.clone()));
                self.held.insert(id, Held { source, state: None, paused: false, stuck: false });
            }
        }
        self.seen = None;
        Ok(())
    }

    /// The next records of a lane that has some, each in turn.
    fn records(&mut self) -> Result<Option<Delivered>, Fault> {
        let version = self.version()?;
        if self.seen == Some(version) {
            return Ok(None);
        }
        let order: Vec<i64> =
            self.held.range(self.turn..).chain(self.held.range(..self.turn)).map(|(id, _)| *id).collect();
        for id in order {
            let Some(held) = self.held.get_mut(&id) else { continue };
            let Some(state) = held.state.filter(|_| !held.paused && !held.stuck) else { continue };
            let lane = lane(&self.sql, &held.source)?;
            if lane.next_offset == state.next_offset {
                continue;
            }
            let found = match read::read(&self.sql, &self.inner.path, &lane, &state, self.fetch_bytes)? {
                read::Read::Expired { low } => {
                    held.stuck = true;
                    Delivered::Expired { source: held.source.clone(), wanted: state.next_offset, low }
                }
                read::Read::Batch(batch) => {
                    held.state = Some(state_after(&state, &batch));
                    Delivered::Records(batch)
                }
            };
            self.turn = id + 1;
            self.found_at = Instant::now();
            return Ok(Some(found));
        }
        self.seen = Some(version);
        Ok(None)
    }

    fn tell(&mut self) -> Result<(), Fault> {
        if !self.told.is_empty() {
            group::tell(&mut self.sql, &self.member.group, &self.told)?;
            self.told.clear();
            self.told_at = Some(Instant::now());
        }
        Ok(())
    }

    fn held(&mut self, source: &TopicPartition) -> Option<&mut Held> {
        self.seen = None;
        self.held.values_mut().find(|held| held.source == *source)
    }

    fn outcome<T>(&self, done: Result<T, Fault>) -> Result<T, LogError> {
        done.map_err(|fault| fault.into_log(&self.inner.path))
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self, at_most: Duration) -> Result<Option<Delivered>, LogError> {
        if self.left {
            return Ok(None);
        }
        let until = Instant::now() + at_most;
        let inner = Arc::clone(&self.inner);
        loop {
            // Before the look at the file, so that an append between look and sleep wakes at once.
            let appended = inner.appended.notified();
            if !self.quiet() {
                let done = blocking(|| self.step());
                if let Some(event) = self.outcome(done)? {
                    return Ok(Some(event));
                }
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            let quiet = self.found_at.elapsed();
            let pause = POLL.iter().find(|(least, _)| quiet < *least).map_or(POLL_IDLE, |(_, pause)| *pause);
            // An append by this process wakes at once, one by another process at the next look.
            let _ = tokio::time::timeout(pause.min(until - now), appended).await;
        }
    }

    async fn start(&mut self, source: &TopicPartition, state: OffsetState) -> Result<(), LogError> {
        // A partition that went away in the meantime is told by `next`.
        if let Some(held) = self.held(source) {
            held.state = Some(state);
            held.stuck = false;
        }
        Ok(())
    }

    async fn pause(&mut self, source: &TopicPartition) -> Result<(), LogError> {
        if let Some(held) = self.held(source) {
            held.paused = true;
        }
        Ok(())
    }

    async fn resume(&mut self, source: &TopicPartition) -> Result<(), LogError> {
        if let Some(held) = self.held(source) {
            held.paused = false;
        }
        Ok(())
    }

    async fn commit(&mut self, source: &TopicPartition, next_offset: i64) -> Result<(), LogError> {
        let known = self.held.iter().find(|(_, held)| held.source == *source).map(|(id, _)| *id);
        if let Some(id) = known {
            self.told.insert(id, next_offset);
        }
        if self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            let done = blocking(|| self.tell());
            self.outcome(done)?;
        }
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), LogError> {
        if self.left {
            return Ok(());
        }
        self.left = true;
        self.held.clear();
        self.events.clear();
        let done = blocking(|| {
            self.tell()?;
            self.member.leave(&mut self.sql)
        });
        self.outcome(done)
    }
}
