//! What a database's server keeps of its log for a source that reads it.

use std::fmt;

/// What to do when the server keeps as much as `max_retained_wal` allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtBound {
    /// The connector ends; the server goes on keeping.
    #[default]
    Stop,
    /// What is kept is given up, so that the server's disk does not fill; then the connector ends.
    DropSlot,
}

/// How much of its log a server may keep for a source, as the participant's file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBound {
    /// Bytes; `None`: as much as the server allows.
    pub most: Option<u64>,
    /// What happens then.
    pub then: AtBound,
}

/// One look at what a server keeps of its log. Texts are names and places, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedLog {
    /// The participant.
    pub source_name: String,
    /// Who makes the server keep it.
    pub slot: String,
    /// The captured tables.
    pub tables: String,
    /// The oldest place that is kept, as the server writes it.
    pub from: String,
    /// The end of the log.
    pub to: String,
    /// Bytes between both.
    pub bytes: u64,
    /// The server's own word for it, such as `reserved`, `extended` or `unreserved`.
    pub state: String,
    /// Bytes that may be written before the server throws kept ones away; `None` where it never does.
    pub safe: Option<u64>,
    /// Of the participant's file.
    pub bound: LogBound,
}

impl RetainedLog {
    /// Bytes until the nearer of the participant's bound and the server's own; `None` without either.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let most = self.bound.most.map(|most| most.saturating_sub(self.bytes));
        most.into_iter().chain(self.safe).min()
    }

    /// Whether the participant's bound is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bound.most.is_some_and(|most| self.bytes >= most)
    }

    /// Whether four fifths of the way to the nearer bound are gone.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.room().is_some_and(|room| room <= self.bytes / 4)
    }

    /// What is kept, for messages.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { slot, tables, from, to, .. } = self;
        let bytes = Size(self.bytes);
        format!(
            "the server keeps {bytes} of its log for slot {slot}, from {from} to {to}, with changes of {tables}"
        )
    }
}

/// A number of bytes as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match units.into_iter().find(|(_, shift)| self.0 >> shift > 0) {
            Some((unit, shift)) => {
                let whole = 1_u64 << shift;
                if self.0.is_multiple_of(whole) {
                    write!(f, "{} {unit}", self.0 / whole)
                } else {
                    write!(f, "{:.1} {unit}", self.0 as f64 / whole as f64)
                }
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(bytes: u64, most: Option<u64>, safe: Option<u64>) -> RetainedLog {
        RetainedLog {
            source_name: "moj".to_owned(),
            slot: "s".to_owned(),
            tables: "public.person".to_owned(),
            from: "0/10".to_owned(),
            to: "0/20".to_owned(),
            bytes,
            state: "reserved".to_owned(),
            safe,
            bound: LogBound { most, then: AtBound::Stop },
        }
    }

    #[test]
    fn the_nearer_bound_counts_and_no_bound_is_no_room() {
        assert_eq!(look(10, None, None).room(), None);
        assert_eq!(look(10, Some(15), None).room(), Some(5));
        assert_eq!(look(10, Some(15), Some(3)).room(), Some(3));
        assert_eq!(look(20, Some(15), Some(30)).room(), Some(0));
        assert!(look(80, Some(100), None).is_near() && !look(79, Some(100), None).is_near());
        assert!(look(80, None, Some(20)).is_near() && !look(u64::MAX, None, None).is_near());
        assert!(look(100, Some(100), None).is_full() && !look(99, Some(100), None).is_full());
        assert!(!look(100, None, Some(0)).is_full(), "that is the server's affair");
    }

    #[test]
    fn sizes_are_read_by_people() {
        let sizes = [0, 1023, 1 << 10, 3 << 19, 20 << 30, 1 << 40].map(|bytes| Size(bytes).to_string());
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "1.5 MiB", "20 GiB", "1 TiB"]);
    }
}
