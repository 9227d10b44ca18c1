//! Records on the way into the log and out of it: one buffer per batch and partition, no object per record.
//!
//! Body layout, shared with the embedded engine's file, per record, all numbers little endian:
//! `u32 rest length | i64 time | u16 key length | key | u16 header count | (u8 name length | name | u16 value length | value)* | value`.

use bytes::Bytes;

use crate::api::TopicPartition;

/// Records for one append, grouped by partition in the order of arrival.
#[derive(Debug, Default)]
pub struct Batch {
    /// One body per partition that has records.
    pub parts: Vec<PartitionBody>,
}

/// One partition's records of a batch.
pub struct PartitionBody {
    /// Where they go.
    pub target: TopicPartition,
    /// How many.
    pub count: u32,
    /// Earliest and latest record time, microseconds.
    pub times: (i64, i64),
    /// The records in the layout above.
    pub body: Vec<u8>,
}

/// One record as given to [`Batch::push`].
#[derive(Clone, Copy)]
pub struct NewRecord<'a> {
    /// Record key: the subject.
    pub key: &'a [u8],
    /// Headers without `ce_writerepoch` and `ce_partitionsequence`, which the writer adds.
    pub headers: &'a [(&'static str, &'a [u8])],
    /// Framed Avro.
    pub value: &'a [u8],
    /// Event time, microseconds.
    pub time: i64,
}

/// Of no record.
const NO_TIMES: (i64, i64) = (i64::MAX, i64::MIN);

/// Where [`Batch::push`] put a record, and what its part was before.
#[derive(Clone, Copy, Debug)]
pub struct Pushed {
    /// Index of its part.
    pub part: usize,
    at: usize,
    times: (i64, i64),
    time: i64,
}

impl Batch {
    /// Appends one record.
    ///
    /// # Errors
    /// When the record is beyond the log's bounds; the batch is as it was.
    pub fn push(&mut self, target: &TopicPartition, record: &NewRecord<'_>) -> Result<Pushed, TooLong> {
        check(record)?;
        let index = match self.parts.iter().position(|part| part.target == *target) {
            Some(index) => index,
            None => {
                self.parts.push(PartitionBody {
                    target: target.clone(),
                    count: 0,
                    times: NO_TIMES,
                    body: Vec::new(),
                });
                self.parts.len() - 1
            }
        };
        let part = &mut self.parts[index];
        let pushed = Pushed { part: index, at: part.body.len(), times: part.times, time: record.time };
        part.count += 1;
        part.times = (part.times.0.min(record.time), part.times.1.max(record.time));
        encode(&mut part.body, record);
        Ok(pushed)
    }

    /// Moves the records that were pushed last into a batch of their own; `last` is what [`Batch::push`] said of them, in order, and
    /// says afterwards where they are there.
    #[must_use]
    pub fn split_off(&mut self, last: &mut [Pushed]) -> Self {
        let mut later = Self::default();
        let known = last.to_vec();
        for (index, first) in known.iter().enumerate() {
            // The first of a part cuts it, the others lie behind.
            if known[..index].iter().any(|earlier| earlier.part == first.part) {
                continue;
            }
            let part = &mut self.parts[first.part];
            let body = part.body.split_off(first.at);
            let mut moved = PartitionBody { target: part.target.clone(), count: 0, times: NO_TIMES, body };
            for (pushed, now) in known.iter().zip(last.iter_mut()) {
                if pushed.part != first.part {
                    continue;
                }
                *now = Pushed {
                    part: later.parts.len(),
                    at: pushed.at - first.at,
                    times: moved.times,
                    ..*pushed
                };
                moved.count += 1;
                moved.times = (moved.times.0.min(pushed.time), moved.times.1.max(pushed.time));
            }
            part.count -= moved.count;
            part.times = first.times;
            later.parts.push(moved);
        }
        later
    }

