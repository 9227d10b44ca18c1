//! What a session's tasks come to, and what follows from it for each partition.

use std::sync::Arc;

use lienthong_contract::sink::{LanePartition, SinkError};
use lienthong_log::{Log, TopicPartition};
use tokio::time::Instant;

use super::{Ended, Session};
use crate::error::RouterError;
use crate::lane::{Lane, away_since};
use crate::opening::{self, OpenFault, Opened};
use crate::worker::{Done, Fault, Hand, Ran, Shared, Task};

/// What a task came to, with the connection that it used.
pub(super) struct Report {
    pub(super) hand: Hand,
    pub(super) begun: Instant,
    pub(super) outcome: Outcome,
}

/// What it was, and how it ended.
pub(super) enum Outcome {
    Opened(TopicPartition, u64, Result<Opened, OpenFault>),
    Ran(Ran),
}

/// Reads an offset row.
pub(super) async fn open(
    mut hand: Hand,
    log: Arc<dyn Log>,
    source: TopicPartition,
    serial: u64,
    name: LanePartition,
) -> Report {
    let begun = Instant::now();
    let opened = opening::look(hand.sink.as_mut(), log.as_ref(), &source, &name).await;
    Report { hand, begun, outcome: Outcome::Opened(source, serial, opened) }
}

/// Runs a transaction.
pub(super) async fn run(mut hand: Hand, shared: Arc<Shared>, tasks: Vec<Task>) -> Report {
    let begun = Instant::now();
    let ran = hand.run(&shared, tasks).await;
    Report { hand, begun, outcome: Outcome::Ran(ran) }
}

fn tell_fenced(source: &TopicPartition) {
    let TopicPartition { topic, partition } = source;
    tracing::warn!(%topic, partition, "fenced: another router has written");
}

