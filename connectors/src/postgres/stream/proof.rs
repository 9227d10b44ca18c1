//! Whether the log is still the one that a position was read from: its own transactions tell. A copy of an earlier state that is written
//! to grows past the position, and its places alone say nothing then.
//!
//! The position knows the last transaction that came whole. Between that and the position's end there was none; so where the slot still
//! keeps something from before the end, exactly that one may come from there, and nothing else. A slot that has let go of everything
//! before the end keeps nothing to compare, and needs no proof: nobody but its reader lets it go.

use lienthong_contract::source::SourceError;
use serde::{Deserialize, Serialize};

use super::source::place;

/// A transaction that came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Last {
    /// Where its commit stands.
    pub(super) commit: u64,
    /// Its number; 0 where none has come yet.
    pub(super) xid: u32,
    /// When it was committed, microseconds since 1970 UTC.
    pub(super) time: i64,
}

/// What has to come before anything new does.
#[derive(Debug)]
pub(super) struct Proof {
    expected: Option<Last>,
    from: u64,
    until: u64,
}

/// The log has another transaction where the position says what it had, or none: between these places.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Other(pub(super) u64, pub(super) u64);

impl Other {
    /// As an error.
    pub(super) fn told<'a>(&self, tables: impl Iterator<Item = &'a str>) -> SourceError {
        SourceError::Gap {
            gap: format!(
                "the log from {} to {} is not the one that was read: the server was set back to an earlier state and has been written to \
                 since, and changes of {} in between were published and are not in it",
                place(self.0),
                place(self.1),
                tables.collect::<Vec<_>>().join(", ")
            ),
            fix: crate::NEW_LINEAGE.to_owned(),
        }
    }
}

impl Proof {
    /// Of a position that ends at `until`, with a slot that keeps the log from `confirmed` on. Gives where the stream has to begin.
    pub(super) fn new(last: Option<Last>, confirmed: u64, until: u64) -> (u64, Option<Self>) {
        match last {
            Some(last) if confirmed < until => {
                let expected = Some(last).filter(|last| last.xid != 0 && last.commit >= confirmed);
                let from = last.commit.max(confirmed);
                (from, Some(Self { expected, from, until }))
            }
            _ => (until, None),
        }
    }

    /// A transaction comes. `true`: it was read before, and its rows are not given out again.
    pub(super) fn begin(&mut self, comes: Last) -> Result<bool, Other> {
        if comes.commit >= self.until {
            return self.reached(comes.commit).map(|_| false);
        }
        match self.expected.take_if(|expected| *expected == comes) {
            Some(_) => Ok(true),
            None => Err(Other(self.from, self.until)),
        }
    }

    /// Everything before `place` has come. Whether that was all.
    pub(super) fn reached(&self, place: u64) -> Result<bool, Other> {
        match (place >= self.until, &self.expected) {
            (true, Some(_)) => Err(Other(self.from, self.until)),
            (all, _) => Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Last = Last { commit: 50, xid: 7, time: 1 };

    #[test]
    fn exactly_the_last_transaction_may_come_again() {
        let (from, proof) = Proof::new(Some(LAST), 10, 60);
        let mut proof = proof.unwrap();
        assert_eq!((from, proof.reached(55)), (50, Ok(false)));
        assert_eq!(proof.reached(60), Err(Other(50, 60)), "it has to come");
        assert_eq!(proof.begin(Last { xid: 8, ..LAST }), Err(Other(50, 60)));
        let (_, proof) = Proof::new(Some(LAST), 10, 60);
        let mut proof = proof.unwrap();
        assert_eq!(proof.begin(LAST), Ok(true));
        assert_eq!(proof.begin(Last { commit: 55, ..LAST }), Err(Other(50, 60)), "nothing stood there");
        assert_eq!((proof.begin(Last { commit: 60, ..LAST }), proof.reached(60)), (Ok(false), Ok(true)));
    }

    #[test]
    fn what_was_let_go_is_not_expected_and_nothing_to_compare_needs_no_proof() {
        let (from, proof) = Proof::new(Some(LAST), 55, 60);
        assert_eq!((from, proof.unwrap().reached(60)), (55, Ok(true)));
        let none = Last { commit: 50, xid: 0, time: 0 };
        let (from, proof) = Proof::new(Some(none), 50, 60);
        assert_eq!((from, proof.unwrap().begin(LAST)), (50, Err(Other(50, 60))));
        for (last, confirmed) in [(Some(LAST), 60), (None, 10)] {
            let (from, proof) = Proof::new(last, confirmed, 60);
            assert!(from == 60 && proof.is_none());
        }
    }
}
