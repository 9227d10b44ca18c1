//! The texts of an event's headers, in buffers that are used again and again.

use lienthong_contract::date;

/// Texts of the event at hand.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) sequence: String,
    /// Of the commit: the same for all rows of a transaction.
    pub(crate) time: Stamp,
    /// Of the capture: the same for all rows of a poll.
    pub(crate) recorded: Stamp,
    pub(crate) transaction: String,
    pub(crate) order: String,
}

/// A time with its text.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    of: Option<i64>,
    text: String,
}

impl Stamp {
    /// The text of a time, microseconds since 1970 UTC.
    pub(crate) fn set(&mut self, micros: i64) {
        if self.of.replace(micros) != Some(micros) {
            self.text.clear();
            date::format_timestamp(micros, &mut self.text);
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// The transaction under way, where the source knows its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    /// Place of its commit.
    pub(crate) lsn: u64,
    /// Events so far, over all topics; those that stand in the log already are counted too.
    pub(crate) events: u64,
    /// Which of them is the newest one in the batches; 0 for none.
    pub(crate) pushed: u64,
}

/// What of a poll's events has been kept back, because it may be the last of its transaction and would have to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The last change of this poll.
    New,
    /// The change that an earlier poll kept back.
    Earlier,
}
