//! Alive and making progress: the rule behind `/readyz`, and what it says now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One look at a piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look<P> {
    /// Where it stands; any change is progress.
    pub position: P,
    /// Something is there to be done, as far as is known.
    pub owes: bool,
}

/// What follows from the looks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do, or progress.
    Moves,
    /// Something is to be done and the position has not moved for this long.
    Stalled(Duration),
}

/// Remembers when a position last moved.
#[derive(Clone, Debug)]
pub struct Watch<P> {
    allowed: Duration,
    last: Option<(P, Instant)>,
}

impl<P: PartialEq> Watch<P> {
    /// `allowed`: how long a position may stand still although something is to be done.
    #[must_use]
    pub fn new(allowed: Duration) -> Self {
        Self { allowed, last: None }
    }

    /// Takes a look.
    pub fn look(&mut self, look: Look<P>, now: Instant) -> Verdict {
        let stood = self.last.as_ref().filter(|(position, _)| look.owes && *position == look.position);
        let since = stood.map_or(now, |(_, since)| *since);
        self.last = Some((look.position, since));
        let still = now.saturating_duration_since(since);
        if still > self.allowed { Verdict::Stalled(still) } else { Verdict::Moves }
    }
}

/// What every piece of work of a process says of itself. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, Result<(), String>>>>);

impl Health {
    /// `Err` says, without values, why `name` makes no progress.
    pub fn tell(&self, name: &str, ready: Result<(), String>) {
        self.lock().insert(name.to_owned(), ready);
    }

    /// One line for each piece of work that makes no progress. A process that has not said anything yet is not ready.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let known = self.lock();
        if known.is_empty() {
            return vec!["nothing has started yet".to_owned()];
        }
        let told = |(name, ready): (&String, &Result<(), String>)| {
            ready.as_ref().err().map(|reason| format!("{name}: {reason}"))
        };
        known.iter().filter_map(told).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Result<(), String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_stands_still_with_something_to_do_is_stalled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let look = |position, owes| Look { position, owes };
        let mut watch = Watch::new(Duration::from_secs(60));
        assert_eq!(watch.look(look(1, true), at(0)), Verdict::Moves);
        assert_eq!(watch.look(look(1, true), at(60)), Verdict::Moves, "not yet");
        assert_eq!(watch.look(look(1, true), at(61)), Verdict::Stalled(Duration::from_secs(61)));
        assert_eq!(watch.look(look(2, true), at(62)), Verdict::Moves, "it has moved");
        assert_eq!(watch.look(look(2, false), at(500)), Verdict::Moves, "nothing is to be done");
        assert_eq!(watch.look(look(2, true), at(530)), Verdict::Moves, "something has just come");
        assert_eq!(watch.look(look(2, true), at(591)), Verdict::Stalled(Duration::from_secs(91)));
    }

    #[test]
    fn a_process_is_ready_when_all_of_its_work_is() {
        let health = Health::default();
        assert_eq!(health.problems(), ["nothing has started yet"]);
        health.tell("a", Ok(()));
        health.tell("b", Err("halted".to_owned()));
        assert_eq!(health.problems(), ["b: halted"]);
        health.tell("b", Ok(()));
        assert!(health.problems().is_empty());
    }
}