    /// Gives the record that was pushed last into its part one more header.
    pub fn add_header(&mut self, last: &Pushed, name: &str, value: &[u8]) {
        debug_assert!(name.len() + value.len() + 3 <= LATE_HEADER, "a late header is short");
        let body = &mut self.parts[last.part].body;
        let key_length = usize::from(u16::from_le_bytes([body[last.at + 12], body[last.at + 13]]));
        let count_at = last.at + 14 + key_length;
        let count = u16::from_le_bytes([body[count_at], body[count_at + 1]]) + 1;
        body[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
        let mut header = Vec::with_capacity(LATE_HEADER);
        header.push(name.len() as u8);
        header.extend_from_slice(name.as_bytes());
        header.extend_from_slice(&(value.len() as u16).to_le_bytes());
        header.extend_from_slice(value);
        body.splice(count_at + 2..count_at + 2, header);
        let rest = (body.len() - last.at - 4) as u32;
        body[last.at..last.at + 4].copy_from_slice(&rest.to_le_bytes());
    }

    /// Takes the records that were pushed last out again; `last` is what [`Batch::push`] said of them, in order.
    pub fn undo(&mut self, last: &[Pushed]) {
        for pushed in last.iter().rev() {
            let part = &mut self.parts[pushed.part];
            part.body.truncate(pushed.at);
            part.count -= 1;
            part.times = pushed.times;
            // A part that is made for a record is the last one then.
            if part.count == 0 {
                self.parts.pop();
            }
        }
    }

    /// Records in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.count as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.body.len()).sum()
    }
}

/// Longest record in the body layout: the longest datum that contracts allow, and room for key and headers.
pub const MAX_RECORD_BYTES: usize = (1 << 20) + (1 << 16);

/// Every record leaves room for one header that [`Batch::add_header`] adds: name, value and their lengths.
const LATE_HEADER: usize = 64;

/// A record beyond the log's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} of a record is longer than the log takes")]
pub struct TooLong(&'static str);

/// Every length must fit the layout's number for it, and the whole record its bound.
fn check(record: &NewRecord<'_>) -> Result<(), TooLong> {
    let fits = |bytes: &[u8]| bytes.len() <= usize::from(u16::MAX);
    if !fits(record.key) {
        return Err(TooLong("the key"));
    }
    if record.headers.len() >= usize::from(u16::MAX) {
        return Err(TooLong("the list of headers"));
    }
    if record.headers.iter().any(|(name, value)| name.len() > usize::from(u8::MAX) || !fits(value)) {
        return Err(TooLong("a header"));
    }
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
    if record.key.len() + headers + record.value.len() + 16 + LATE_HEADER > MAX_RECORD_BYTES {
        return Err(TooLong("the whole"));
    }
    Ok(())
}

/// Appends one record, which [`check`] has passed, in the body layout.
fn encode(body: &mut Vec<u8>, record: &NewRecord<'_>) {
    let start = body.len();
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(&record.time.to_le_bytes());
    body.extend_from_slice(&(record.key.len() as u16).to_le_bytes());
    body.extend_from_slice(record.key);
    body.extend_from_slice(&(record.headers.len() as u16).to_le_bytes());
    for (name, value) in record.headers {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&(value.len() as u16).to_le_bytes());
        body.extend_from_slice(value);
    }
    body.extend_from_slice(record.value);
    let rest = (body.len() - start - 4) as u32;
    body[start..start + 4].copy_from_slice(&rest.to_le_bytes());
}

