//! A source whose connection is lost so many times, each time before anything of it is covered by a checkpoint.

use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::source::{PollLimit, Polled, RowVisitor, Source, SourceError};

pub(crate) struct Flaky {
    pub(crate) inner: Box<dyn Source>,
    pub(crate) losses: usize,
}

#[async_trait]
impl Source for Flaky {
    async fn open(&mut self) -> Result<Lineage, SourceError> {
        self.inner.open().await
    }

    async fn seek(&mut self, from: Option<&Position>) -> Result<(), SourceError> {
        self.inner.seek(from).await
    }

    async fn poll(&mut self, limit: PollLimit, visitor: &mut dyn RowVisitor) -> Result<Polled, SourceError> {
        self.inner.poll(limit, visitor).await
    }

    async fn wait(&mut self, at_most: Duration) -> Result<(), SourceError> {
        if self.losses > 0 {
            self.losses -= 1;
            let reason = "connection reset".to_owned();
            return Err(SourceError::Unreachable { source_name: "flaky".to_owned(), reason });
        }
        self.inner.wait(at_most).await
    }

    async fn forget(&mut self, through: &Position) -> Result<(), SourceError> {
        self.inner.forget(through).await
    }

    async fn retained(&mut self) -> Result<u64, SourceError> {
        self.inner.retained().await
    }
}
