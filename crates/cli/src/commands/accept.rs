//! `connect --accept-lineage`: an operator says that the database is another one than before, or that what is missing may be missing.

use std::sync::Arc;
use std::time::Duration;

use lienthong_capture::lineage::{self, Proposal};
use lienthong_capture::{CaptureError, Connector};
use lienthong_contract::position::Lineage;
use lienthong_log::Log;
use lienthong_site::Participant;
use serde_json::{Map, Value, json};

use super::connect::{ONCE_TIMEOUT, connector};
use super::{Context, audit};
use crate::exit::Failure;
use crate::output;

const PAUSE: Duration = Duration::from_millis(200);

/// On record before it happens: a kill in between leaves an entry without its checkpoint, and the command can be given again. The other
/// way round it would leave an acceptance of which nobody knows.
pub(super) async fn run(context: &Context, compiled: &Participant, reason: &str) -> Result<(), Failure> {
    let log = context.checked_log()?;
    let mut connector = connector(compiled, context.keys()?, &log);
    tokio::select! {
        accepted = accept(context, &mut connector, &log, reason) => accepted,
        () = context.shutdown.cancelled() => Err(Failure::interrupted()),
    }
}

async fn accept(
    context: &Context,
    connector: &mut Connector,
    log: &Arc<dyn Log>,
    reason: &str,
) -> Result<(), Failure> {
    let participant = connector.participant.to_string();
    let proposal = propose(context, connector).await?;
    let (before, epoch) = (proposal.epoch_before, proposal.epoch());
    let what = json!({
        "participant": participant,
        "reason": reason,
        "problem": proposal.problem,
        "lineage_before": parts(&proposal.before),
        "lineage": parts(proposal.present()),
        "lineage_epoch_before": before,
        "lineage_epoch": epoch,
        "writer_epoch": proposal.writer_epoch(),
    });
    audit::write(log.as_ref(), "connect --accept-lineage", what).await?;
    proposal.confirm().await?;
    let sentence = format!(
        "{participant}: lineage epoch {before} is {epoch} now; `lienthong connect {participant}` publishes all rows anew, and rows \
         deleted in the gap stay at subscribers"
    );
    output::done(
        context.output,
        &sentence,
        &json!({"participant": participant, "lineage_epoch_before": before, "lineage_epoch": epoch}),
    );
    Ok(())
}

/// A dependency that is away or held is waited for, as `--once` does.
async fn propose(context: &Context, connector: &mut Connector) -> Result<Proposal, CaptureError> {
    let deadline = tokio::time::Instant::now() + context.timeout.unwrap_or(ONCE_TIMEOUT);
    loop {
        match lineage::propose(connector).await {
            Err(error) if error.is_transient() && tokio::time::Instant::now() < deadline => {
                tracing::info!(participant = %connector.participant, %error, "waits");
                tokio::time::sleep(PAUSE).await;
            }
            proposed => return proposed,
        }
    }
}

fn parts(lineage: &Lineage) -> Value {
    let parts = lineage.parts.iter().map(|(name, value)| (name.clone(), json!(value)));
    parts.collect::<Map<_, _>>().into()
}
