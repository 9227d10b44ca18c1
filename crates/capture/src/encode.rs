//! One changed row becomes records. Pure: times, epochs and schema ids come in from outside.

mod gone;

pub(crate) use gone::entry_of;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use bumpalo::Bump;
use lienthong_contract::aside::SetAside;
use lienthong_contract::event::{Lane, Operation, header, log_sequence, outbox_sequence, transaction_id};
use lienthong_contract::source::{BrokenValue, Emptied, RowChange, RowOp, RowVisitor, Side, TableCapture};
use lienthong_contract::{digits, provoke};
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, TopicPartition, murmur2};
use lienthong_schemas::quality::Flag;
use lienthong_schemas::{Cell, frame};
use lienthong_telemetry::{Tally, Traces};

use crate::aside::Kept;
use crate::batches::Batches;
use crate::causation::Causes;
use crate::cells::event;
use crate::convert::rule_of;
use crate::correlation;
use crate::envelope::{Envelope, Held, Transaction};
use crate::looked_up;
use crate::publication::{Publication, by_table};
use crate::quarantine::{QuarantineKeys, Quarantined};
use crate::side::{Broken, Judge};
use crate::trace::{Traced, Tracer};

/// Stands for a field where a row's record is wrong as a whole.
const RECORD: &str = "record";

/// Headers that every event has, before those that some have.
const ALWAYS: usize = 10;

/// What an encoder is made from.
#[derive(Clone, Debug)]
pub struct EncoderParts {
    /// `urn:lienthong:<participant>`.
    pub urn: String,
    /// Captured tables.
    pub tables: Arc<[TableCapture]>,
    /// Compiled entries.
    pub publications: Arc<[Publication]>,
    /// Schema ids per publication: live lane, bulk lane.
    pub schema_ids: Vec<(u32, u32)>,
    /// Partition count per topic.
    pub partitions: BTreeMap<Arc<str>, i32>,
    /// Hashing and sealing of rows that break their contract.
    pub keys: QuarantineKeys,
    /// Rises when an operator accepts a new lineage.
    pub lineage_epoch: u32,
    /// The claim's offset.
    pub writer_epoch: i64,
    /// Last counter used in an earlier session.
    pub counter: u64,
    /// Ids that stand in the log already.
    pub collected: HashSet<Box<str>>,
    /// Which events are traced.
    pub traces: Traces,
}

/// Turns rows into a batch; lives as long as its writer.
#[derive(Debug)]
pub struct Encoder {
    parts: EncoderParts,
    /// Entries of each table.
    by_table: Vec<Arc<[usize]>>,
    lanes: Vec<[(Arc<str>, i32); 2]>,
    arena: Bump,
    value: Vec<u8>,
    tracer: Tracer,
    /// How long the batches' events took until they were asked for.
    pub captured: Tally,
    /// When the oldest of them was committed, microseconds.
    pub oldest: Option<i64>,
    /// The batches' events that are traced.
    pub traced: Vec<Traced>,
    batches: Batches,
    /// Places of each table's key among its columns.
    keys: Vec<Vec<usize>>,
    /// What was found odd in the event at hand, and as a header says it; both are reused.
    flags: Vec<Flag>,
    flag_text: String,
    /// The code of the case that the row at hand belongs to; reused.
    correlation: String,
    /// The fields of the event at hand that were looked up; reused.
    looked_up: String,
    /// The only event that rows become now.
    only: Option<String>,
    envelope: Envelope,
    transaction: Option<Transaction>,
    /// An event was pushed since the batches were taken.
    pushed: bool,
    /// The row at hand was given out before: it only counts.
    passing: bool,
    causes: Causes,
    /// Rows that broke their contract and have not been taken.
    pub quarantined: Vec<Quarantined>,
    /// Changes of tables that are set aside and have not been taken.
    pub kept: Vec<Kept>,
    /// The rows to come were set aside: the rest of their transactions went before, so no place in these is told.
    pub(crate) apart: bool,
    /// Tables that have been emptied, behind everything that has been encoded; not taken.
    pub(crate) emptied: Vec<Emptied>,
    /// Time of capture for the rows to come, microseconds.
    pub recorded_time: i64,
    /// Newest commit time seen.
    pub last_event_time: Option<i64>,
}

/// One event of one row, before its envelope.
struct Event<'a> {
    publication: usize,
    operation: Operation,
    /// Which of several people, from 0; `None` where an event has one subject.
    person: Option<usize>,
    subject: &'a str,
}

