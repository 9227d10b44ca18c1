//! A subscription's metrics and health: its status held against where the log ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lienthong_contract::sink::OffsetState;
use lienthong_log::{Log, TopicPartition};
use lienthong_router::subscription::Subscription;
use lienthong_router::{PartitionStatus, State, Status};
use lienthong_telemetry::{Label, Look, Name, Readings, Verdict, Watch, names};
use tokio::sync::watch;

use crate::observe::Observer;
use crate::observe_connector::{LOOK, seconds};
use crate::status_record::now;

/// How often the log is asked where it ends.
const ASK: Duration = Duration::from_secs(5);
/// A member that the group has given nothing for so long stands by.
const STANDS_BY: Duration = Duration::from_secs(20);
const STATES: [&str; 6] = ["starting", "catching-up", "live", "waiting", "halted", "stopped"];

/// Where partitions end, as far as the log has said lately.
#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<BTreeMap<TopicPartition, i64>>>);

impl Ends {
    fn of(&self, source: &TopicPartition) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(source).copied()
    }

    /// Asks the log again and again, while anybody still runs. What it does not say is unknown until it does.
    pub(crate) fn ask(&self, log: Arc<dyn Log>, running: Vec<watch::Receiver<Status>>) {
        let ends = Arc::clone(&self.0);
        tokio::spawn(async move {
            while running.iter().any(|status| status.has_changed().is_ok()) {
                let mut sources: Vec<TopicPartition> = running
                    .iter()
                    .flat_map(|status| status.borrow().partitions.keys().cloned().collect::<Vec<_>>())
                    .collect();
                sources.sort();
                sources.dedup();
                let mut found = BTreeMap::new();
                for source in sources {
                    match log.watermarks(&source).await {
                        Ok(marks) => drop(found.insert(source, marks.high)),
                        Err(error) => {
                            tracing::debug!(%error, "the log does not say where it ends");
                            break;
                        }
                    }
                }
                *ends.lock().unwrap_or_else(PoisonError::into_inner) = found;
                tokio::time::sleep(ASK).await;
            }
        });
    }
}

