//! Changes of tables that are set aside: kept in `lt.quarantine.<participant>` in order and sealed, and published from there once
//! somebody has mended the mapping.
//!
//! What an operator asks for is decided first: a checkpoint that covers no more than the one before says how the changes are read. From
//! then on whoever holds the source publishes them before anything else, with the ids and sequences that they would have had, skipping
//! what the read-back has found; only then does the table go on. So a kill between any two steps leaves either the table set aside or
//! work that the next connector ends.
//!
//! **Invariant:** a change is in the topic before a checkpoint whose position counts it; the position says how many there are and between
//! which places. What a former writer put there twice, or a late one beyond, has the same places and ids, and counts once or not at all.

use std::collections::BTreeMap;

use lienthong_contract::aside::{AsideTable, Mending, SetAside};
use lienthong_contract::event::header;
use lienthong_contract::keys::KeyHash;
use lienthong_contract::position::Lineage;
use lienthong_contract::source::{Place, Source, SourceError};
use lienthong_log::{CheckpointBody, Log, LogError, Mark, RecordRef, TopicPartition, Writer};
use tokio::sync::watch;

use crate::encode::Encoder;
use crate::pump::publish_quarantined;
use crate::quarantine::{QuarantineKeys, topic};
use crate::run::{CaptureError, Status};
use crate::to_end::ToEnd;

/// Changes that become batches at once.
const AT_ONCE: usize = 500;

/// One change on its way to the topic.
#[derive(Debug)]
pub struct Kept {
    /// The change's name with the lineage epoch in front: the same whenever it is read again.
    pub id: String,
    /// Source table.
    pub table: String,
    /// Keyed hash of table and key.
    pub key: KeyHash,
    /// Where it stands in its source's log.
    pub place: Place,
    /// Commit time, microseconds.
    pub time: i64,
    /// Why the table is set aside.
    pub rule: String,
    /// What mends it.
    pub fix: String,
    /// The change, sealed under the site's seal key with its id as context.
    pub sealed: Vec<u8>,
}

impl Kept {
    pub(crate) fn new(keys: &QuarantineKeys, lineage_epoch: u32, change: &SetAside<'_>) -> Self {
        let id = format!("{lineage_epoch}-{}", change.id);
        Self {
            table: change.table.to_owned(),
            key: keys.key(change.table, change.key),
            place: change.place,
            time: change.time,
            rule: change.rule.to_owned(),
            fix: change.fix.to_owned(),
            sealed: keys.seal.seal(&context(&id), change.content),
            id,
        }
    }
}

/// A row that was sealed by itself has its id alone.
fn context(id: &str) -> Vec<u8> {
    format!("aside/{id}").into_bytes()
}

/// Durable on return.
pub(crate) async fn publish(log: &dyn Log, participant: &str, change: &Kept) -> Result<(), LogError> {
    let (key, time) = (change.key.hex(), change.time.to_string());
    let (place, index) = (change.place.lsn.to_string(), change.place.index.to_string());
    let headers: [(&str, &[u8]); 8] = [
        (header::ID, change.id.as_bytes()),
        ("lt_table", change.table.as_bytes()),
        (PLACE, place.as_bytes()),
        (INDEX, index.as_bytes()),
        ("lt_rule", change.rule.as_bytes()),
        ("lt_fix", change.fix.as_bytes()),
        ("lt_time", time.as_bytes()),
        (header::CONTENT_TYPE, b"application/vnd.lienthong.sealed"),
    ];
    log.publish(&topic(participant), key.as_bytes(), &headers, &change.sealed).await
}

const PLACE: &str = "lt_place";
const INDEX: &str = "lt_index";

/// Publishes what was set aside, before a writer's first poll.
pub(crate) struct Mender<'a> {
    pub(crate) participant: &'a str,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) writer: &'a mut dyn Writer,
    pub(crate) log: &'a dyn Log,
    pub(crate) keys: &'a QuarantineKeys,
    pub(crate) lineage: &'a Lineage,
    pub(crate) lineage_epoch: u32,
    pub(crate) clock: fn() -> i64,
    pub(crate) status: &'a watch::Sender<Status>,
}

/// How an operator wants what was set aside to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How it is read.
    pub mending: Mending,
    /// Rows that break their contract stay in quarantine, each by itself as any such row; without it nothing is published.
    pub leave_broken: bool,
}

