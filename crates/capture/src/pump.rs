//! Poll, append, checkpoint, forget: one writer's life.
//!
//! The next batch is read from the source while the one before is on its way into the log. A checkpoint is written only when
//! everything that its position covers is durable and every id that the read-back collected has been met again; the source forgets
//! only with the leave that such a checkpoint gives. While a transaction is under way its newest event is kept back for the next poll's
//! batches (it may be the last, which says how many there are), so the position may be that of an earlier poll. Then the checkpoint says
//! how far the log reached with that one: the next writer meets what stands behind it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use lienthong_contract::event::header;
use lienthong_contract::load::LoadProgress;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::retained::AtBound;
use lienthong_contract::source::{Emptied, PollLimit, Polled, Source, SourceError};
use lienthong_log::{Batch, CheckpointBody, Log, Mark, Writer, WriterError};
use lienthong_telemetry::{Published, Tally};
use tokio_util::sync::CancellationToken;

use crate::aside;
use crate::encode::Encoder;
use crate::envelope::Held;
use crate::first_load::Pace;
use crate::quarantine::{Quarantined, topic};
use crate::requests::{Numbered, Requests};
use crate::retention::Retention;
use crate::run::{CaptureError, CaptureOptions, State, Status};
use crate::trace::{Times, Traced, tell};

/// A checkpoint is due after so many rows: bounds what a successor has to read back.
const CHECKPOINT_ROWS: usize = 50_000;
/// A checkpoint of rows is due after so long: bounds what the source has to keep.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// So many rows of an emptied table are deleted by one batch.
const GONE_AT_ONCE: usize = 1_000;
/// So many requests for rows are told of.
const LOADS_TOLD: usize = 32;

/// What is lost is put on record within so long, or not at all: the server's disk fills meanwhile.
const RECORDED: Duration = Duration::from_secs(5);

/// One writer's life.
pub(crate) struct Pump<'a> {
    pub(crate) participant: &'a str,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) writer: &'a mut dyn Writer,
    pub(crate) log: &'a dyn Log,
    pub(crate) encoder: Encoder,
    /// What this process has set aside: what no checkpoint covered is read again after every loss of a dependency.
    pub(crate) set_aside: &'a mut SetAside,
    pub(crate) retention: &'a mut Retention,
    /// Position of the newest checkpoint.
    pub(crate) covered: Option<Position>,
    pub(crate) lineage: Lineage,
    pub(crate) lineage_epoch: u32,
    /// Where the source can give rows that somebody asks for.
    pub(crate) requests: Option<Requests>,
    /// How far the newest of them was when it was told.
    pub(crate) told: Option<LoadProgress>,
    pub(crate) pace: Pace,
    pub(crate) options: &'a CaptureOptions,
    pub(crate) status: &'a tokio::sync::watch::Sender<Status>,
}

/// Ids of what was put into quarantine.
#[derive(Debug, Default)]
pub(crate) struct SetAside {
    /// Rows that broke their contract. Never more than the limit.
    rows: HashSet<String>,
    /// Changes of tables that are set aside. Never more than the source's bound of each table.
    changes: HashSet<String>,
}

/// One poll's outcome, with what may be said of it before the next poll begins.
struct Read {
    polled: Polled,
    /// To be appended one after the other.
    batches: Vec<Batch>,
    /// When the source was asked, microseconds.
    asked: i64,
    captured: Tally,
    /// When the oldest of its events was committed, microseconds.
    oldest: Option<i64>,
    traced: Vec<Traced>,
    /// What the poll's position stands for.
    stand: Stand,
    held: Held,
    /// Tables that were emptied behind the batches.
    emptied: Vec<Emptied>,
    /// How far the newest request for rows is with it.
    load: Option<LoadProgress>,
    /// Number of the first request that is not served as a whole.
    served: Option<i64>,
    /// How far a first load is with it.
    first_load: Option<LoadProgress>,
    /// Rows that were asked for are still to come.
    loading: bool,
}

/// What is told of batches that are durable.
struct Appended<'a> {
    batches: &'a [Batch],
    /// When the source was asked, microseconds.
    asked: i64,
    captured: &'a Tally,
    /// When the oldest of the events was committed, microseconds.
    oldest: Option<i64>,
    traced: &'a [Traced],
}

