//! `lt.request.<participant>`: rows that somebody asks the owner for. A key may be a number of a person, so what a request says is sealed
//! under the site's key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lienthong_contract::event::header;
use lienthong_contract::keys::SealKey;
use lienthong_contract::load::{LoadRequest, Wanted};
use lienthong_contract::sink::OffsetState;
use lienthong_contract::source::TableCapture;
use lienthong_log::record::Entry;
use lienthong_log::{Log, LogError, TopicPartition, marks};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::publication::Publication;
use crate::to_end::{FETCH_BYTES, ToEnd};

/// Longest text of a request: its record must fit the log. Longer lists become several requests.
pub const LONGEST: usize = 512 << 10;
/// The fastest rate that can be asked for, rows per second.
pub const FASTEST: u32 = 1_000_000;

/// How often the topic is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Requests that are held ready.
const READY: usize = 64;
/// Version of a request's form.
const FORM: u32 = 1;

/// The topic of a participant.
#[must_use]
pub fn topic(participant: &str) -> String {
    format!("lt.request.{participant}")
}

/// A request as it is asked, of a table by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names it.
    pub id: String,
    /// As which event.
    pub event: String,
    /// Of which table.
    pub table: String,
    /// Which rows.
    pub rows: Wanted,
    /// Rows per second.
    pub rate: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    v: u32,
    event: String,
    table: String,
    from: Option<String>,
    to: Option<String>,
    keys: Option<Vec<Vec<String>>>,
    rate: u32,
}

/// Asks the participant's connector; durable on return.
///
/// # Errors
/// The log does not take it.
pub async fn ask(
    log: &dyn Log,
    participant: &str,
    seal: &SealKey,
    request: &Request,
) -> Result<(), LogError> {
    let (from, to, keys) = match &request.rows {
        Wanted::Range { from, to } => (from.clone(), to.clone(), None),
        Wanted::Keys(keys) => (None, None, Some(keys.clone())),
    };
    let (event, table) = (request.event.clone(), request.table.clone());
    let body = Body { v: FORM, event, table, from, to, keys, rate: request.rate };
    let text = serde_json::to_vec(&body).map_err(|_| unwritten())?;
    let sealed = seal.seal(&context(participant, &request.id), &text);
    let headers: [(&str, &[u8]); 3] = [
        (header::ID, request.id.as_bytes()),
        (header::TYPE, request.event.as_bytes()),
        (header::CONTENT_TYPE, b"application/vnd.lienthong.sealed"),
    ];
    log.publish(&topic(participant), request.id.as_bytes(), &headers, &sealed).await
}

/// Where the next request will stand.
///
/// # Errors
/// The log cannot be read.
pub async fn end(log: &dyn Log, participant: &str) -> Result<i64, LogError> {
    Ok(log.watermarks(&place(participant)).await?.high)
}

/// The number of a request that was asked, at `from` or behind it.
///
/// # Errors
/// The log cannot be read.
pub async fn number_of(
    log: &dyn Log,
    participant: &str,
    id: &str,
    from: i64,
) -> Result<Option<i64>, LogError> {
    let place = place(participant);
    let mut state = log.start_at(&place, from).await?;
    loop {
        let batch = log.read(&place, state, FETCH_BYTES).await?;
        let named = |entry: &&Entry| {
            batch.record(entry).is_ok_and(|record| record.header(header::ID) == Some(id.as_bytes()))
        };
        if let Some(entry) = batch.entries.iter().find(named) {
            return Ok(Some(entry.offset));
        }
        if batch.next_offset <= state.next_offset {
            return Ok(None);
        }
        state = marks::state_after(&state, &batch);
    }
}

fn place(participant: &str) -> TopicPartition {
    TopicPartition { topic: topic(participant).into(), partition: 0 }
}

fn unwritten() -> LogError {
    LogError::Inconsistent("a request cannot be written".to_owned())
}

/// A request sealed for one participant cannot be put to another, nor under another name.
fn context(participant: &str, id: &str) -> Vec<u8> {
    format!("request/{participant}/{id}").into_bytes()
}

/// What a request of this participant may be about.
pub(crate) struct Offer {
    pub(crate) participant: String,
    pub(crate) seal: SealKey,
    pub(crate) tables: Arc<[TableCapture]>,
    pub(crate) publications: Arc<[Publication]>,
}