/// Appends one record in the body layout, with headers whose names are not known when the program is built. Leaves `body` as it was
/// on failure.
///
/// # Errors
/// When key, a header's name or value, or their number is too long for the layout.
pub fn encode_parts(
    body: &mut Vec<u8>,
    time: i64,
    key: &[u8],
    headers: &[(&str, &[u8])],
    value: &[u8],
) -> Result<(), Malformed> {
    let short = |bytes: &[u8]| u16::try_from(bytes.len()).map_err(|_| Malformed);
    let mut rest = Vec::with_capacity(key.len() + value.len() + 64 * headers.len() + 12);
    rest.extend_from_slice(&time.to_le_bytes());
    rest.extend_from_slice(&short(key)?.to_le_bytes());
    rest.extend_from_slice(key);
    rest.extend_from_slice(&u16::try_from(headers.len()).map_err(|_| Malformed)?.to_le_bytes());
    for (name, value) in headers {
        rest.push(u8::try_from(name.len()).map_err(|_| Malformed)?);
        rest.extend_from_slice(name.as_bytes());
        rest.extend_from_slice(&short(value)?.to_le_bytes());
        rest.extend_from_slice(value);
    }
    rest.extend_from_slice(value);
    body.extend_from_slice(&u32::try_from(rest.len()).map_err(|_| Malformed)?.to_le_bytes());
    body.extend_from_slice(&rest);
    Ok(())
}

/// Accepted records of one partition, in order.
#[derive(Clone)]
pub struct LogBatch {
    /// Where they come from.
    pub source: TopicPartition,
    /// Bodies that `entries` point into.
    pub body: Bytes,
    /// One per record.
    pub entries: Vec<Entry>,
    /// Offset at which reading began: nothing between here and the entries was left out except what does not count.
    pub from_offset: i64,
    /// Offset to go on from after this batch, past everything ignored too.
    pub next_offset: i64,
    /// The rule's state after this batch.
    pub epoch: i64,
    /// Partition sequence of the last accepted record.
    pub sequence: u64,
    /// Records of zombies that were ignored.
    pub ignored: u64,
    /// Time of the newest heartbeat seen, microseconds.
    pub heartbeat: Option<i64>,
}

/// Where one record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset in the partition.
    pub offset: i64,
    /// Position of its body.
    pub at: usize,
    /// Writer epoch.
    pub epoch: i64,
    /// Partition sequence.
    pub sequence: u64,
    /// Time at which the log took it, microseconds.
    pub append_time: i64,
}

impl LogBatch {
    /// The record of an entry.
    ///
    /// # Errors
    /// When the body is not in the layout: a damaged log.
    pub fn record(&self, entry: &Entry) -> Result<RecordRef<'_>, Malformed> {
        RecordRef::read(&self.body, entry.at).map(|(record, _)| record)
    }
}

/// One record, borrowed.
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    /// Event time, microseconds.
    pub time: i64,
    /// Record key.
    pub key: &'a [u8],
    headers: &'a [u8],
    header_count: u16,
    /// Framed Avro.
    pub value: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Reads the record that begins at `at`, and where the next one begins.
    ///
    /// # Errors
    /// When the bytes are not in the layout.
    pub fn read(body: &'a [u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut rest = body.get(at..).ok_or(Malformed)?;
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        let mut rest = rest.get(..length).ok_or(Malformed)?;
        let time = i64::from_le_bytes(take(&mut rest)?);
        let key = take_slice(&mut rest)?;
        let header_count = u16::from_le_bytes(take(&mut rest)?);
        let headers = rest;
        for _ in 0..header_count {
            take_header(&mut rest)?;
        }
        let headers = &headers[..headers.len() - rest.len()];
        Ok((Self { time, key, headers, header_count, value: rest }, at + 4 + length))
    }

    /// Headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let mut rest = self.headers;
        (0..self.header_count).map_while(move |_| take_header(&mut rest).ok())
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordRef({} headers, value of {} bytes)", self.header_count, self.value.len())
    }
}

/// Bytes that are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record in the log is not in the log's layout")]
pub struct Malformed;

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    *rest = tail;
    Ok(*head)
}

