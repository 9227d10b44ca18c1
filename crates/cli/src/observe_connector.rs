//! A connector's metrics and health, read from its status.

use std::time::{Duration, Instant};

use lienthong_capture::{State, Status};
use lienthong_telemetry::{Label, Look, Name, Readings, Verdict, Watch, names};
use tokio::sync::watch;

use crate::observe::Observer;

/// How often progress is looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
const STATES: [&str; 5] = ["starting", "catching-up", "live", "waiting", "stopped"];

/// Shows `status` until its sender is gone.
pub(crate) fn watch(observer: &Observer, participant: &str, mut status: watch::Receiver<Status>) {
    let name = Name::new(participant);
    let shown = status.clone();
    observer.metrics.read(move |readings| read(readings, &name, &shown.borrow()));
    let (health, name) = (observer.health.clone(), participant.to_owned());
    let mut progress = Watch::new(observer.stalled_after);
    tokio::spawn(async move {
        loop {
            let ready = judge(&mut progress, &status.borrow_and_update(), Instant::now());
            health.tell(&name, ready);
            if status.has_changed().is_err() {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
}

/// A round is asking the source, appending and checkpointing. An idle connector finishes one every second; so a connector that
/// finishes none has something to do, or cannot know.
fn judge(progress: &mut Watch<(u64, u64)>, status: &Status, now: Instant) -> Result<(), String> {
    let verdict = progress.look(Look { position: (status.rounds, status.events), owes: true }, now);
    match (&status.state, verdict) {
        (State::Stopped, _) => Err("stopped".to_owned()),
        (State::Starting, _) => Err("starting".to_owned()),
        (_, Verdict::Moves) if status.rounds == 0 => Err("no round is finished yet".to_owned()),
        (State::Waiting(_), Verdict::Stalled(time)) => {
            Err(format!("a dependency is away, no progress for {} s", time.as_secs()))
        }
        (State::CatchingUp | State::Live, Verdict::Stalled(time)) => {
            Err(format!("the source or the log does not answer, no progress for {} s", time.as_secs()))
        }
        (State::CatchingUp | State::Live | State::Waiting(_), Verdict::Moves) => Ok(()),
    }
}

fn read(readings: &mut Readings, participant: &Name, status: &Status) {
    let label = || Label::Participant(participant.clone());
    let state = word(&status.state);
    for known in STATES {
        let is = f64::from(u8::from(known == state));
        readings.give(&names::CONNECTOR_STATE, vec![label(), Label::State(known)], Some(is));
    }
    let mut give = |metric, value| readings.give(metric, vec![label()], value);
    give(&names::CONNECTOR_EVENTS, Some(status.events as f64));
    give(&names::CONNECTOR_QUARANTINED, Some(status.quarantined as f64));
    give(&names::CONNECTOR_SET_ASIDE, Some(status.aside.iter().map(|table| table.rows).sum::<u64>() as f64));
    give(&names::CONNECTOR_SET_ASIDE_TABLES, Some(status.aside.len() as f64));
    give(&names::CONNECTOR_SET_ASIDE_SINCE, status.aside.iter().map(|table| table.since).min().map(seconds));
    give(&names::CONNECTOR_RETAINED, status.retained.map(|count| count as f64));
    let log = status.retained_log;
    give(&names::CONNECTOR_RETAINED_LOG, log.map(|log| log.bytes as f64));
    give(&names::CONNECTOR_RETAINED_LOG_ROOM, log.and_then(|log| log.room).map(|room| room as f64));
    give(&names::CONNECTOR_RETAINED_LOG_GROWTH, log.and_then(|log| log.growth).map(|growth| growth as f64));
    give(&names::CONNECTOR_RETAINED_LOG_DAYS, log.and_then(|log| log.days_to_loss()));
    let load = status.first_load;
    give(&names::CONNECTOR_FIRST_LOAD, load.map(|load| load.rows as f64));
    give(&names::CONNECTOR_FIRST_LOAD_EXPECTED, load.and_then(|load| load.expected).map(|rows| rows as f64));
    give(&names::CONNECTOR_FIRST_LOAD_RATE, load.and_then(|load| load.per_second));
    give(&names::CONNECTOR_FIRST_LOAD_REMAINING, load.and_then(|load| load.remaining_seconds()));
    give(&names::CONNECTOR_FRESH, status.fresh_through.map(seconds));
    give(&names::CONNECTOR_LAST_EVENT, status.last_event_time.map(seconds));
}

/// Seconds since 1970.
pub(crate) fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

fn word(state: &State) -> &'static str {
    crate::commands::connect::words(state).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_is_ready_while_it_finishes_rounds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Watch::new(Duration::from_secs(60));
        let mut status = Status::default();
        assert!(judge(&mut progress, &status, at(0)).is_err(), "starting");
        status.state = State::CatchingUp;
        assert!(judge(&mut progress, &status, at(1)).is_err(), "nothing is known yet");
        (status.state, status.rounds) = (State::Live, 1);
        assert_eq!(judge(&mut progress, &status, at(2)), Ok(()));
        assert_eq!(judge(&mut progress, &status, at(60)), Ok(()));
        let stalled = judge(&mut progress, &status, at(70)).expect_err("the loop hangs");
        assert_eq!(stalled, "the source or the log does not answer, no progress for 68 s");
        status.rounds = 2;
        assert_eq!(judge(&mut progress, &status, at(71)), Ok(()));
        status.state = State::Waiting("no value is ever here".to_owned());
        assert_eq!(judge(&mut progress, &status, at(100)), Ok(()), "a short outage");
        let stalled = judge(&mut progress, &status, at(200)).expect_err("a long one");
        assert_eq!(stalled, "a dependency is away, no progress for 129 s");
        status.state = State::Stopped;
        assert!(judge(&mut progress, &status, at(201)).is_err());
    }

    #[test]
    fn every_state_is_told() {
        for state in
            [State::Starting, State::CatchingUp, State::Live, State::Waiting(String::new()), State::Stopped]
        {
            assert!(STATES.contains(&word(&state)));
        }
    }
}
