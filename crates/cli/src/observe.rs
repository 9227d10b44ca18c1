//! What a running process shows of itself: metrics, health and traces, from one place for `connect` and `route`.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lienthong_site::{LogAddress, Telemetry};
use lienthong_telemetry::{
    ConnectorMeters, Health, Label, Metrics, Name, Server, SubscriptionMeters, System, TraceOptions, Traces,
    names,
};
use tokio_util::sync::CancellationToken;

use crate::args::MetricsAddress;
use crate::commands::Context;
use crate::exit::{Code, Failure};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A process ends within ten seconds of being asked; this much of them is for the work and its traces.
const STOP: Duration = Duration::from_millis(9_500);
/// Sending the last traces takes at least and at most so long.
const FLUSH: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(4));

/// One process's metrics, health and traces.
pub(crate) struct Observer {
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) traces: Traces,
    /// How long work may stand still.
    pub(crate) stalled_after: Duration,
    /// Name of the site, as dashboards name a cluster.
    pub(crate) cluster: Name,
    system: System,
    server: Option<Server>,
    /// When the process was asked to end.
    asked: Arc<OnceLock<Instant>>,
}

impl Observer {
    /// Takes the address before any work begins: a port that is in use is told at once.
    pub(crate) async fn start(
        context: &Context,
        service: &'static str,
        metrics_address: Option<MetricsAddress>,
    ) -> Result<Self, Failure> {
        let site = &context.site;
        let (metrics, health) = (Metrics::default(), Health::default());
        let configuration =
            |error: &dyn std::error::Error| Failure::new(Code::Configuration, error.to_string());
        let traces = traces(&site.telemetry, service, &metrics).map_err(|error| configuration(&error))?;
        let address = match metrics_address {
            Some(MetricsAddress::Off) => None,
            Some(MetricsAddress::At(address)) => Some(address),
            None => site.telemetry.metrics,
        };
        let server = match address {
            Some(address) => {
                let started = Server::start(address, metrics.clone(), health.clone()).await;
                Some(started.map_err(|error| configuration(&error))?)
            }
            None => None,
        };
        if let Some(server) = &server {
            tracing::info!(address = %server.address(), "serving /metrics, /healthz and /readyz");
        }
        let ready = health.clone();
        metrics.read(move |readings| {
            readings.give(&names::BUILD, vec![Label::Version(VERSION)], Some(1.0));
            readings.give(&names::READY, Vec::new(), Some(f64::from(u8::from(ready.problems().is_empty()))));
        });
        Ok(Self {
            metrics,
            health,
            traces,
            stalled_after: site.telemetry.stalled_after,
            cluster: Name::new(&site.name),
            system: match site.log {
                LogAddress::Embedded(_) => System::Embedded,
                LogAddress::Kafka(_) => System::Kafka,
            },
            server,
            asked: remember(&context.shutdown),
        })
    }

    /// Whether anybody may ask: otherwise nothing is asked of the log for it.
    pub(crate) fn served(&self) -> bool {
        self.server.is_some()
    }

    /// What a connector counts.
    pub(crate) fn connector_meters(&self, participant: &str) -> ConnectorMeters {
        ConnectorMeters::new(&self.metrics, participant, self.system)
    }

    /// What a subscription counts.
    pub(crate) fn subscription_meters(&self, whose: (&str, &str), group: &str) -> SubscriptionMeters {
        SubscriptionMeters::new(&self.metrics, whose, group, self.system)
    }

    /// Sends the last traces, within the time that a stop may take.
    pub(crate) async fn finish(self) {
        if !self.traces.on() {
            return;
        }
        let used = self.asked.get().map_or(Duration::ZERO, Instant::elapsed);
        let at_most = STOP.saturating_sub(used).clamp(FLUSH.0, FLUSH.1);
        let traces = self.traces.clone();
        if tokio::task::spawn_blocking(move || traces.finish(at_most)).await.is_err() {
            tracing::warn!("the last traces could not be sent");
        }
    }
}

fn traces(
    telemetry: &Telemetry,
    service: &'static str,
    metrics: &Metrics,
) -> Result<Traces, lienthong_telemetry::TraceError> {
    let Some(otlp) = &telemetry.otlp else { return Ok(Traces::default()) };
    let otlp = otlp.expose().to_owned();
    Traces::start(&TraceOptions { otlp, sample: telemetry.sample, service, version: VERSION }, metrics)
}

fn remember(shutdown: &CancellationToken) -> Arc<OnceLock<Instant>> {
    let asked = Arc::new(OnceLock::new());
    let (shutdown, remembered) = (shutdown.clone(), Arc::clone(&asked));
    tokio::spawn(async move {
        shutdown.cancelled().await;
        remembered.get_or_init(Instant::now);
    });
    asked
}
