//! A member of a consumer group, as its owner sees it: asks a thread that runs the client library.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::sink::OffsetState;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::client::{Shared, try_on_thread};
use super::consumer_thread::{Member, Request};
use crate::api::{ConsumeOptions, Consumer, Delivered, LogError, TopicPartition};

/// See [`Consumer`].
pub(super) struct KafkaConsumer {
    requests: std_mpsc::Sender<Request>,
    answers: mpsc::UnboundedReceiver<Result<Option<Delivered>, LogError>>,
    /// A question for the next thing is under way; its answer is kept when the caller does not wait for it.
    asked: bool,
    paused: BTreeSet<TopicPartition>,
    /// Records that were under way when their partition was paused.
    held_back: VecDeque<Delivered>,
    left: bool,
}

impl KafkaConsumer {
    /// Joins; members' turns come with `next`.
    pub(super) async fn join(shared: Arc<Shared>, options: &ConsumeOptions) -> Result<Self, LogError> {
        let (log, names, wish) = (Arc::clone(&shared), options.topics.clone(), options.clone());
        let member = try_on_thread(move |_| {
            for topic in &names {
                log.partitions(topic)?;
            }
            Member::join(log, &wish)
        })
        .await?;
        let (requests, asked) = std_mpsc::channel();
        let (answer, answers) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("lienthong-consumer".into())
            .spawn(move || member.run(&asked, &answer))
            .map_err(|_| ended())?;
        Ok(Self {
            requests,
            answers,
            asked: false,
            paused: BTreeSet::new(),
            held_back: VecDeque::new(),
            left: false,
        })
    }

    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<(), LogError>>) -> Request,
    ) -> Result<(), LogError> {
        let (done, waits) = oneshot::channel();
        self.requests.send(request(done)).map_err(|_| ended())?;
        waits.await.map_err(|_| ended())?
    }

    /// What was held back of a partition that is not paused any more.
    fn held(&mut self) -> Option<Delivered> {
        let free = |thing: &Delivered| source_of(thing).is_none_or(|source| !self.paused.contains(source));
        let index = self.held_back.iter().position(free)?;
        self.held_back.remove(index)
    }

    fn forget(&mut self, source: &TopicPartition) {
        self.paused.remove(source);
        self.held_back.retain(|thing| source_of(thing) != Some(source));
    }
}

/// The partition of records; other things are never held back.
fn source_of(thing: &Delivered) -> Option<&TopicPartition> {
    match thing {
        Delivered::Records(batch) => Some(&batch.source),
        Delivered::Assigned(_) | Delivered::Revoked(_) | Delivered::Expired { .. } => None,
    }
}

fn ended() -> LogError {
    LogError::Inconsistent("a consumer's thread has ended".into())
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self, at_most: Duration) -> Result<Option<Delivered>, LogError> {
        if self.left {
            return Ok(None);
        }
        if let Some(thing) = self.held() {
            return Ok(Some(thing));
        }
        let until = Instant::now() + at_most;
        loop {
            if !self.asked {
                let rest = until.saturating_duration_since(Instant::now());
                self.requests.send(Request::Next(rest)).map_err(|_| ended())?;
                self.asked = true;
            }
            // The thread answers by its own clock; this one is for questions that were asked with more time.
            let slack = Duration::from_millis(20);
            let Ok(answer) = tokio::time::timeout_at(until + slack, self.answers.recv()).await else {
                return Ok(None);
            };
            self.asked = false;
            let Some(thing) = answer.ok_or_else(ended)?? else {
                if Instant::now() >= until {
                    return Ok(None);
                }
                continue;
            };
            match &thing {
                Delivered::Records(batch) if self.paused.contains(&batch.source) => {
                    self.held_back.push_back(thing);
                    if Instant::now() >= until {
                        return Ok(None);
                    }
                    continue;
                }
                Delivered::Revoked(source) => {
                    let source = source.clone();
                    self.forget(&source);
                }
                Delivered::Records(_) | Delivered::Assigned(_) | Delivered::Expired { .. } => {}
            }
            return Ok(Some(thing));
        }
    }

    async fn start(&mut self, source: &TopicPartition, state: OffsetState) -> Result<(), LogError> {
        self.held_back.retain(|thing| source_of(thing) != Some(source));
        self.ask(|done| Request::Start(source.clone(), state, done)).await
    }

    async fn pause(&mut self, source: &TopicPartition) -> Result<(), LogError> {
        self.paused.insert(source.clone());
        self.ask(|done| Request::Pause(source.clone(), done)).await
    }

    async fn resume(&mut self, source: &TopicPartition) -> Result<(), LogError> {
        self.paused.remove(source);
        self.ask(|done| Request::Resume(source.clone(), done)).await
    }

    async fn commit(&mut self, source: &TopicPartition, next_offset: i64) -> Result<(), LogError> {
        self.requests.send(Request::Commit(source.clone(), next_offset)).map_err(|_| ended())
    }

    async fn leave(&mut self) -> Result<(), LogError> {
        if self.left {
            return Ok(());
        }
        self.left = true;
        self.held_back.clear();
        self.ask(Request::Leave).await
    }
}
