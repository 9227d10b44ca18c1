//! What several processes say of one connector or subscription, as one.

use std::collections::BTreeSet;

use crate::status_record::StatusRecord;

/// The state that is told when alive processes differ: the first of these.
const GRAVEST: [&str; 4] = ["waiting", "starting", "catching-up", "live"];

/// One record from all of the same kind and name; `None` without any.
///
/// - Processes that are alive decide: what has ended or is not believed any more has given its partitions to others. Their state is
///   the gravest, their counts are summed.
/// - Without one alive, the newest record stands as it is.
/// - `fresh_through` is the oldest over all partitions of the live topic, so that it is unknown while nobody tells one of them.
///   `live_partitions`: how many there are, where several processes share them.
pub(crate) fn merge(
    records: Vec<StatusRecord>,
    live_partitions: Option<u32>,
    now: i64,
) -> Option<StatusRecord> {
    let (alive, others): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|record| !record.has_ended() && record.believed_state(now) == record.state);
    let mut told =
        if alive.is_empty() { vec![others.into_iter().max_by_key(|record| record.at)?] } else { alive };
    told.sort_by_key(|record| (gravity(&record.state), std::cmp::Reverse(record.at)));
    let fresh = fresh_through(&told, live_partitions);
    let mut all = told.drain(..);
    let mut merged = all.next()?;
    merged.fresh_through = fresh;
    for other in all {
        merged.events += other.events;
        merged.quarantined += other.quarantined;
        merged.last_event_time = merged.last_event_time.max(other.last_event_time);
        merged.retained = merged.retained.max(other.retained);
        merged.cause = merged.cause.or(other.cause);
        merged.at = merged.at.max(other.at);
        merged.served = merged.served.max(other.served);
        merged.loads.extend(other.loads);
        merged.first_load = merged.first_load.or(other.first_load);
    }
    Some(merged)
}

fn gravity(state: &str) -> usize {
    // A word of a newer version comes first: better asked about than hidden.
    GRAVEST.iter().position(|known| *known == state).map_or(0, |place| place + 1)
}

fn fresh_through(told: &[StatusRecord], live_partitions: Option<u32>) -> Option<i64> {
    let covered: BTreeSet<i32> =
        told.iter().flat_map(|record| record.partitions.iter().flatten().copied()).collect();
    let shared = told.iter().any(|record| record.partitions.is_some());
    if shared && live_partitions.is_some_and(|all| covered.len() < all as usize) {
        return None;
    }
    let holders = told.iter().filter(|record| record.partitions.as_ref().is_none_or(|held| !held.is_empty()));
    holders.map(|record| record.fresh_through).min().flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(instance: &str, state: &str, at: i64) -> StatusRecord {
        StatusRecord {
            kind: "subscription".into(),
            name: "a.b/c".into(),
            state: state.into(),
            cause: None,
            events: 10,
            last_event_time: Some(at),
            fresh_through: None,
            quarantined: 0,
            set_aside: Vec::new(),
            retained: None,
            retained_log: None,
            retained_log_growth: None,
            days_to_loss: None,
            partitions: None,
            loads: Vec::new(),
            served: None,
            first_load: None,
            instance: instance.into(),
            at,
        }
    }

    fn holding(record: StatusRecord, partitions: &[i32], fresh_through: i64) -> StatusRecord {
        StatusRecord { partitions: Some(partitions.to_vec()), fresh_through: Some(fresh_through), ..record }
    }

    #[test]
    fn fresh_through_is_the_oldest_over_all_partitions_whoever_holds_them() {
        let first = holding(record("one", "live", 100), &[0, 1], 90);
        let second = holding(record("two", "live", 101), &[2], 70);
        let merged = merge(vec![first.clone(), second.clone()], Some(3), 200).expect("told");
        assert_eq!((merged.fresh_through, merged.events, merged.at), (Some(70), 20, 101));
        assert_eq!(
            merge(vec![first.clone(), second], Some(4), 200).expect("told").fresh_through,
            None,
            "one is nobody's"
        );
        let unknown = StatusRecord { partitions: Some(vec![2]), ..record("two", "live", 101) };
        assert_eq!(merge(vec![first.clone(), unknown], Some(3), 200).expect("told").fresh_through, None);
        let idle = StatusRecord { partitions: Some(Vec::new()), ..record("three", "live", 102) };
        assert_eq!(
            merge(vec![holding(first, &[0, 1, 2], 90), idle], Some(3), 200).expect("told").fresh_through,
            Some(90)
        );
    }

    #[test]
    fn one_that_stops_does_not_hide_one_that_lives() {
        let stopped = record("one", "stopped", 500);
        let live = record("two", "live", 100);
        let merged = merge(vec![stopped.clone(), live.clone()], None, 1000).expect("told");
        assert_eq!(merged.state, "live");
        let silent = merge(vec![stopped.clone(), live], None, 60_000_000).expect("told");
        assert_eq!(
            (silent.state.as_str(), silent.instance.as_str()),
            ("stopped", "one"),
            "nobody lives: the newest"
        );
        let halted = StatusRecord { cause: Some("why".into()), ..record("three", "halted", 900) };
        assert_eq!(
            merge(vec![stopped, halted], None, 60_000_000).expect("told").cause.as_deref(),
            Some("why")
        );
        assert_eq!(merge(Vec::new(), None, 0), None);
    }

    #[test]
    fn the_gravest_state_of_those_alive_is_told_with_its_cause() {
        let waits =
            StatusRecord { cause: Some("the database is away".into()), ..record("one", "waiting", 10) };
        let merged =
            merge(vec![record("two", "live", 20), waits, record("three", "catching-up", 30)], None, 100);
        let merged = merged.expect("told");
        assert_eq!(
            (merged.state.as_str(), merged.cause.as_deref()),
            ("waiting", Some("the database is away"))
        );
        let newer =
            merge(vec![record("one", "waiting", 1), record("two", "mending", 2)], None, 100).expect("told");
        assert_eq!(newer.state, "mending");
    }
}
