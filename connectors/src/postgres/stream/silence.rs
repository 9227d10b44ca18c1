//! How long a server, or the network before it, may be silent before it counts as gone. No packet says that a firewall drops packets.

use std::time::Duration;

use lienthong_contract::source::SourceError;

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// When it has not heard from us for so long, the server asks over the replication connection, and something comes. It does so at
    /// half of its `wal_sender_timeout`, which a session may set for itself; so it also lets go of a slot whose reader is gone after twice
    /// as long.
    pub(super) asked: Duration,
    /// When nothing has come over the replication connection for so long, or a question that costs the server nothing has no answer,
    /// both connections are given up. PostgreSQL's own subscribers wait as long (`wal_receiver_timeout`).
    pub(super) given_up: Duration,
}

impl Silence {
    pub(super) const USUAL: Self = Self { asked: Duration::from_secs(20), given_up: Duration::from_secs(60) };

    /// What the server is told of it when the replication connection is opened.
    pub(super) fn setting(self) -> String {
        format!("-c wal_sender_timeout={}", (self.asked * 2).as_millis())
    }

    /// Ends the wait for what the server does at once.
    pub(super) async fn bound<T>(
        self,
        name: &str,
        answer: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        tokio::time::timeout(self.given_up, answer).await.unwrap_or_else(|_| {
            let reason = format!("the server has been silent for {} s", self.given_up.as_secs());
            Err(SourceError::Unreachable { source_name: name.to_owned(), reason })
        })
    }
}