impl Read {
    fn appended(&self) -> Appended<'_> {
        let Self { batches, asked, captured, oldest, traced, .. } = self;
        Appended { batches, asked: *asked, captured, oldest: *oldest, traced }
    }
}

/// A position with what belongs to it in a checkpoint.
#[derive(Clone, Debug)]
struct Stand {
    position: Position,
    /// Counter behind the last `ce_sequence` of the batches.
    counter: u64,
    /// Every id that the read-back collected lies at or before this position.
    covers_collected: bool,
}

/// When things were done.
struct Progress {
    /// Rows since the last checkpoint.
    rows: usize,
    /// Heartbeats stand behind the last checkpoint.
    beaten: bool,
    checkpoint_at: Instant,
    heartbeat_at: Option<Instant>,
    /// The newest poll that was appended, and how far the log reached then.
    appended: Option<(Stand, Mark)>,
    /// The newest poll of which everything is durable, if it is not in a checkpoint. Events of later polls may stand behind its mark: a
    /// checkpoint says from where on its position does not cover the log.
    durable: Option<(Stand, Mark)>,
    /// Nothing stands in the log that it does not cover.
    whole: bool,
}

impl Progress {
    /// A poll's batches are durable, and the log reaches to `mark` with them.
    fn append(&mut self, read: &Read, mark: Mark) {
        let before = self.appended.replace((read.stand.clone(), mark));
        self.rows += read.polled.rows;
        self.whole = matches!(read.held, Held::Nothing);
        match read.held {
            Held::Nothing => self.durable = self.appended.clone(),
            // What the one before had kept back came with this one.
            Held::New => self.durable = before.or(self.durable.take()),
            Held::Earlier => {}
        }
    }
}