impl Encoder {
    /// # Errors
    /// Names a topic that the log does not have.
    pub fn new(parts: EncoderParts) -> Result<Self, String> {
        let lane = |stem: &str, lane: Lane| {
            let topic = lane.topic(stem);
            let found = parts.partitions.get_key_value(topic.as_str());
            found.map(|(name, count)| (Arc::clone(name), *count)).ok_or(topic)
        };
        let lanes = parts
            .publications
            .iter()
            .map(|entry| Ok([lane(&entry.stem, Lane::Live)?, lane(&entry.stem, Lane::Bulk)?]))
            .collect::<Result<_, String>>()?;
        let entries = by_table(&parts.publications);
        let of = |table| entries.get(&table).cloned().unwrap_or_default().into();
        let by_table = (0..parts.tables.len()).map(of).collect();
        let tracer = Tracer::new(parts.traces.clone(), &parts.keys.subject);
        let keys = parts.tables.iter().map(key_places).collect();
        Ok(Self {
            parts,
            tracer,
            captured: Tally::default(),
            oldest: None,
            traced: Vec::new(),
            by_table,
            lanes,
            arena: Bump::new(),
            value: Vec::new(),
            batches: Batches::default(),
            keys,
            flags: Vec::new(),
            flag_text: String::new(),
            correlation: String::new(),
            looked_up: String::new(),
            only: None,
            envelope: Envelope::default(),
            transaction: None,
            pushed: false,
            passing: false,
            causes: Causes::default(),
            quarantined: Vec::new(),
            kept: Vec::new(),
            apart: false,
            emptied: Vec::new(),
            recorded_time: 0,
            last_event_time: None,
        })
    }