fn take_slice<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::from(u16::from_le_bytes(take(rest)?));
    let (head, tail) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = tail;
    Ok(head)
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Result<(&'a str, &'a [u8]), Malformed> {
    let [length] = take::<1>(rest)?;
    let (name, tail) = rest.split_at_checked(usize::from(length)).ok_or(Malformed)?;
    *rest = tail;
    Ok((std::str::from_utf8(name).map_err(|_| Malformed)?, take_slice(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_given() {
        let target = TopicPartition { topic: "lt.a.live".into(), partition: 3 };
        let mut batch = Batch::default();
        for time in [5, -2] {
            let headers: &[(&'static str, &[u8])] = &[("ce_id", b"1"), ("ce_subject", "ư".as_bytes())];
            batch.push(&target, &NewRecord { key: b"k", headers, value: b"v", time }).expect("it fits");
        }
        let part = &batch.parts[0];
        assert_eq!((part.count, part.times), (2, (-2, 5)));
        let (first, at) = RecordRef::read(&part.body, 0).expect("first");
        assert_eq!((first.time, first.key, first.value), (5, b"k".as_slice(), b"v".as_slice()));
        assert_eq!(first.header("ce_subject"), Some("ư".as_bytes()));
        assert_eq!(first.headers().count(), 2);
        assert_eq!(RecordRef::read(&part.body, at).expect("second").1, part.body.len());
        for cut in 0..at {
            assert!(RecordRef::read(&part.body[..cut], 0).is_err());
        }
    }

    #[test]
    fn a_record_that_the_layout_cannot_hold_is_refused_and_leaves_the_batch_as_it_was() {
        let target = TopicPartition { topic: "lt.a.live".into(), partition: 0 };
        let long = vec![b'x'; 70_000];
        let whole = vec![b'x'; MAX_RECORD_BYTES];
        let mut batch = Batch::default();
        let headers: &[(&'static str, &[u8])] = &[("ce_subject", &long)];
        let mut refused = |key: &[u8], headers, value: &[u8]| {
            batch
                .push(&target, &NewRecord { key, headers, value, time: 1 })
                .expect_err("too long")
                .to_string()
        };
        assert!(refused(&long, &[], b"v").starts_with("the key"));
        assert!(refused(b"k", headers, b"v").starts_with("a header"));
        assert!(refused(b"k", &[], &whole).starts_with("the whole"));
        assert!(batch.is_empty() && batch.parts.is_empty());
        let most = NewRecord {
            key: b"k",
            headers: &[],
            value: &whole[..MAX_RECORD_BYTES - 17 - LATE_HEADER],
            time: 1,
        };
        let pushed = batch.push(&target, &most).expect("it fits");
        assert_eq!(batch.bytes(), MAX_RECORD_BYTES - LATE_HEADER, "room is left for one more header");
        batch.add_header(&pushed, "ce_late", &[b'7'; LATE_HEADER - 10]);
        assert_eq!(batch.bytes(), MAX_RECORD_BYTES);
        let (read, end) = RecordRef::read(&batch.parts[0].body, 0).expect("a record");
        assert_eq!((read.headers().count(), end), (1, batch.bytes()));
        assert_eq!(read.header("ce_late").map(<[u8]>::len), Some(LATE_HEADER - 10));
    }

    #[test]
    fn what_was_pushed_last_is_split_off_whole() {
        let place = |partition| TopicPartition { topic: "lt.a.live".into(), partition };
        let mut batch = Batch::default();
        let mut push = |partition, time| {
            let record = NewRecord { key: b"k", headers: &[], value: b"v", time };
            batch.push(&place(partition), &record).expect("it fits")
        };
        push(0, 5);
        let mut last = [push(0, 9), push(1, 9), push(0, 9)];
        let mut later = batch.split_off(&mut last);
        assert_eq!((batch.len(), batch.parts[0].times, batch.parts[0].count), (1, (5, 5), 1));
        let found: Vec<_> =
            later.parts.iter().map(|part| (part.target.partition, part.count, part.times)).collect();
        assert_eq!(found, [(0, 2, (9, 9)), (1, 1, (9, 9))]);
        let mut at = 0;
        for _ in 0..2 {
            at = RecordRef::read(&later.parts[0].body, at).expect("a record").1;
        }
        assert_eq!(at, later.parts[0].body.len());
        let again = later.split_off(&mut last[2..]);
        assert_eq!(
            (later.len(), again.len(), again.parts[0].times),
            (2, 1, (9, 9)),
            "they are known there too"
        );
    }
}
