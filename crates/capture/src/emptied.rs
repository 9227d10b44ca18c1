//! Which rows an emptied table had: what the log of the bus knows of them, read back from the participant's own topics.
//!
//! Memory is bounded: a pass keeps the rows of one range of hashes, and narrows the range when they become too many; the next pass reads
//! the topics again for what comes behind it. Neither the deletions of the emptying itself count nor what comes after it, so that a
//! connector that is killed among them, or behind them, finds the same rows again and gives their deletions the same ids.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bumpalo::Bump;
use lienthong_contract::event::{Operation, header};
use lienthong_contract::keys::KeyHash;
use lienthong_contract::source::TableCapture;
use lienthong_log::{Log, LogError, RecordRef, TopicPartition};
use lienthong_schemas::{Cell, DecodePlan, FieldPath, RecordSchema, Schema, frame};

use crate::encode::entry_of;
use crate::publication::{FieldSource, Publication};
use crate::quarantine::QuarantineKeys;
use crate::to_end::ToEnd;

/// Of the rows that a pass keeps, with what each takes beside its texts.
const MOST_BYTES: usize = 16 << 20;
const BESIDE: usize = 160;

/// What a scan is made from.
pub(crate) struct ScanParts {
    pub(crate) publications: Arc<[Publication]>,
    /// Of the entry whose events are looked for.
    pub(crate) index: usize,
    pub(crate) capture: TableCapture,
    /// Topics of both lanes, and how many partitions each has.
    pub(crate) lanes: [(Arc<str>, i32); 2],
    /// `urn:lienthong:<participant>`.
    pub(crate) urn: String,
    /// What the ids of the emptying's own deletions begin with.
    pub(crate) own: String,
    /// The emptying's `ce_sequence`.
    pub(crate) sequence: String,
    pub(crate) keys: QuarantineKeys,
}

/// Looks for the rows of one entry.
pub(crate) struct Scan {
    parts: ScanParts,
    /// The entry's number, as its ids have it.
    entry: usize,
    reader: RecordSchema,
    /// Fields that hold the key of the row.
    paths: Vec<FieldPath>,
    plans: HashMap<u32, DecodePlan>,
    most: usize,
}

/// A row that is there as far as the log knows.
pub(crate) struct Known {
    /// Keyed hash of row and subject.
    pub(crate) row: KeyHash,
    pub(crate) subject: Box<str>,
    /// Its last event's value, framed.
    pub(crate) value: Box<[u8]>,
}

/// Rows of one range of hashes.
pub(crate) struct Pass {
    pub(crate) rows: Vec<Known>,
    /// Where the next range begins.
    pub(crate) next: Option<u64>,
    /// The log has let go of something: rows whose last event was there are not known.
    pub(crate) incomplete: bool,
}

/// The newest event of a row; one that ended it has no value.
struct Newest {
    sequence: Box<str>,
    last: Option<(Box<str>, Box<[u8]>)>,
}

impl Newest {
    fn bytes(&self) -> usize {
        let last = self.last.as_ref().map_or(0, |(subject, value)| subject.len() + value.len());
        self.sequence.len() + last + BESIDE
    }
}

/// A range of hashes and what has been found in it.
struct Range {
    from: u64,
    to: Option<u64>,
    found: BTreeMap<[u8; 16], Newest>,
    bytes: usize,
}

impl Range {
    fn holds(&self, row: &KeyHash) -> bool {
        let number = number(&row.0);
        number >= self.from && self.to.is_none_or(|to| number < to)
    }

    fn put(&mut self, row: KeyHash, newest: Newest, most: usize) {
        let older = |known: &Newest| known.sequence > newest.sequence;
        if self.found.get(&row.0).is_some_and(older) {
            return;
        }
        self.bytes += newest.bytes();
        if let Some(before) = self.found.insert(row.0, newest) {
            self.bytes -= before.bytes();
        }
        if self.bytes > most {
            self.narrow();
        }
    }

    /// Keeps the lower half.
    fn narrow(&mut self) {
        let middle = self.found.keys().nth(self.found.len() / 2).map(number);
        let Some(to) = middle.filter(|to| *to > self.from) else { return };
        self.to = Some(to);
        self.found.retain(|row, _| number(row) < to);
        self.bytes = self.found.values().map(Newest::bytes).sum();
    }
}