    /// The counter behind the last `ce_sequence`.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.parts.counter
    }

    /// Records encoded since the last call: batches, each of which must be durable before the next is sent. While a transaction is
    /// under way its newest change is kept back: it may be the last.
    pub fn take(&mut self) -> (Vec<Batch>, Held) {
        let hold = self.transaction.is_some_and(|of| of.pushed > 0 && of.pushed == of.events);
        let held = match (hold, std::mem::take(&mut self.pushed)) {
            (false, _) => Held::Nothing,
            (true, true) => Held::New,
            (true, false) => Held::Earlier,
        };
        (self.batches.take(hold), held)
    }

    /// Whether ids collected by the read-back have not been met yet: no checkpoint may be written.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.parts.collected.is_empty()
    }

    /// The source has given out everything that was committed: whatever was collected is covered now.
    pub fn caught_up(&mut self) {
        self.parts.collected.clear();
    }

    /// The rows to come are no longer apart. What was measured of those that were would tell how long they waited.
    pub(crate) fn together(&mut self) {
        self.apart = false;
        (self.captured, self.oldest) = (Tally::default(), None);
        self.traced.clear();
    }

    fn publication(&mut self, index: usize, row: &RowChange<'_>, arena: &Bump) {
        let publications = Arc::clone(&self.parts.publications);
        let publication = &publications[index];
        let tables = Arc::clone(&self.parts.tables);
        let judge = Judge { publication, table: &tables[row.table], broken: row.broken };
        let after = match judge.counting(Side::After, row.after) {
            Ok(after) => after,
            Err(broken) => {
                return self.quarantine(publication, row, row.after.unwrap_or_default(), broken);
            }
        };
        let (before, judged) = match judge.counting(Side::Before, row.before) {
            Ok(before) => (before, true),
            // This change mended it. The row may have counted, so it is an update, which also writes what is not there.
            Err(_) if after.is_some() => (row.before, false),
            Err(broken) => {
                return self.quarantine(publication, row, row.before.unwrap_or_default(), broken);
            }
        };
        let operation = match (row.op, before, after) {
            (_, None, None) => return,
            (RowOp::Snapshot, _, Some(_)) => Operation::Snapshot,
            (_, None, Some(_)) => Operation::Insert,
            (_, Some(_), Some(_)) => Operation::Update,
            (_, Some(_), None) => Operation::Delete,
        };
        let Some(last_known) = after.or(before) else { return };
        let side = if after.is_some() { Side::After } else { Side::Before };
        // A row that was set aside before this change mended it was not published as it stood then, so no subject is told to go on as
        // another one. Had a still earlier state been published under a former subject, a target that is keyed by the subject keeps
        // that row until somebody who reads the quarantine mends it; one that is keyed by the record converges.
        let former = match (operation, before) {
            (Operation::Update, Some(before)) if judged => judge
                .whole(Side::Before)
                .and_then(|()| event(publication, before, row.time, arena, &mut self.flags))
                .ok(),
            _ => None,
        };
        // What was odd before the change is not said again.
        self.flags.clear();
        looked_up::describe(row.looked_up, publication, &mut self.looked_up);
        let is_code = self.correlate(publication, side, row.broken, last_known);
        let read = judge
            .whole(side)
            .and_then(|()| event(publication, last_known, row.time, arena, &mut self.flags))
            .and_then(|(cells, subjects)| self.encode(index, operation, is_code, cells).map(|()| subjects));
        let subjects = match read {
            Ok(subjects) => subjects,
            Err(broken) => return self.quarantine(publication, row, last_known, broken),
        };
        let former = former.map(|(_, former)| former).unwrap_or_default();
        if let Err(broken) = self.all_or_nothing(index, row, operation, former, subjects) {
            self.quarantine(publication, row, last_known, broken);
        }
    }

    /// The case of the events to come; whether the column can be one.
    fn correlate(
        &mut self,
        publication: &Publication,
        side: Side,
        broken: &[BrokenValue],
        row: &[Cell<'_>],
    ) -> bool {
        let Some(column) = publication.correlation else {
            self.correlation.clear();
            return true;
        };
        let unread = broken.iter().any(|value| value.side == side && value.column == column);
        correlation::write(row[column], &mut self.correlation) && !unread
    }

    /// The event's data and what was odd in them, the same for every person whom it concerns.
    fn encode(
        &mut self,
        index: usize,
        operation: Operation,
        is_code: bool,
        cells: &[Cell<'_>],
    ) -> Result<(), Broken> {
        let publication = &self.parts.publications[index];
        describe(&self.flags, publication, &mut self.flag_text);
        if !is_code {
            let comma = if self.flag_text.is_empty() { "" } else { "," };
            self.flag_text.extend([comma, correlation::NO_CODE]);
        }
        let (live, bulk) = self.parts.schema_ids[index];
        self.value.clear();
        frame::write(if operation == Operation::Snapshot { bulk } else { live }, &mut self.value);
        let encoded = publication.plan.encode(cells, &mut self.value);
        // No field is named where it is the whole that does not fit.
        let place = |path: String| if path.is_empty() { RECORD.to_owned() } else { path };
        encoded.map_err(|error| (place(error.path), rule_of(error.problem)))
    }

    /// The events of all persons, or of none: a row that is set aside has nothing in the log.
    fn all_or_nothing(
        &mut self,
        index: usize,
        row: &RowChange<'_>,
        operation: Operation,
        former: &[&str],
        subjects: &[&str],
    ) -> Result<(), Broken> {
        let (records, traced) = (self.batches.of_change(), self.traced.len());
        let (counter, transaction, causes) = (self.parts.counter, self.transaction, self.causes.len());
        let sent = self.persons(index, row, operation, former, subjects);
        if sent.is_err() {
            self.batches.undo(records);
            self.traced.truncate(traced);
            self.causes.undo(causes);
            (self.parts.counter, self.transaction) = (counter, transaction);
        }
        if self.passing {
            return sent;
        }
        for _ in records..self.batches.of_change() {
            self.captured.between(row.time, self.recorded_time);
        }
        if records < self.batches.of_change() {
            self.oldest = Some(self.oldest.map_or(row.time, |oldest| oldest.min(row.time)));
        }
        sent
    }

    /// One event per person; first those who are no longer a subject are told so, under the old key.
    fn persons(
        &mut self,
        index: usize,
        row: &RowChange<'_>,
        operation: Operation,
        former: &[&str],
        subjects: &[&str],
    ) -> Result<(), Broken> {
        let several = subjects.len() > 1;
        let person = |index: usize| several.then_some(index);
        let gone = |at: usize, who: &&str| !subjects.contains(who) && !former[..at].contains(who);
        for (at, subject) in former.iter().enumerate().filter(|(at, former)| gone(*at, former)) {
            let operation = Operation::Rekey;
            self.emit(row, &Event { publication: index, operation, person: person(at), subject })?;
        }
        for (at, subject) in subjects.iter().enumerate() {
            // One person in two places of a record is one person.
            if !subjects[..at].contains(subject) {
                self.emit(row, &Event { publication: index, operation, person: person(at), subject })?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, row: &RowChange<'_>, event: &Event<'_>) -> Result<(), Broken> {
        let publications = Arc::clone(&self.parts.publications);
        let publication = &publications[event.publication];
        let mut envelope = std::mem::take(&mut self.envelope);
        let sent = self.put(publication, row, event, &mut envelope);
        self.envelope = envelope;
        sent
    }

    fn put(
        &mut self,
        publication: &Publication,
        row: &RowChange<'_>,
        event: &Event<'_>,
        envelope: &mut Envelope,
    ) -> Result<(), Broken> {
        self.id(publication, row, event.person, event.operation, &mut envelope.id);
        let number = self.transaction.as_mut().map(|of| {
            of.events += 1;
            (of.lsn, of.events)
        });
        if event.operation == Operation::Delete {
            self.causes.gone(event.publication, event.subject, &envelope.id);
        }
        if self.parts.collected.remove(envelope.id.as_str()) {
            return Ok(());
        }
        self.write(row, number, envelope);
        let Envelope { id, sequence, time, recorded, transaction, order } = envelope;
        let target = self.target(event);
        let origin = self.tracer.origin(id);
        let trace = origin.map(|origin| origin.context().header()).unwrap_or_default();
        let insert = row.moved_from.is_some() && event.operation == Operation::Insert;
        let cause = if insert { self.causes.of(event.publication, event.subject) } else { "" };
        let mut headers: [(&'static str, &[u8]); 17] = [
            (header::SPEC_VERSION, b"1.0"),
            (header::ID, id.as_bytes()),
            (header::SOURCE, self.parts.urn.as_bytes()),
            (header::TYPE, publication.event.as_bytes()),
            (header::SUBJECT, event.subject.as_bytes()),
            (header::TIME, time.as_bytes()),
            (header::RECORDED_TIME, recorded.as_bytes()),
            (header::OPERATION, event.operation.as_str().as_bytes()),
            (header::SEQUENCE, sequence.as_bytes()),
            (header::CONTENT_TYPE, header::AVRO.as_bytes()),
            (header::TRANSACTION_ID, transaction.as_bytes()),
            (header::TRANSACTION_ORDER, order.as_bytes()),
            (header::QUALITY_FLAGS, self.flag_text.as_bytes()),
            (header::TRACE_PARENT, trace.as_bytes()),
            (header::CORRELATION_ID, self.correlation.as_bytes()),
            (header::CAUSATION_ID, cause.as_bytes()),
            (header::LOOKUP, self.looked_up.as_bytes()),
        ];
        // What is right has no flags, what is not traced says nothing of traces, what is of no case nothing of cases, what goes on
        // from no other event nothing of that, what was read where it stands nothing of look-ups.
        let mut count = ALWAYS;
        for at in ALWAYS..headers.len() {
            if !headers[at].1.is_empty() {
                headers.swap(count, at);
                count += 1;
            }
        }
        let headers = &headers[..count];
        let record = NewRecord { key: event.subject.as_bytes(), headers, value: &self.value, time: row.time };
        let pushed = self.batches.push(&target, &record);
        pushed.map_err(|_| (RECORD.to_owned(), "record-too-long"))?;
        self.pushed = true;
        if let (Some(of), Some((_, number))) = (&mut self.transaction, number) {
            of.pushed = number;
        }
        self.traced.extend(origin.map(|origin| Traced {
            origin,
            committed: row.time,
            event: publication.event.clone(),
            subject: self.tracer.subject(event.subject),
            target,
        }));
        Ok(())
    }

    fn target(&self, event: &Event<'_>) -> TopicPartition {
        let bulk = event.operation == Operation::Snapshot;
        let (topic, partitions) = &self.lanes[event.publication][usize::from(bulk)];
        let partition = murmur2::partition(event.subject.as_bytes(), *partitions);
        TopicPartition { topic: Arc::clone(topic), partition }
    }

    /// The texts of the event's place and times.
    fn write(&mut self, row: &RowChange<'_>, number: Option<(u64, u64)>, envelope: &mut Envelope) {
        self.sequence(row, &mut envelope.sequence);
        envelope.transaction.clear();
        envelope.order.clear();
        if let Some((lsn, number)) = number {
            transaction_id(self.parts.lineage_epoch, lsn, &mut envelope.transaction);
            digits::decimal(number, 1, &mut envelope.order);
        }
        envelope.time.set(row.time);
        envelope.recorded.set(self.recorded_time);
    }

    /// By its place where the source knows it, so that it is the same whoever writes it; else the next.
    fn sequence(&mut self, row: &RowChange<'_>, out: &mut String) {
        out.clear();
        let lineage = self.parts.lineage_epoch;
        if let Some(place) = row.place {
            return log_sequence(lineage, place.lsn, place.index, out);
        }
        self.parts.counter += 1;
        outbox_sequence(lineage, self.parts.writer_epoch, self.parts.counter, out);
    }

    /// A pure function of lineage, change, entry, person and whether the event only moves a subject.
    fn id(
        &self,
        publication: &Publication,
        row: &RowChange<'_>,
        person: Option<usize>,
        operation: Operation,
        id: &mut String,
    ) {
        id.clear();
        digits::decimal(u64::from(self.parts.lineage_epoch), 1, id);
        id.extend(["-", row.id, "-"]);
        digits::decimal(publication.entry as u64, 1, id);
        if let Some(person) = person {
            id.push('.');
            digits::decimal(person as u64, 1, id);
        }
        if operation == Operation::Rekey {
            id.push('r');
        }
    }

    fn quarantine(
        &mut self,
        publication: &Publication,
        row: &RowChange<'_>,
        cells: &[Cell<'_>],
        (column, rule): Broken,
    ) {
        if self.passing {
            return;
        }
        let mut id = String::with_capacity(row.id.len() + 14);
        self.id(publication, row, None, Operation::Insert, &mut id);
        let table = &self.parts.tables[row.table];
        let key: Vec<Cell<'_>> = self.keys[row.table].iter().map(|index| cells[*index]).collect();
        self.quarantined.push(Quarantined {
            event: publication.event.clone(),
            table: table.table.clone(),
            key: self.parts.keys.key(&table.table, &key),
            column,
            rule,
            time: row.time,
            sealed: self.parts.keys.seal(&id, &table.names(), cells),
            id,
        });
    }
}

impl RowVisitor for Encoder {
    fn row(&mut self, row: &RowChange<'_>) {
        provoke::panic_at("capture", || provoke::texts(row.after.or(row.before).unwrap_or_default()));
        self.causes.begin(row);
        self.last_event_time = self.last_event_time.max(Some(row.time));
        let lsn = row.place.filter(|_| row.op != RowOp::Snapshot && !self.apart).map(|place| place.lsn);
        if self.transaction.map(|of| of.lsn) != lsn {
            self.transaction = lsn.map(|lsn| Transaction { lsn, events: 0, pushed: 0 });
        }
        let indexes = self.by_table.get(row.table).map(Arc::clone).unwrap_or_default();
        let mut arena = std::mem::take(&mut self.arena);
        for index in indexes.iter() {
            let event = &self.parts.publications[*index].event;
            if self.only.as_ref().is_none_or(|only| only == event) {
                self.publication(*index, row, &arena);
            }
        }
        if self.passing {
            self.batches.undo(0);
        } else if let Some(cells) = row.after.or(row.before) {
            let key = self.keys[row.table].iter().map(|index| &cells[*index]);
            self.batches.change_done(row.table, row.op, key);
        }
        arena.reset();
        self.arena = arena;
    }

    fn asked(&mut self, event: Option<&str>) {
        self.only = event.map(str::to_owned);
    }

    fn passed(&mut self, row: &RowChange<'_>) {
        let (traced, pushed, newest) = (self.traced.len(), self.pushed, self.last_event_time);
        self.passing = true;
        self.row(row);
        self.passing = false;
        self.traced.truncate(traced);
        (self.pushed, self.last_event_time) = (pushed, newest);
        if let Some(of) = &mut self.transaction {
            of.pushed = 0;
        }
    }

    fn emptied(&mut self, emptied: Emptied) {
        self.emptied.push(emptied);
    }

    fn aside(&mut self, change: &SetAside<'_>) {
        self.kept.push(Kept::new(&self.parts.keys, self.parts.lineage_epoch, change));
    }

    fn transaction_end(&mut self) {
        let Some(Transaction { events, pushed, .. }) = self.transaction.take() else { return };
        // Where the last one stood in the log already, it says so there.
        if pushed > 0 && pushed == events {
            self.envelope.order.clear();
            digits::decimal(events, 1, &mut self.envelope.order);
            self.batches.add_to_last(header::TRANSACTION_COUNT, &self.envelope.order);
        }
    }
}

fn key_places(table: &TableCapture) -> Vec<usize> {
    let place = |name: &String| table.columns.iter().position(|column| column == name);
    table.key.iter().filter_map(place).collect()
}

/// The flags as their header says them.
fn describe(flags: &[Flag], publication: &Publication, out: &mut String) {
    out.clear();
    for flag in flags {
        let comma = if out.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{}@{}", flag.rule.id, publication.fields[flag.slot].path);
    }
}