/// Shows `status` until its sender is gone.
pub(crate) fn watch(
    observer: &Observer,
    subscription: &Subscription,
    ends: &Ends,
    mut status: watch::Receiver<Status>,
) {
    let labels = Labels {
        cluster: observer.cluster.clone(),
        group: Name::new(&subscription.group()),
        subscriber: Name::new(&subscription.subscriber),
        family: Name::new(&subscription.family),
    };
    let (shown, known) = (status.clone(), ends.clone());
    observer.metrics.read(move |readings| {
        let status = shown.borrow();
        labels.state(readings, &status);
        labels.lag(readings, &status, &known);
    });
    let (health, name, ends) = (observer.health.clone(), subscription.name(), ends.clone());
    let mut progress = Progress::new(observer.stalled_after);
    tokio::spawn(async move {
        loop {
            let ready = progress.judge(&status.borrow_and_update(), &ends, Instant::now());
            health.tell(&name, ready);
            if status.has_changed().is_err() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
}

struct Labels {
    cluster: Name,
    group: Name,
    subscriber: Name,
    family: Name,
}

impl Labels {
    fn whose(&self) -> Vec<Label> {
        vec![Label::Subscriber(self.subscriber.clone()), Label::Family(self.family.clone())]
    }

    fn state(&self, readings: &mut Readings, status: &Status) {
        let state = word(&status.state);
        for known in STATES {
            let labels = self.whose().into_iter().chain([Label::State(known)]).collect();
            readings.give(&names::SUBSCRIPTION_STATE, labels, Some(f64::from(u8::from(known == state))));
        }
        let mut give = |metric, value| readings.give(metric, self.whose(), value);
        give(&names::SUBSCRIPTION_EVENTS, Some(status.events as f64));
        give(&names::SUBSCRIPTION_DELIVERED, Some(status.delivered as f64));
        give(&names::SUBSCRIPTION_FRESH, status.fresh_through.map(seconds));
        give(&names::SUBSCRIPTION_LAST_EVENT, status.last_event_time.map(seconds));
    }

    fn lag(&self, readings: &mut Readings, status: &Status, ends: &Ends) {
        let (mut records, mut ages) = (Vec::new(), Vec::new());
        for (source, partition) in &status.partitions {
            let place = || vec![Label::Topic(Name::new(&source.topic)), Label::Partition(source.partition)];
            let cluster = || vec![Label::Cluster(self.cluster.clone())];
            let latest = ends.of(source);
            let Lag { offset, behind, age } = Lag::of(partition, latest, now());
            readings.give_once(
                &names::PARTITION_LATEST,
                [cluster(), place()].concat(),
                latest.map(|at| at as f64),
            );
            let labels = || [cluster(), vec![Label::Group(self.group.clone())], place()].concat();
            readings.give(&names::GROUP_OFFSET, labels(), offset);
            readings.give(&names::GROUP_LAG, labels(), behind);
            readings.give(&names::GROUP_LAG_SECONDS, labels(), age);
            records.push(behind);
            ages.push(age);
        }
        let group = || vec![Label::Cluster(self.cluster.clone()), Label::Group(self.group.clone())];
        readings.give(&names::GROUP_MAX_LAG, group(), together(&records, f64::max));
        readings.give(&names::GROUP_MAX_LAG_SECONDS, group(), together(&ages, f64::max));
        readings.give(&names::GROUP_SUM_LAG, group(), together(&records, |a, b| a + b));
    }
}

/// One that is unknown makes the whole unknown.
fn together(values: &[Option<f64>], join: fn(f64, f64) -> f64) -> Option<f64> {
    let known: Option<Vec<f64>> = values.iter().copied().collect();
    known?.into_iter().reduce(join)
}

/// How far behind a partition is; `None` where something is unknown.
struct Lag {
    offset: Option<f64>,
    behind: Option<f64>,
    age: Option<f64>,
}

impl Lag {
    fn of(partition: &PartitionStatus, latest: Option<i64>, now: i64) -> Self {
        let OffsetState { next_offset, fresh_through, .. } = partition.offset;
        // Before the first delivery there is no offset row, and before it is read none is known.
        let offset = (partition.offset != OffsetState::START).then_some(next_offset);
        let behind = offset.zip(latest).map(|(offset, latest)| (latest - offset).max(0));
        let age = match behind {
            Some(0) => Some(0.0),
            Some(_) if fresh_through > 0 => Some(seconds((now - fresh_through).max(0))),
            Some(_) | None => None,
        };
        Self { offset: offset.map(|at| at as f64), behind: behind.map(|count| count as f64), age }
    }
}

/// Remembers how a subscription's partitions move.
struct Progress {
    allowed: Duration,
    partitions: BTreeMap<TopicPartition, Watch<i64>>,
    waiting: Watch<bool>,
    joined: Option<Instant>,
}

impl Progress {
    fn new(allowed: Duration) -> Self {
        Self { allowed, partitions: BTreeMap::new(), waiting: Watch::new(allowed), joined: None }
    }

    /// Not ready: ended, or records wait in a partition whose offset has not moved for too long.
    fn judge(&mut self, status: &Status, ends: &Ends, now: Instant) -> Result<(), String> {
        let waits = matches!(status.state, State::Waiting(_));
        let waiting = self.waiting.look(Look { position: waits, owes: waits }, now);
        self.partitions.retain(|source, _| status.partitions.contains_key(source));
        let mut stalled = None;
        for (source, partition) in &status.partitions {
            let position = partition.offset.next_offset;
            let owes = ends.of(source).is_some_and(|end| end > position);
            let watch = self.partitions.entry(source.clone()).or_insert_with(|| Watch::new(self.allowed));
            if let Verdict::Stalled(time) = watch.look(Look { position, owes }, now) {
                let TopicPartition { topic, partition } = source;
                stalled = Some(format!(
                    "{topic}/{partition} has records and has not moved for {} s",
                    time.as_secs()
                ));
            }
        }
        match (&status.state, waiting) {
            (State::Halted(_), _) => Err("halted".to_owned()),
            (State::Stopped, _) => Err("stopped".to_owned()),
            (State::Starting, _) => self.starting(status.joined, now),
            (State::Waiting(_), Verdict::Stalled(time)) => {
                Err(format!("a dependency has been away for {} s", time.as_secs()))
            }
            (State::CatchingUp | State::Live | State::Waiting(_), _) => stalled.map_or(Ok(()), Err),
        }
    }

    /// With more routers than partitions some are given none: they stand by, which is as it should be.
    fn starting(&mut self, joined: bool, now: Instant) -> Result<(), String> {
        if !joined {
            return Err("starting".to_owned());
        }
        let since = *self.joined.get_or_insert(now);
        if now.saturating_duration_since(since) < STANDS_BY {
            return Err("waits for partitions".to_owned());
        }
        Ok(())
    }
}

fn word(state: &State) -> &'static str {
    crate::commands::route::words(state).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> TopicPartition {
        TopicPartition { topic: "lt.a.live".into(), partition: 3 }
    }

    fn status(next_offset: i64) -> Status {
        let offset = OffsetState { next_offset, epoch: 1, sequence: 1, fresh_through: 5_000_000 };
        let partition = PartitionStatus { offset, waiting: None };
        Status {
            state: State::Live,
            joined: true,
            partitions: [(source(), partition)].into(),
            ..Status::default()
        }
    }

    fn ends(at: i64) -> Ends {
        Ends(Arc::new(Mutex::new([(source(), at)].into())))
    }

    #[test]
    fn a_partition_with_records_that_does_not_move_makes_its_router_unready() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::new(Duration::from_secs(60));
        assert_eq!(progress.judge(&status(7), &ends(9), at(0)), Ok(()));
        assert_eq!(progress.judge(&status(7), &Ends::default(), at(70)), Ok(()), "nothing is known to wait");
        assert_eq!(progress.judge(&status(7), &ends(9), at(71)), Ok(()), "it may have just come");
        let stalled = progress.judge(&status(7), &ends(9), at(140)).expect_err("nothing moves");
        assert!(stalled.starts_with("lt.a.live/3 has records and has not moved for"), "{stalled}");
        assert_eq!(progress.judge(&status(8), &ends(9), at(141)), Ok(()), "it moves");
        assert_eq!(progress.judge(&status(9), &ends(9), at(999)), Ok(()), "nothing is left");
    }

    #[test]
    fn what_has_ended_or_waits_for_long_is_not_ready_and_who_is_given_nothing_stands_by() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::new(Duration::from_secs(60));
        let mut status = Status::default();
        let none = Ends::default();
        assert!(progress.judge(&status, &none, at(0)).is_err(), "starting");
        status.joined = true;
        assert!(progress.judge(&status, &none, at(1)).is_err(), "partitions may come");
        assert_eq!(progress.judge(&status, &none, at(30)), Ok(()), "it stands by");
        status.state = State::Waiting(String::new());
        assert_eq!(progress.judge(&status, &none, at(31)), Ok(()));
        assert_eq!(
            progress.judge(&status, &none, at(100)),
            Err("a dependency has been away for 69 s".to_owned())
        );
        status.state = State::Halted(String::new());
        assert_eq!(progress.judge(&status, &none, at(101)), Err("halted".to_owned()));
    }

    #[test]
    fn lag_that_is_unknown_is_never_zero() {
        let known = Lag::of(&status(7).partitions[&source()], Some(10), 9_000_000);
        assert_eq!((known.offset, known.behind, known.age), (Some(7.0), Some(3.0), Some(4.0)));
        let delivered = Lag::of(&status(10).partitions[&source()], Some(10), 9_000_000);
        assert_eq!((delivered.behind, delivered.age), (Some(0.0), Some(0.0)));
        let unasked = Lag::of(&status(7).partitions[&source()], None, 0);
        assert_eq!((unasked.offset, unasked.behind, unasked.age), (Some(7.0), None, None));
        let unread = Lag::of(&PartitionStatus::default(), Some(10), 0);
        assert_eq!((unread.offset, unread.behind, unread.age), (None, None, None));
        assert_eq!(together(&[Some(1.0), None], f64::max), None);
        assert_eq!(together(&[Some(1.0), Some(3.0)], f64::max), Some(3.0));
        assert_eq!(together(&[], f64::max), None);
    }
}