impl Mender<'_> {
    /// Tries to read everything, and puts it on record that it is to be published. `trial` takes what becomes of it, for nobody.
    pub(crate) async fn decide(
        &mut self,
        retry: &Retry,
        (mut trial, mark): (Encoder, &Mark),
    ) -> Result<(), CaptureError> {
        let aside = self.source.aside();
        // Also where it has been published just now, and the log was away before that was known.
        if aside.is_empty() {
            return Ok(());
        }
        let renames = retry.mending.renames.iter().map(|renamed| &renamed.table);
        let mut named = renames.chain(retry.mending.absent.iter().map(|absent| &absent.table));
        if let Some(table) = named.find(|named| !aside.iter().any(|aside| aside.table == **named)) {
            let problem = format!("{table} is not set aside");
            return Err(SourceError::Aside { problem, fix: "leave it out".to_owned() }.into());
        }
        let Some(position) = self.source.decide(&retry.mending)? else { return Ok(()) };
        for table in &aside {
            for changes in self.read(table).await?.chunks(AT_ONCE) {
                for content in changes {
                    self.source.again(&table.table, content, &mut trial).await?;
                    if let Some(row) = trial.quarantined.pop().filter(|_| !retry.leave_broken) {
                        let (table, column, rule) = (row.table, row.column, row.rule);
                        return Err(CaptureError::StillBroken { table, column, rule });
                    }
                }
                drop(trial.take());
            }
        }
        let body = CheckpointBody {
            position: position.as_str().to_owned(),
            lineage: self.lineage.clone(),
            lineage_epoch: self.lineage_epoch,
            counter: trial.counter(),
        };
        // Nothing is let go: it covers no more than the one before.
        let _leave = self.writer.checkpoint_at(&body, mark).await?;
        Ok(())
    }

    /// Publishes what was decided, now or by a connector that did not come to its end.
    pub(crate) async fn complete(&mut self, encoder: &mut Encoder) -> Result<(), CaptureError> {
        let decided = self.source.aside().into_iter().filter(|table| table.decided);
        for table in decided.collect::<Vec<_>>() {
            let all = self.read(&table).await?;
            encoder.apart = true;
            for changes in all.chunks(AT_ONCE) {
                encoder.recorded_time = (self.clock)();
                for content in changes {
                    self.source.again(&table.table, content, encoder).await?;
                }
                for row in std::mem::take(&mut encoder.quarantined) {
                    publish_quarantined(self.log, self.participant, &row).await?;
                    self.status.send_modify(|status| status.quarantined += 1);
                }
                for batch in encoder.take().0 {
                    self.writer.append(&batch).await?;
                    self.status.send_modify(|status| status.events += batch.len() as u64);
                }
            }
            encoder.together();
            self.source.mended(&table.table)?;
            let (changes, name) = (all.len(), &table.table);
            tracing::info!(
                participant = self.participant,
                table = name,
                changes,
                "what was set aside is published"
            );
        }
        let aside = self.source.aside();
        self.status.send_modify(|status| status.aside = aside);
        Ok(())
    }

    /// The changes of a table that its position counts, in order, opened.
    async fn read(&mut self, table: &AsideTable) -> Result<Vec<Vec<u8>>, CaptureError> {
        let mut found: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
        let topic = topic(self.participant);
        let place = TopicPartition { topic: topic.as_str().into(), partition: 0 };
        let (mut reading, _let_go) = ToEnd::whole(self.log, &place).await?;
        while let Some(batch) = reading.next().await? {
            for entry in &batch.entries {
                let damaged = |_| LogError::Inconsistent("a record of a quarantine is damaged".to_owned());
                self.take(table, &batch.record(entry).map_err(damaged)?, &mut found);
            }
        }
        if found.len() as u64 == table.rows {
            return Ok(found.into_values().collect());
        }
        Err(SourceError::Aside {
            problem: format!(
                "{} changes of {} are set aside, and {topic} has {} of them that the site's seal key opens",
                table.rows,
                table.table,
                found.len()
            ),
            fix: format!(
                "put the seal key back by which they were sealed; where they are gone, run `lienthong connect {} --accept-lineage REASON`",
                self.participant
            ),
        }
        .into())
    }

    fn take(&self, table: &AsideTable, record: &RecordRef<'_>, found: &mut BTreeMap<Place, Vec<u8>>) {
        let text = |name| record.header(name).and_then(|value| std::str::from_utf8(value).ok());
        let place =
            text(PLACE).and_then(|lsn| lsn.parse().ok()).zip(text(INDEX).and_then(|at| at.parse().ok()));
        let (Some((lsn, index)), Some(id)) = (place, text(header::ID)) else { return };
        let (place, epoch) = (Place { lsn, index }, format!("{}-", self.lineage_epoch));
        let counted = table.from <= place && table.last.is_some_and(|last| place <= last);
        if text("lt_table") != Some(table.table.as_str()) || !counted || !id.starts_with(&epoch) {
            return;
        }
        if let Some(content) = self.keys.seal.open(&context(id), record.value) {
            found.insert(place, content);
        }
    }
}
