//! `/metrics`, `/healthz` and `/readyz` over plain HTTP. It only reads what the work has left for it, and never waits for the work.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::health::Health;
use crate::metrics::Metrics;

/// What Prometheus asks for first.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// The address could not be taken.
#[derive(Debug, thiserror::Error)]
#[error(
    "metrics cannot be served at {address}: {reason}; fix: free the port, or give this process another one with --metrics ADDRESS"
)]
pub struct ServeError {
    address: SocketAddr,
    reason: std::io::ErrorKind,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    health: Health,
}

impl Server {
    /// Takes the address and begins to answer.
    ///
    /// # Errors
    /// The address is in use, or is not this machine's.
    pub async fn start(address: SocketAddr, metrics: Metrics, health: Health) -> Result<Self, ServeError> {
        let failed = |error: std::io::Error| ServeError { address, reason: error.kind() };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let routes = Router::new()
            .route("/metrics", get(scrape))
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .with_state(Shared { metrics, health });
        let task = tokio::spawn(async move {
            // Ends only with the task: axum tries again after errors of single connections.
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::warn!(kind = %error.kind(), "metrics are no longer served");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it answers; port 0 has become a real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn scrape(State(shared): State<Shared>) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, OPENMETRICS)], shared.metrics.text())
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let problems = shared.health.problems();
    if problems.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    #[tokio::test]
    async fn three_paths_answer_and_a_taken_port_is_told() {
        let (metrics, health) = (Metrics::default(), Health::default());
        let any = "127.0.0.1:0".parse().expect("an address");
        let server = Server::start(any, metrics.clone(), health.clone()).await.expect("started");
        assert!(get(server.address(), "/metrics").await.contains("# EOF"));
        assert!(get(server.address(), "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(server.address(), "/readyz").await.starts_with("HTTP/1.1 503"));
        health.tell("work", Ok(()));
        assert!(get(server.address(), "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(server.address(), "/").await.starts_with("HTTP/1.1 404"));
        let error = Server::start(server.address(), metrics, health).await.expect_err("it is taken");
        assert!(error.to_string().contains("address in use; fix: free the port"), "{error}");
    }
}