impl Session<'_> {
    /// Whether an attempt has got through.
    fn answered(&mut self, begun: Instant, outcome: &Outcome) {
        let cause = match outcome {
            Outcome::Opened(_, _, Err(OpenFault::Sink(error @ SinkError::Busy { .. }))) => {
                Some(error.to_string())
            }
            Outcome::Opened(..) => None,
            Outcome::Ran(ran) => ran.away().cloned(),
        };
        match cause {
            None => self.away = None,
            Some(cause) => drop(self.away.get_or_insert_with(|| (away_since(begun), cause))),
        }
    }

    /// Draws the consequences of a task.
    pub(super) async fn finished(&mut self, report: Report) -> Result<(), Ended> {
        let Report { hand, begun, outcome } = report;
        self.hands.push(hand);
        self.answered(begun, &outcome);
        let sources = match outcome {
            Outcome::Opened(source, serial, opened) => {
                self.opened(&source, serial, opened, begun).await?;
                vec![source]
            }
            Outcome::Ran(ran) => {
                let sources = ran.sources();
                self.ran(ran, begun).await?;
                sources
            }
        };
        let timeout = self.router.options.timeout;
        let mut lanes = sources.iter().filter_map(|source| self.lanes.get(source));
        match lanes.find(|lane| lane.backoff.exhausted(timeout)) {
            Some(lane) => Err(RouterError::Away(lane.backoff.cause().cloned().unwrap_or_default()).into()),
            None => Ok(()),
        }
    }

    /// The lane of a task that has ended. `None`: of a partition that went away; what was committed stands, all else is its next
    /// holder's.
    fn released(&mut self, source: &TopicPartition, serial: u64) -> Option<&mut Lane> {
        let Some(lane) = self.lanes.get_mut(source).filter(|lane| lane.serial == serial) else {
            self.leaving.remove(&serial);
            return None;
        };
        lane.busy = false;
        Some(lane)
    }

    async fn opened(
        &mut self,
        source: &TopicPartition,
        serial: u64,
        opened: Result<Opened, OpenFault>,
        begun: Instant,
    ) -> Result<(), Ended> {
        let Some(lane) = self.released(source, serial) else { return Ok(()) };
        match opened {
            Ok(Opened { row, start }) => {
                let state = lane.open(row, start);
                lane.paused = false;
                opening::tell(self.status, source, row, start);
                if let Some(consumer) = &mut self.consumer {
                    consumer.start(source, state).await?;
                    consumer.resume(source).await?;
                }
            }
            Err(OpenFault::Log(error)) => return Err(error.into()),
            Err(OpenFault::Sink(SinkError::Unfit { problem, fix })) => {
                return Err(RouterError::Halted { problem, fix }.into());
            }
            Err(OpenFault::Sink(
                error @ (SinkError::Busy { .. } | SinkError::Fenced | SinkError::Refused { .. }),
            )) => lane.backoff.wait(error.to_string(), begun),
        }
        Ok(())
    }

    async fn ran(&mut self, ran: Ran, begun: Instant) -> Result<(), RouterError> {
        let Ran { unfit, mut tasks, done } = ran;
        match done {
            Ok(done) => self.committed(&tasks, &done).await,
            Err(fault) if tasks.len() > 1 => self.failed_together(tasks, fault, begun)?,
            Err(fault) => {
                if let Some(task) = tasks.pop() {
                    self.failed(task, fault, begun)?;
                }
            }
        }
        for (task, fault) in unfit {
            self.failed(task, fault, begun)?;
        }
        Ok(())
    }

    /// Disposition of one partition's transaction that did not commit, or may not have.
    fn failed(&mut self, task: Task, fault: Fault, begun: Instant) -> Result<(), RouterError> {
        if matches!(fault, Fault::Fenced) {
            tell_fenced(&task.source);
        }
        let Some(lane) = self.released(&task.source, task.serial) else { return Ok(()) };
        match fault {
            Fault::Away(cause) => lane.postpone(task.unit, cause, begun),
            Fault::Fenced => lane.fenced(),
            Fault::Halt(halt) => return Err(halt),
            Fault::Event(halt) => {
                if !lane.divide(task.unit) {
                    lane.halted = true;
                    self.halts(halt);
                }
            }
        }
        Ok(())
    }

    /// Disposition of a transaction of several partitions: whose fault it was shows when each is tried alone.
    fn failed_together(&mut self, tasks: Vec<Task>, fault: Fault, begun: Instant) -> Result<(), RouterError> {
        let mut held = false;
        for task in tasks {
            let Some(lane) = self.released(&task.source, task.serial) else {
                // Nobody tries it alone any more.
                if matches!(fault, Fault::Fenced) {
                    tell_fenced(&task.source);
                }
                continue;
            };
            held = true;
            match &fault {
                Fault::Away(cause) => lane.postpone(task.unit, cause.clone(), begun),
                Fault::Fenced | Fault::Event(_) | Fault::Halt(_) => lane.again(task.unit),
            }
        }
        match fault {
            Fault::Halt(halt) if held => Err(halt),
            Fault::Away(_) | Fault::Fenced | Fault::Event(_) | Fault::Halt(_) => Ok(()),
        }
    }

    /// A transaction was committed.
    pub(super) async fn committed(&mut self, tasks: &[Task], done: &Done) {
        if tasks.is_empty() {
            return;
        }
        self.status.send_modify(|status| {
            status.events += u64::from(done.events.0);
            status.delivered += u64::from(done.events.1);
            status.changed += done.applied.changed;
            status.batches += 1;
            status.last_event_time = status.last_event_time.max(done.last_time);
        });
        for Task { source, serial, unit, .. } in tasks {
            let Some(lane) = self.released(source, *serial) else { continue };
            lane.committed(unit);
            self.status.send_modify(|status| {
                status.partitions.entry(source.clone()).or_default().offset = unit.next;
            });
            if let Some(consumer) = &mut self.consumer
                && let Err(error) = consumer.commit(source, unit.next.next_offset).await
            {
                tracing::debug!(%error, "lag tools were not told");
            }
        }
    }
}
