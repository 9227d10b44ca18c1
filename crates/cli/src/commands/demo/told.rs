//! What the nation tells of itself while it is made and while it lives.

use std::ops::ControlFlow;
use std::time::Duration;

use lienthong_demo::{Ground, Making};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// Life rests at most so long before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(50);
/// Characters of a bar.
const BAR: u64 = 24;

/// Where the nation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its people are made, and the rows of its first day are written.
    Making { rows: u64, asked: u64, of: u64 },
    /// Its former life is lived through again.
    Past { done: u64, of: u64 },
    /// Life goes on.
    Lives { happened: u64, living: u32 },
}

/// What is told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Participants whose databases hold their first day; what comes after it comes through the outbox.
    pub(super) filled: Vec<&'static str>,
    pub(super) stage: Stage,
}

impl Default for Told {
    fn default() -> Self {
        Self { filled: Vec::new(), stage: Stage::Making { rows: 0, asked: 0, of: 0 } }
    }
}

impl Told {
    fn hear(&mut self, making: Making) {
        match making {
            Making::Rows { rows, asked, of } => self.stage = Stage::Making { rows, asked, of },
            Making::Filled(participant) => self.filled.push(participant),
            Making::Past { done, of } => self.stage = Stage::Past { done, of },
        }
    }

    /// Whether the nation lives, and is not being made any more.
    pub(super) fn lives(&self) -> bool {
        matches!(self.stage, Stage::Lives { .. })
    }

    /// Whether there is anything to look at yet.
    pub(super) fn any(&self) -> bool {
        match self.stage {
            Stage::Making { rows, .. } => rows > 0,
            Stage::Past { .. } | Stage::Lives { .. } => true,
        }
    }

    /// As a line of the table's title or of a pipe.
    pub(super) fn words(&self) -> String {
        match self.stage {
            // What the folder holds needs its people only.
            Stage::Making { of: 0, .. } => "making the people".to_owned(),
            Stage::Making { rows, asked, of } => {
                format!("making the nation {}, {rows} rows written", bar(asked, of))
            }
            Stage::Past { done, of } => format!("living through the past again {}", bar(done, of)),
            Stage::Lives { happened, living } => format!("{living} people live, {happened} happenings"),
        }
    }

    /// For programs.
    pub(super) fn object(&self) -> Value {
        match self.stage {
            Stage::Making { rows, asked, of } => {
                json!({"stage": "making", "rows": rows, "asked": asked, "of": of})
            }
            Stage::Past { done, of } => json!({"stage": "past", "happenings": done, "of": of}),
            Stage::Lives { happened, living } => {
                json!({"stage": "lives", "happenings": happened, "living": living})
            }
        }
    }
}

/// How far something is, on one line with other words.
fn bar(done: u64, of: u64) -> String {
    let of = of.max(1);
    let full = (done.min(of) * BAR / of) as usize;
    format!("[{}{}] {} %", "#".repeat(full), "-".repeat(BAR as usize - full), done.min(of) * 100 / of)
}

/// Makes the nation and lives on a thread of its own until told to end, and finishes what has begun.
pub(super) fn live(
    ground: Ground,
    teller: watch::Sender<Told>,
    ending: CancellationToken,
) -> JoinHandle<Result<(), Failure>> {
    tokio::task::spawn_blocking(move || {
        let _ended = ending.clone().drop_guard();
        let settled = ground.settle(&mut |making| {
            teller.send_modify(|told| told.hear(making));
            if ending.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // Broken off: what was filled by then is a nation of fewer ministries.
        let Some(mut life) = settled else { return Ok(()) };
        loop {
            let stage = Stage::Lives { happened: life.happened(), living: life.living() };
            teller.send_modify(|told| told.stage = stage);
            if ending.is_cancelled() {
                return Ok(life.finish()?);
            }
            let rest = life.tick()?;
            std::thread::sleep(rest.min(LOOK));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_at_first_and_full_at_the_end() {
        assert_eq!(bar(0, 0), "[------------------------] 0 %");
        assert_eq!(bar(1, 2), "[############------------] 50 %");
        assert_eq!(bar(9, 9), "[########################] 100 %");
    }
}
