//! A publishing system: `ministries/<participant>.yaml`.

mod compile;
mod file;
mod look_up;
mod source;
mod subject;

use std::fmt;
use std::sync::Arc;

use lienthong_capture::Publication;
use lienthong_connectors::SourceConfig;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::source::TableCapture;

pub(crate) use compile::compile;
pub(crate) use file::read;

/// One publishing system, compiled.
#[derive(Clone)]
pub struct Participant {
    /// `moj.civil-status`.
    pub participant: ParticipantId,
    /// The organisation that answers for it, in its own words.
    pub organisation: String,
    /// Its database.
    pub source: SourceConfig,
    /// Captured tables, each once.
    pub tables: Vec<TableCapture>,
    /// Entries of `publishes`, in the order of the file.
    pub publications: Arc<[Publication]>,
}

// What may have come from `${env:..}` is not shown; an id is public by its nature.
impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Participant");
        shown.field("participant", &self.participant).field("source", &"***");
        shown.field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}
