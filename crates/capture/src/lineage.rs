//! What a position belongs to: the guard at every start, and the acceptance of a new lineage.
//!
//! An acceptance is a writer's life of its own: claim, fences, read-back, and one checkpoint with a lineage epoch that is higher by one
//! and a position that covers nothing. That position covers every id which the read-back has collected, as a checkpoint must: ids begin
//! with the lineage epoch, so no source ever gives one of a former epoch again. What the former writers appended stays; whoever writes
//! next reads back from behind it.
//!
//! **Invariant:** the epoch rises by the checkpoint alone. Until that stands in the log nothing has happened and the command can be given
//! again; once it stands, nothing differs any more and the command is refused. Whoever confirms an acceptance has told of it before.

use lienthong_contract::aside::AsideTable;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::position::Lineage;
use lienthong_contract::source::{PollLimit, RowChange, RowVisitor, SourceError};
use lienthong_log::{CheckpointBody, Writer};

use crate::run::{CaptureError, Connector, topics};

/// Rows per poll while it is looked for what is missing.
const ROWS: usize = 4_000;

/// Sought from where the last writer was, if the source still has everything behind it.
pub(crate) async fn seek(
    connector: &mut Connector,
    present: &Lineage,
    checkpoint: Option<&CheckpointBody>,
) -> Result<(), CaptureError> {
    let position = checkpoint.and_then(CheckpointBody::position);
    if let Some((part, stored, now)) = checkpoint.and_then(|known| known.lineage.difference(present)) {
        let participant = connector.participant.to_string();
        let goes_on = match (checkpoint, &position) {
            (Some(known), Some(from)) => connector.source.goes_on(&known.lineage, from).await?,
            _ => false,
        };
        if !goes_on {
            let tables = connector.tables.iter().map(|table| table.table.as_str());
            let tables = tables.collect::<Vec<_>>().join(", ");
            return Err(CaptureError::Lineage { participant, tables, part, stored, present: now });
        }
        tracing::warn!(
            participant,
            part,
            stored,
            present = now,
            "another lineage, in which nothing is missing: it goes on"
        );
    }
    Ok(connector.source.seek(position.as_ref()).await?)
}

/// A source knows its participant by the name that it was given alone; what an operator types is named here.
pub(crate) fn naming(error: CaptureError, participant: &ParticipantId) -> CaptureError {
    match error {
        CaptureError::Source(SourceError::Gap { gap, fix }) => CaptureError::Source(SourceError::Gap {
            gap,
            fix: fix.replace("PARTICIPANT", participant.as_str()),
        }),
        other => other,
    }
}

/// A new lineage that has not been accepted yet. It holds source and log.
pub struct Proposal {
    writer: Box<dyn Writer>,
    body: CheckpointBody,
    /// The lineage of before.
    pub before: Lineage,
    /// Its epoch.
    pub epoch_before: u32,
    /// What differs or is missing.
    pub problem: String,
}

impl Proposal {
    /// The lineage to be accepted.
    #[must_use]
    pub fn present(&self) -> &Lineage {
        &self.body.lineage
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.body.lineage_epoch
    }

    /// The claim under which it is accepted: a checkpoint of this writer is the acceptance.
    #[must_use]
    pub fn writer_epoch(&self) -> i64 {
        self.writer.epoch()
    }

    /// Accepts it, unless another connector has claimed meanwhile. What happens is to be on record before.
    ///
    /// # Errors
    /// When the checkpoint did not become valid: nothing has changed then.
    pub async fn confirm(mut self) -> Result<(), CaptureError> {
        // Nothing is let go: the first connector after this one may begin at the same place again.
        let _leave = self.writer.checkpoint(&self.body).await?;
        Ok(())
    }
}

/// Takes the source and the claim, and finds what differs from the last checkpoint or is missing behind it.
///
/// # Errors
/// When nothing is, when nothing was ever published, or when source or log fail.
pub async fn propose(connector: &mut Connector) -> Result<Proposal, CaptureError> {
    let found = found(connector).await;
    found.map_err(|error| naming(error, &connector.participant))
}

async fn found(connector: &mut Connector) -> Result<Proposal, CaptureError> {
    let present = connector.source.open().await?;
    let topics = topics(&connector.publications);
    let (writer, recovered) = connector.log.open_writer(&connector.participant, &topics).await?;
    let refused = |problem| {
        let participant = connector.participant.to_string();
        CaptureError::SameLineage { participant, problem }
    };
    let Some(known) = recovered.checkpoint else { return Err(refused("nothing has been published yet")) };
    let refused = refused("nothing differs from what was published and nothing is missing");
    let problem = match whole(connector, &present, &known).await {
        Ok(()) => return Err(refused),
        Err(error) if is_broken(&error) => naming(error, &connector.participant).to_string(),
        Err(error) => return Err(error),
    };
    // A source that has told of a gap is closed.
    let present = connector.source.open().await?;
    let position = connector.source.begin_anew().await?;
    let body = CheckpointBody {
        position: position.map(|position| position.as_str().to_owned()).unwrap_or_default(),
        lineage: present,
        lineage_epoch: known.lineage_epoch.saturating_add(1),
        counter: known.counter,
    };
    Ok(Proposal { writer, body, before: known.lineage, epoch_before: known.lineage_epoch, problem })
}

/// Reads all that the source has behind the last checkpoint, and publishes nothing of it.
async fn whole(
    connector: &mut Connector,
    present: &Lineage,
    known: &CheckpointBody,
) -> Result<(), CaptureError> {
    seek(connector, present, Some(known)).await?;
    while !connector.source.poll(PollLimit { rows: ROWS }, &mut Nobody).await?.caught_up {}
    // Whoever cannot mend it gives up what was set aside: all rows of the table are published anew.
    match connector.source.aside().into_iter().next() {
        Some(AsideTable { problem, fix, .. }) => Err(SourceError::Aside { problem, fix }.into()),
        None => Ok(()),
    }
}

/// Whether a connector could never go on after this.
fn is_broken(error: &CaptureError) -> bool {
    matches!(
        error,
        CaptureError::Lineage { .. }
            | CaptureError::Source(
                SourceError::Gap { .. } | SourceError::Aside { .. } | SourceError::ForeignPosition(_)
            )
    )
}

struct Nobody;

impl RowVisitor for Nobody {
    fn row(&mut self, _: &RowChange<'_>) {}
}