impl Pump<'_> {
    /// Runs until `shutdown`, or with `once` until everything committed before the start is in the log.
    pub(crate) async fn run(mut self, shutdown: &CancellationToken) -> Result<(), CaptureError> {
        match self.rounds(shutdown).await {
            Err(CaptureError::Source(SourceError::LogFull(kept))) => {
                if kept.bound.then == AtBound::DropSlot {
                    self.record_gap().await?;
                }
                Err(SourceError::LogFull(kept).into())
            }
            ended => ended,
        }
    }

    /// Puts it on record that what no checkpoint covers is given up, if the log takes it soon. Else the next start finds that the slot is gone.
    async fn record_gap(&mut self) -> Result<(), CaptureError> {
        let Some(position) = self.source.given_up(self.covered.as_ref())? else { return Ok(()) };
        let body = self.body(&position, self.encoder.counter());
        match tokio::time::timeout(RECORDED, self.writer.checkpoint(&body)).await {
            Ok(Ok(_leave)) => tracing::error!(self.participant, "the gap is on record"),
            // Another connector has the source's log to itself: what it keeps is not for this one to give up.
            Ok(Err(fenced @ WriterError::Fenced { .. })) => return Err(fenced.into()),
            Ok(Err(error)) => tracing::error!(self.participant, %error, "the gap could not be put on record"),
            Err(_elapsed) => {
                tracing::error!(
                    self.participant,
                    "the gap could not be put on record: the log does not answer"
                );
            }
        }
        Ok(())
    }

    async fn rounds(&mut self, shutdown: &CancellationToken) -> Result<(), CaptureError> {
        let mut progress = Progress {
            rows: 0,
            beaten: false,
            checkpoint_at: Instant::now(),
            heartbeat_at: None,
            appended: None,
            durable: None,
            whole: true,
        };
        let mut read = self.poll().await?;
        loop {
            // What is set aside up to the bound is to be in a checkpoint: it is read again, and put there again, otherwise.
            let full = self.source.full();
            let stopping = shutdown.is_cancelled()
                || (self.options.once && read.polled.caught_up && !read.loading)
                || full.is_some();
            let (append, next) = if stopping || read.polled.caught_up || !read.emptied.is_empty() {
                let append = append(self.writer, &read.batches, self.options.clock);
                (self.retention.beside(self.source, self.status, append).await??, None)
            } else {
                let (append, next) = self.append_and_poll(&read.batches).await?;
                (append, Some(next))
            };
            self.count(&read.appended(), append);
            for emptied in &read.emptied {
                progress.rows += self.delete_known(emptied).await?;
            }
            progress.append(&read, self.writer.mark());
            // A position that has moved over keys without rows is worth a checkpoint as well.
            progress.rows += usize::from(self.tell_load(&read));
            if read.polled.caught_up {
                self.heartbeat(&mut progress, read.polled.source_time).await?;
            }
            self.report(|status| status.rounds += 1);
            // Behind the heartbeat: what a clean stop leaves behind the last checkpoint, retention would take away unseen.
            self.checkpoint(&mut progress, stopping).await?;
            if stopping {
                return full.map_or(Ok(()), |full| Err(full.into()));
            }
            self.retention.look(self.source, self.status).await?;
            if read.polled.caught_up {
                self.report(|status| status.state = State::Live);
                self.wait(shutdown).await?;
            }
            read = match next {
                Some(next) => next,
                None => self.poll().await?,
            };
        }
    }

    async fn wait(&mut self, shutdown: &CancellationToken) -> Result<(), CaptureError> {
        let at_most = self.options.heartbeat.min(CHECKPOINT_INTERVAL);
        tokio::select! {
            waited = self.source.wait(at_most) => waited?,
            () = shutdown.cancelled() => {}
        }
        Ok(())
    }

    async fn poll(&mut self) -> Result<Read, CaptureError> {
        Ok(self.append_and_poll(&[]).await?.1)
    }

    /// Both run side by side; an error of the append comes first, because then nothing more may be sent.
    async fn append_and_poll(&mut self, batches: &[Batch]) -> Result<((i64, i64), Read), CaptureError> {
        let asked = (self.options.clock)();
        self.encoder.recorded_time = asked;
        self.begin_load().await?;
        let limit = PollLimit { rows: self.options.batch_rows };
        let append = append(self.writer, batches, self.options.clock);
        let (appended, polled) = {
            let polling = self.source.poll(limit, &mut self.encoder);
            let (polled, rest) = meanwhile(Box::pin(append), polling).await;
            let appended = match rest {
                Either::Left(appended) => appended,
                Either::Right(append) => self.retention.beside(self.source, self.status, append).await?,
            };
            (appended, polled)
        };
        let append = appended?;
        let polled = polled?;
        self.publish_quarantined().await?;
        let load = self.source.load_progress();
        let loading = is_under_way(load.as_ref()) || self.requests.as_mut().is_some_and(Requests::waiting);
        // What somebody asked for and was collected may still come.
        if polled.caught_up && !loading {
            self.encoder.caught_up();
        }
        let emptied = std::mem::take(&mut self.encoder.emptied);
        let (batches, held) =
            if emptied.is_empty() { self.encoder.take() } else { (self.encoder.release(), Held::Nothing) };
        let read = Read {
            batches,
            held,
            emptied,
            asked,
            captured: std::mem::take(&mut self.encoder.captured),
            oldest: self.encoder.oldest.take(),
            traced: std::mem::take(&mut self.encoder.traced),
            stand: Stand {
                position: polled.position.clone(),
                counter: self.encoder.counter(),
                covers_collected: !self.encoder.owes(),
            },
            load,
            served: self.source.served(),
            first_load: self.source.first_load(),
            loading,
            polled,
        };
        Ok((append, read))
    }

    /// Deletes every row of an emptied table that the log knows; how many. Everything that came before is durable.
    async fn delete_known(&mut self, emptied: &Emptied) -> Result<usize, CaptureError> {
        let (mut rows, mut incomplete) = (0, false);
        for mut scan in self.encoder.scans(emptied)? {
            let mut from = Some(0);
            while let Some(start) = from {
                let passing = scan.pass(self.log, start);
                let pass = self.retention.beside(self.source, self.status, passing).await??;
                for known in pass.rows.chunks(GONE_AT_ONCE) {
                    self.encoder.recorded_time = (self.options.clock)();
                    for row in known {
                        self.encoder.gone(emptied, scan.publication(), row)?;
                    }
                    self.append_gone().await?;
                }
                rows += pass.rows.len();
                incomplete |= pass.incomplete;
                from = pass.next;
            }
        }
        let table = self.encoder.table_of(emptied);
        tracing::info!(
            self.participant,
            table,
            rows,
            "a table was emptied: the rows that are known are deleted"
        );
        if incomplete {
            tracing::warn!(
                self.participant,
                table,
                "a table was emptied, and rows whose last event the log has let go of are not known: subscribers keep them"
            );
        }
        Ok(rows)
    }

    async fn append_gone(&mut self) -> Result<(), CaptureError> {
        let batches = self.encoder.release();
        let asked = self.encoder.recorded_time;
        let append = append(self.writer, &batches, self.options.clock);
        let append = self.retention.beside(self.source, self.status, append).await??;
        let captured = std::mem::take(&mut self.encoder.captured);
        let (oldest, traced) = (self.encoder.oldest.take(), std::mem::take(&mut self.encoder.traced));
        self.count(
            &Appended { batches: &batches, asked, captured: &captured, oldest, traced: &traced },
            append,
        );
        Ok(())
    }

    /// One request after the other.
    async fn begin_load(&mut self) -> Result<(), CaptureError> {
        while !is_under_way(self.source.load_progress().as_ref())
            && let Some(Numbered { number, id, request }) = self.requests.as_mut().and_then(Requests::next)
        {
            self.source.load(number, request).await?;
            if let Some(load) = self.source.load_progress().filter(|load| load.refused.is_some()) {
                let load = LoadProgress { id, ..load };
                tracing::warn!(
                    participant = self.participant,
                    request = load.id,
                    reason = load.refused,
                    "rows that were asked for are refused"
                );
                self.report(|status| put_newest(&mut status.loads, &load));
            }
        }
        Ok(())
    }

    /// What `read` has of a request is durable now; whether that is news.
    fn tell_load(&mut self, read: &Read) -> bool {
        let first = self.pace.tell(read.first_load.as_ref(), Instant::now());
        self.report(|status| (status.served, status.first_load) = (read.served, first));
        if read.load == self.told {
            return false;
        }
        self.told.clone_from(&read.load);
        if let Some(load) = read.load.as_ref().filter(|load| !load.id.is_empty()) {
            self.report(|status| put_newest(&mut status.loads, load));
        }
        true
    }

    /// Of what is durable; the poll after it may be under way already and is not part of it.
    async fn checkpoint(&mut self, progress: &mut Progress, now: bool) -> Result<(), CaptureError> {
        let since = progress.checkpoint_at.elapsed();
        let due = now
            || progress.rows >= CHECKPOINT_ROWS
            || (progress.rows > 0 && since >= CHECKPOINT_INTERVAL)
            || (progress.beaten && since >= self.options.idle_checkpoint);
        let Some((stand, mark)) = progress.durable.take_if(|(stand, _)| due && stand.covers_collected) else {
            return Ok(());
        };
        // Only heartbeats stand behind the mark then: they are covered too.
        let mark = if progress.whole { self.writer.mark() } else { mark };
        let body = self.body(&stand.position, stand.counter);
        let checkpoint = self.writer.checkpoint_at(&body, &mark);
        let _leave = self.retention.beside(self.source, self.status, checkpoint).await??;
        self.covered = Some(stand.position.clone());
        self.source.forget(&stand.position).await?;
        let retained = self.source.retained().await?;
        self.report(|status| status.retained = Some(retained));
        (progress.rows, progress.beaten) = (0, false);
        progress.checkpoint_at = Instant::now();
        Ok(())
    }

    fn body(&self, position: &Position, counter: u64) -> CheckpointBody {
        CheckpointBody {
            position: position.as_str().to_owned(),
            lineage: self.lineage.clone(),
            lineage_epoch: self.lineage_epoch,
            counter,
        }
    }

    async fn heartbeat(&mut self, progress: &mut Progress, time: i64) -> Result<(), CaptureError> {
        if progress.heartbeat_at.is_some_and(|at| at.elapsed() < self.options.heartbeat) {
            return Ok(());
        }
        let asking = self.writer.fenced();
        if self.retention.beside(self.source, self.status, asking).await?? {
            let participant = self.participant.to_owned();
            return Err(WriterError::Fenced { participant, claim: None }.into());
        }
        let beating = self.writer.heartbeat(time);
        self.retention.beside(self.source, self.status, beating).await??;
        progress.heartbeat_at = Some(Instant::now());
        progress.beaten = true;
        self.report(|status| status.fresh_through = Some(time));
        Ok(())
    }

    /// Before the batch: a row that was set aside must be on record before a checkpoint can cover it.
    async fn publish_quarantined(&mut self) -> Result<(), CaptureError> {
        for change in std::mem::take(&mut self.encoder.kept) {
            if !self.set_aside.changes.contains(&change.id) {
                aside::publish(self.log, self.participant, &change).await?;
                self.set_aside.changes.insert(change.id);
            }
        }
        let tables = self.source.aside();
        self.status.send_if_modified(|status| {
            let news = status.aside != tables;
            status.aside = tables;
            news
        });
        for row in std::mem::take(&mut self.encoder.quarantined) {
            if self.set_aside.rows.contains(&row.id) {
                continue;
            }
            publish_quarantined(self.log, self.participant, &row).await?;
            self.set_aside.rows.insert(row.id);
            let quarantined = self.set_aside.rows.len() as u64;
            self.report(|status| status.quarantined = quarantined);
            if quarantined >= self.options.quarantine_limit {
                return Err(CaptureError::QuarantineFull {
                    limit: self.options.quarantine_limit,
                    rule: row.rule,
                });
            }
        }
        Ok(())
    }

    /// What was appended is durable since the end of `append`.
    fn count(&self, of: &Appended<'_>, append: (i64, i64)) {
        let Appended { batches, asked, captured, oldest, traced } = of;
        if batches.is_empty() {
            return;
        }
        let CaptureOptions { meters, traces, .. } = self.options;
        let topics: Vec<_> = batches
            .iter()
            .flat_map(|batch| &batch.parts)
            .map(|part| (Arc::clone(&part.target.topic), part.count))
            .collect();
        meters.published(&Published { topics: &topics, captured, asked: *asked, append });
        tell(traces, meters.system(), self.participant, traced, Times { asked: *asked, append });
        let last = self.encoder.last_event_time;
        self.report(|status| {
            status.events += batches.iter().map(Batch::len).sum::<usize>() as u64;
            status.last_event_time = last;
            if let Some(oldest) = oldest {
                status.recent.add(append.1, *oldest);
            }
        });
    }

    fn report(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }
}