fn number(row: &[u8; 16]) -> u64 {
    row.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

impl Scan {
    pub(crate) fn new(parts: ScanParts) -> Result<Self, LogError> {
        let publication = &parts.publications[parts.index];
        let reader = RecordSchema::parse(&publication.schema_text).map_err(|_| {
            LogError::Inconsistent(format!("the contract of {} cannot be read", publication.event))
        })?;
        let key = |name: &String| {
            let column = parts.capture.columns.iter().position(|column| column == name);
            let of = |source: &FieldSource| matches!(source, FieldSource::Column(at) if Some(*at) == column);
            publication.fields.iter().find(|field| of(&field.source)).map(|field| FieldPath::new(&field.path))
        };
        let paths = parts.capture.key.iter().filter_map(key).collect();
        let entry = publication.entry;
        Ok(Self { parts, entry, reader, paths, plans: HashMap::new(), most: MOST_BYTES })
    }

    /// Of the participant's list.
    pub(crate) fn publication(&self) -> usize {
        self.parts.index
    }

    /// The rows whose hashes begin at `from`, as many as memory allows.
    pub(crate) async fn pass(&mut self, log: &dyn Log, from: u64) -> Result<Pass, LogError> {
        let mut range = Range { from, to: None, found: BTreeMap::new(), bytes: 0 };
        let mut incomplete = false;
        for (topic, partitions) in self.parts.lanes.clone() {
            for partition in 0..partitions {
                let place = TopicPartition { topic: Arc::clone(&topic), partition };
                incomplete |= self.read(log, &place, &mut range).await?;
            }
        }
        let row = |(row, newest): ([u8; 16], Newest)| {
            newest.last.map(|(subject, value)| Known { row: KeyHash(row), subject, value })
        };
        let rows = range.found.into_iter().filter_map(row).collect();
        Ok(Pass { rows, next: range.to, incomplete })
    }

    /// Whether the log has let go of something there.
    async fn read(
        &mut self,
        log: &dyn Log,
        place: &TopicPartition,
        range: &mut Range,
    ) -> Result<bool, LogError> {
        let (mut reading, let_go) = ToEnd::whole(log, place).await?;
        let mut arena = Bump::new();
        while let Some(batch) = reading.next().await? {
            for entry in &batch.entries {
                let damaged = |_| LogError::Inconsistent(format!("a record of {} is damaged", place.topic));
                let record = batch.record(entry).map_err(damaged)?;
                if self.counts(&record) {
                    let (schema, _) = framed(&record)?;
                    self.plan(log, schema).await?;
                    self.take(&record, range, &arena)?;
                    arena.reset();
                }
            }
        }
        Ok(let_go)
    }

    /// Whether it is an event of this entry, and not a deletion by the emptying itself.
    fn counts(&self, record: &RecordRef<'_>) -> bool {
        let ScanParts { publications, index, urn, own, .. } = &self.parts;
        let is = |name, value: &str| record.header(name) == Some(value.as_bytes());
        let id = record.header(header::ID).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default();
        is(header::TYPE, &publications[*index].event)
            && is(header::SOURCE, urn)
            && entry_of(id) == Some(self.entry)
            && !id.starts_with(own.as_str())
    }

    async fn plan(&mut self, log: &dyn Log, schema: u32) -> Result<(), LogError> {
        if self.plans.contains_key(&schema) {
            return Ok(());
        }
        let text = log.schema(schema).await?;
        let unreadable =
            || LogError::Inconsistent(format!("schema {schema} cannot be read by the contract of today"));
        let writer = Schema::parse_str(&text).map_err(|_| unreadable())?;
        let plan =
            DecodePlan::compile(&writer, self.reader.schema(), &self.paths).map_err(|_| unreadable())?;
        self.plans.insert(schema, plan);
        Ok(())
    }

    fn take(&self, record: &RecordRef<'_>, range: &mut Range, arena: &Bump) -> Result<(), LogError> {
        let (schema, datum) = framed(record)?;
        let damaged = || LogError::Inconsistent("an event of this participant cannot be decoded".to_owned());
        let mut cells: Vec<Cell<'_>> = Vec::with_capacity(self.paths.len());
        let plan = self.plans.get(&schema).ok_or_else(damaged)?;
        plan.decode(datum, arena, &mut cells).map_err(|_| damaged())?;
        let text = |name| record.header(name).and_then(|value| std::str::from_utf8(value).ok());
        let (Some(subject), Some(sequence), Some(operation)) =
            (text(header::SUBJECT), text(header::SEQUENCE), text(header::OPERATION))
        else {
            return Err(damaged());
        };
        if sequence > self.parts.sequence.as_str() {
            return Ok(());
        }
        let key = self.parts.keys.key(&self.parts.capture.table, &cells);
        let row = self.parts.keys.subject.hash(&[b"emptied", &key.0, subject.as_bytes()]);
        if range.holds(&row) {
            let ended = [Operation::Delete, Operation::Rekey].iter().any(|end| end.as_str() == operation);
            let last = (!ended).then(|| (subject.into(), record.value.into()));
            range.put(row, Newest { sequence: sequence.into(), last }, self.most);
        }
        Ok(())
    }
}

fn framed<'a>(record: &RecordRef<'a>) -> Result<(u32, &'a [u8]), LogError> {
    frame::read(record.value).map_err(|_| LogError::Inconsistent("an event is not framed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(sequence: &str, there: bool) -> Newest {
        Newest { sequence: sequence.into(), last: there.then(|| ("s".into(), [1, 2, 3].as_slice().into())) }
    }

    fn row(number: u64) -> KeyHash {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        KeyHash(bytes)
    }

    #[test]
    fn the_newest_event_counts_in_whatever_order_they_are_read() {
        let mut range = Range { from: 0, to: None, found: BTreeMap::new(), bytes: 0 };
        for (number, sequence, there) in [(1, "2", false), (1, "1", true), (2, "1", false), (2, "2", true)] {
            range.put(row(number), newest(sequence, there), usize::MAX);
        }
        let there: Vec<bool> = range.found.values().map(|newest| newest.last.is_some()).collect();
        assert_eq!(there, [false, true]);
    }

    #[test]
    fn passes_take_every_row_once_in_bounded_memory() {
        let numbers: Vec<u64> = (0..1000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let most = 40 * newest("1", true).bytes();
        let (mut from, mut seen, mut passes) = (Some(0), Vec::new(), 0);
        while let Some(start) = from {
            let mut range = Range { from: start, to: None, found: BTreeMap::new(), bytes: 0 };
            for number in &numbers {
                if range.holds(&row(*number)) {
                    range.put(row(*number), newest("1", true), most);
                }
                assert!(range.bytes <= most);
            }
            seen.extend(range.found.keys().map(super::number));
            (from, passes) = (range.to, passes + 1);
        }
        seen.sort_unstable();
        let mut all = numbers;
        all.sort_unstable();
        assert!(seen == all && passes > 20, "{passes} passes");
    }
}