impl Offer {
    /// Opens a request. `Err`: why it is not served, without values.
    fn open(&self, id: &str, sealed: &[u8]) -> Result<LoadRequest, String> {
        let text = self.seal.open(&context(&self.participant, id), sealed);
        let text = text.ok_or("it was not sealed with this site's seal key")?;
        let body: Body =
            serde_json::from_slice(&text).map_err(|_| "it is written in a form that is unknown here")?;
        if body.v != FORM {
            return Err(format!("form {} of requests is unknown here", body.v));
        }
        let becomes =
            |entry: &&Publication| entry.event == body.event && self.tables[entry.table].table == body.table;
        let Some(entry) = self.publications.iter().find(becomes) else {
            return Err("the participant's file does not make this event from this table".to_owned());
        };
        let parts = self.tables[entry.table].key.len();
        let rows = match body.keys {
            Some(keys) if keys.iter().any(|key| key.len() != parts) => {
                return Err("a key has not as many parts as the table's".to_owned());
            }
            Some(keys) => Wanted::Keys(keys),
            None => Wanted::Range { from: body.from, to: body.to },
        };
        let rate = body.rate.clamp(1, FASTEST);
        Ok(LoadRequest { id: id.to_owned(), event: body.event, table: entry.table, rows, rate })
    }
}

/// A request with its number.
pub(crate) struct Numbered {
    pub(crate) number: i64,
    /// Its id, as far as it can be told.
    pub(crate) id: String,
    pub(crate) request: Result<LoadRequest, String>,
}

/// Requests that have come and not been begun.
pub(crate) struct Requests {
    pending: VecDeque<Numbered>,
    coming: mpsc::Receiver<Numbered>,
    looking: JoinHandle<()>,
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Requests {
    /// Reads what stands in the topic from this number on, and looks for more from time to time. A topic that is missing or refused
    /// holds nothing: a connector that nobody asks must not end by it.
    pub(crate) async fn open(log: Arc<dyn Log>, offer: Offer, next: i64) -> Result<Self, LogError> {
        let place = place(&offer.participant);
        let mut reader = Reader { log, offer, place, next, state: None };
        let pending = match reader.read().await {
            Ok(found) => found.into(),
            Err(error @ (LogError::Unreachable { .. } | LogError::RegistryDown(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(topic = %reader.place.topic, %error, "nobody can ask for rows");
                VecDeque::new()
            }
        };
        let (sender, coming) = mpsc::channel(READY);
        let looking = tokio::spawn(async move { reader.follow(&sender).await });
        Ok(Self { pending, coming, looking })
    }

    /// Whether any wait.
    pub(crate) fn waiting(&mut self) -> bool {
        while self.pending.len() < READY
            && let Ok(found) = self.coming.try_recv()
        {
            self.pending.push_back(found);
        }
        !self.pending.is_empty()
    }

    /// The oldest that waits.
    pub(crate) fn next(&mut self) -> Option<Numbered> {
        self.waiting();
        self.pending.pop_front()
    }
}

struct Reader {
    log: Arc<dyn Log>,
    offer: Offer,
    place: TopicPartition,
    next: i64,
    /// `None` until the topic has been found.
    state: Option<OffsetState>,
}

impl Reader {
    async fn follow(&mut self, sender: &mpsc::Sender<Numbered>) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.read().await {
                Ok(found) => {
                    for request in found {
                        if sender.send(request).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::debug!(topic = %self.place.topic, %error, "requests cannot be read"),
            }
        }
    }

    /// Everything up to the end.
    async fn read(&mut self) -> Result<Vec<Numbered>, LogError> {
        let marks = self.log.watermarks(&self.place).await?;
        let mut state = match self.state {
            Some(state) => state,
            None => {
                // Beyond the end of a topic that was made anew everything is new.
                let wanted = if self.next > marks.high { marks.low } else { self.next };
                self.log.start_at(&self.place, wanted).await?
            }
        };
        if state.next_offset < marks.low {
            state = self.log.start_at(&self.place, marks.low).await?;
        }
        let mut found = Vec::new();
        let mut reading = ToEnd::from(self.log.as_ref(), &self.place, state, marks.high);
        while let Some(batch) = reading.next().await? {
            for entry in &batch.entries {
                let damaged = |_| LogError::Inconsistent("a request is damaged".to_owned());
                let record = batch.record(entry).map_err(damaged)?;
                let id = record.header(header::ID).and_then(|id| std::str::from_utf8(id).ok());
                let id = id.unwrap_or_default().to_owned();
                let request = self.offer.open(&id, record.value);
                found.push(Numbered { number: entry.offset, id, request });
            }
        }
        self.state = Some(reading.state);
        Ok(found)
    }
}
