//! Which transactions a snapshot sees. Pure.

/// A snapshot as `pg_current_snapshot` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// All before it have ended.
    xmin: u64,
    /// All from it on have not begun.
    xmax: u64,
    /// Of those between, the ones that are under way.
    running: Vec<u64>,
}

impl Snapshot {
    /// Reads `xmin:xmax:xid,xid`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (xmin, xmax) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let running = parts.next()?;
        let running: Option<Vec<u64>> =
            running.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().ok()).collect();
        parts.next().is_none().then_some(Self { xmin, xmax, running: running? })
    }

    /// The whole number of a transaction of which the log says the lower half: the one that is nearest.
    fn whole(&self, xid: u32) -> u64 {
        #[expect(clippy::cast_possible_wrap, reason = "how transaction numbers are compared")]
        let distance = xid.wrapping_sub(self.xmax as u32) as i32;
        self.xmax.saturating_add_signed(i64::from(distance))
    }

    /// Whether the snapshot sees what a transaction wrote that has committed, or commits one day. So does every later snapshot.
    pub(super) fn sees(&self, xid: u32) -> bool {
        let xid = self.whole(xid);
        xid < self.xmin || (xid < self.xmax && !self.running.contains(&xid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_ended() {
        let snapshot = Snapshot::parse("10:15:10,13").unwrap();
        let seen: Vec<u32> = (7..20).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [7, 8, 9, 11, 12, 14]);
        assert_eq!(Snapshot::parse("10:10:").map(|snapshot| snapshot.sees(10)), Some(false));
        for text in ["", "10", "10:15", "10:15:x", "10:15:1:1", "a:15:"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_have_begun_again_are_the_nearest() {
        let turn = 1_u64 << 32;
        let snapshot =
            Snapshot::parse(&format!("{}:{}:{}", 3 * turn - 2, 3 * turn + 5, 3 * turn + 1)).unwrap();
        for (xid, seen) in
            [(u32::MAX - 5, true), (u32::MAX, true), (0, true), (1, false), (4, true), (5, false)]
        {
            assert_eq!(snapshot.sees(xid), seen, "{xid}");
        }
    }
}
