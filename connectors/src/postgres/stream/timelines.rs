//! Timelines: whether a server that was promoted, or recovered to a point in time, still has all that was read from the one before.

use lienthong_contract::position::Lineage;
use lienthong_contract::source::SourceError;

use super::position::LogPosition;
use super::source::place;

/// The lineage's part that a promotion changes.
pub(super) const TIMELINE: &str = "timeline";

/// A server that is on another timeline than it was, and is the same in everything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Timelines {
    stored: u32,
    pub(super) present: u32,
}

impl Timelines {
    /// `None` where something else differs, too.
    pub(super) fn between(stored: &Lineage, present: &Lineage) -> Option<Self> {
        let rest = |of: &Lineage| {
            let mut rest = of.clone();
            rest.parts.retain(|(name, _)| name != TIMELINE);
            rest
        };
        if rest(stored) != rest(present) {
            return None;
        }
        let timeline = |of: &Lineage| {
            let (_, number) = of.parts.iter().find(|(name, _)| name == TIMELINE)?;
            u32::from_str_radix(number, 16).ok()
        };
        Some(Self { stored: timeline(stored)?, present: timeline(present)? })
    }

    /// What was read up to the position's end was read from the part of the log that both have: the old timeline ended there or later.
    /// `history` is the present timeline's, as the server keeps it.
    pub(super) fn prove(
        &self,
        history: &str,
        position: &LogPosition,
        tables: &str,
    ) -> Result<(), SourceError> {
        let (stored, present, end) = (self.stored, self.present, place(position.end));
        let gap = |gap: String| Err(SourceError::Gap { gap, fix: crate::NEW_LINEAGE.to_owned() });
        let Some(switch) = left(history, stored) else {
            return gap(format!(
                "the server is on timeline {present}, which does not come from timeline {stored}: changes of {tables} up to {end} \
                 were read from another history"
            ));
        };
        // A transaction is read when its commit has been; of one that was cut only a part has been given out.
        let read = position.split.as_ref().map_or(position.end, |split| split.commit.saturating_add(1));
        if read > switch {
            return gap(format!(
                "the server is on timeline {present}, which left timeline {stored} at {}: changes of {tables} from there to {} were \
                 published and are not in it",
                place(switch),
                place(read)
            ));
        }
        Ok(())
    }
}

/// Where the history says that a timeline was left: lines of number, place and reason, and comments.
fn left(history: &str, timeline: u32) -> Option<u64> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()?.parse() != Ok(timeline) {
            return None;
        }
        let (high, low) = words.next()?.split_once('/')?;
        Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from(u32::from_str_radix(low, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::super::position::Split;
    use super::*;

    fn lineage(system: &str, timeline: &str) -> Lineage {
        let parts = [("system_identifier", system), ("slot", "s"), (TIMELINE, timeline)];
        Lineage { parts: parts.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
    }

    #[test]
    fn only_the_timeline_may_differ() {
        let between = |stored, present| Timelines::between(&stored, &present);
        assert_eq!(
            between(lineage("1", "00000001"), lineage("1", "0000000B")),
            Some(Timelines { stored: 1, present: 11 })
        );
        assert_eq!(between(lineage("1", "00000001"), lineage("2", "00000002")), None);
        assert_eq!(between(lineage("1", "?"), lineage("1", "00000002")), None);
    }

    #[test]
    fn nothing_is_missing_where_the_old_timeline_was_left_behind_what_was_read() {
        let history = "1\t0/3000060\tno recovery target specified\n\n2\t1/A0\tbefore 2026-01-01\n";
        let prove = |stored, end: u64, split: Option<u64>| {
            let mut position = LogPosition::start("l", end);
            position.split = split.map(|commit| Split { commit, given: 1 });
            let told = Timelines { stored, present: 3 }.prove(history, &position, "public.a");
            told.map_err(|error| error.to_string())
        };
        assert_eq!((prove(1, 0x300_0060, None), prove(2, 0x1_0000_00a0, None)), (Ok(()), Ok(())));
        let told = prove(1, 0x300_0061, None).expect_err("it went on");
        assert!(
            told.contains("left timeline 1 at 0/3000060")
                && told.contains("public.a from there to 0/3000061"),
            "{told}"
        );
        assert!(prove(1, 0x300_0000, Some(0x300_0060)).is_err(), "a part of a later one was given out");
        assert_eq!(prove(1, 0x300_0000, Some(0x300_0010)), Ok(()));
        assert!(prove(3, 0, None).expect_err("strange").contains("does not come from timeline 3"));
    }
}