fn is_under_way(load: Option<&LoadProgress>) -> bool {
    load.is_some_and(|load| !load.done)
}

/// Puts the newest of a request in place of what was told before.
fn put_newest(loads: &mut Vec<LoadProgress>, load: &LoadProgress) {
    loads.retain(|told| told.id != load.id);
    if loads.len() >= LOADS_TOLD {
        loads.remove(0);
    }
    loads.push(load.clone());
}

/// Both side by side until `first` is done; gives what is left of `other`.
async fn meanwhile<O: Future + Unpin, F: Future + Unpin>(
    other: O,
    first: F,
) -> (F::Output, Either<O::Output, O>) {
    match select(other, first).await {
        Either::Left((done, first)) => (first.await, Either::Left(done)),
        Either::Right((first, other)) => (first, Either::Right(other)),
    }
}

/// Begin and end, microseconds. Nothing to append asks nothing of the log.
async fn append(
    writer: &mut dyn Writer,
    batches: &[Batch],
    clock: fn() -> i64,
) -> Result<(i64, i64), WriterError> {
    let begin = clock();
    for batch in batches {
        writer.append(batch).await?;
    }
    Ok((begin, clock()))
}

pub(crate) async fn publish_quarantined(
    log: &dyn Log,
    participant: &str,
    row: &Quarantined,
) -> Result<(), CaptureError> {
    let key = row.key.hex();
    let time = row.time.to_string();
    let headers: [(&str, &[u8]); 7] = [
        (header::ID, row.id.as_bytes()),
        (header::TYPE, row.event.as_bytes()),
        ("lt_table", row.table.as_bytes()),
        ("lt_column", row.column.as_bytes()),
        ("lt_rule", row.rule.as_bytes()),
        ("lt_time", time.as_bytes()),
        (header::CONTENT_TYPE, b"application/vnd.lienthong.sealed"),
    ];
    log.publish(&topic(participant), key.as_bytes(), &headers, &row.sealed).await?;
    Ok(())
}
