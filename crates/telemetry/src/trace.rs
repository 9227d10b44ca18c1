//! Spans on their way to an OTLP collector: one trace per sampled event, from its commit to its row.
//!
//! A span is made whole, with both its times, after what it tells of has happened. So a batch costs nothing while it runs, no context is
//! carried through the code, and no log line can become part of a span.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents,
    SpanExporter, SpanLinks, SpanProcessor as _,
};

use crate::label::Label;
use crate::metrics::{Counter, Metrics};
use crate::names::TRACE_SPANS;
use crate::trace_context::{TraceContext, sampled, threshold};

/// A collector that does not answer is given up after this.
const EXPORT: Duration = Duration::from_secs(3);
/// Spans wait so long for others to go with them.
const DELAY: Duration = Duration::from_secs(1);
/// Spans that wait at most; what comes above is lost, never the work.
const QUEUE: usize = 8_192;

/// Where a process's spans go.
#[derive(Clone)]
pub struct TraceOptions {
    /// URL of a collector for OTLP over HTTP, with or without `/v1/traces`.
    pub otlp: String,
    /// Share of events that are traced, 0 to 1.
    pub sample: f64,
    /// `lienthong-connect` or `lienthong-route`.
    pub service: &'static str,
    /// Version of the program.
    pub version: &'static str,
}

// The address may hold a password.
impl fmt::Debug for TraceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceOptions({}, {} of all events)", self.service, self.sample)
    }
}

/// Traces cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent: {problem}; fix: write `otlp: http://host:4318`, or null, in `telemetry`")]
pub struct TraceError {
    problem: &'static str,
}

/// A stage of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the commit at the source until the connector asked for it.
    Capture,
    /// Until it was durable in the log.
    Publish,
    /// Guard, filter, projection.
    Route,
    /// The transaction in the subscriber's database.
    Apply,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Publish => "publish",
            Self::Route => "route",
            Self::Apply => "apply",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Capture => SpanKind::Internal,
            Self::Publish => SpanKind::Producer,
            Self::Route => SpanKind::Consumer,
            Self::Apply => SpanKind::Client,
        }
    }

    /// OpenTelemetry's `messaging.operation.type`, where there is one.
    fn operation_type(self) -> Option<&'static str> {
        match self {
            Self::Publish => Some("send"),
            Self::Route => Some("process"),
            Self::Capture | Self::Apply => None,
        }
    }
}

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    /// What it tells of.
    pub stage: Stage,
    /// Its trace and its own id.
    pub context: TraceContext,
    /// The span that led to it; `None` for the first.
    pub parent: Option<u64>,
    /// Begin and end, microseconds since 1970.
    pub times: (i64, i64),
    /// Attributes.
    pub labels: Vec<Label>,
}

/// Sends spans; does nothing by default. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

struct Inner {
    processor: BatchSpanProcessor,
    threshold: u64,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Traces {
    /// Begins to send. Nothing is asked of the collector yet: one that is away costs spans, never the work.
    ///
    /// # Errors
    /// The address is no URL.
    pub fn start(options: &TraceOptions, metrics: &Metrics) -> Result<Self, TraceError> {
        let base = options.otlp.trim_end_matches('/');
        let endpoint =
            if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT)
            .build()
            // The client's own text repeats the address.
            .map_err(|_| TraceError { problem: "the address of the collector is no URL" })?;
        let counted = |outcome| metrics.counter(&TRACE_SPANS, vec![Label::Outcome(outcome)]);
        let telling = Telling {
            exporter,
            exported: counted("exported"),
            lost: counted("lost"),
            failing: AtomicBool::new(false),
        };
        let config =
            BatchConfigBuilder::default().with_scheduled_delay(DELAY).with_max_queue_size(QUEUE).build();
        let mut processor = BatchSpanProcessor::builder(telling).with_batch_config(config).build();
        let version = KeyValue::new("service.version", options.version);
        processor.set_resource(
            &Resource::builder().with_service_name(options.service).with_attribute(version).build(),
        );
        Ok(Self(Some(Arc::new(Inner {
            processor,
            threshold: threshold(options.sample),
            ids: RandomIdGenerator::default(),
            scope: InstrumentationScope::builder("lienthong").with_version(options.version).build(),
        }))))
    }

    /// Whether spans go anywhere.
    #[must_use]
    pub fn on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the event with this id is traced.
    #[must_use]
    pub fn samples(&self, id: &str) -> bool {
        self.0.as_ref().is_some_and(|inner| sampled(id, inner.threshold))
    }

    /// A new span under `parent`.
    #[must_use]
    pub fn child(&self, parent: TraceContext) -> TraceContext {
        let span = self.0.as_ref().map_or(1, |inner| u64::from_be_bytes(inner.ids.new_span_id().to_bytes()));
        TraceContext { trace: parent.trace, span }
    }

    /// Puts a span into the queue; never waits.
    pub fn record(&self, span: Span) {
        if let Some(inner) = &self.0 {
            inner.processor.on_end(data(span, inner.scope.clone()));
        }
    }

    /// Sends what waits, at most for `at_most`, and ends. Blocks: not on an async worker.
    pub fn finish(&self, at_most: Duration) {
        if let Some(inner) = &self.0
            && inner.processor.shutdown_with_timeout(at_most).is_err()
        {
            tracing::warn!("the collector did not take the last traces in time");
        }
    }
}

fn data(span: Span, scope: InstrumentationScope) -> SpanData {
    let Span { stage, context, parent, times, labels } = span;
    let mut attributes: Vec<KeyValue> = labels.iter().map(attribute).collect();
    attributes.extend(stage.operation_type().map(|kind| KeyValue::new("messaging.operation.type", kind)));
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(context.trace),
            SpanId::from(context.span),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: stage == Stage::Route,
        span_kind: stage.kind(),
        name: stage.name().into(),
        start_time: instant(times.0),
        // Clocks of two machines may disagree; a span never ends before it began.
        end_time: instant(times.1.max(times.0)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope,
    }
}

fn attribute(label: &Label) -> KeyValue {
    let value: Value = match label {
        Label::MessagingOffset(offset) => (*offset).into(),
        other => other.value().into(),
    };
    KeyValue::new(label.attribute(), value)
}

fn instant(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.max(0).unsigned_abs())
}

/// Counts what gets through, and says once when nothing does and once when it does again.
#[derive(Debug)]
struct Telling {
    exporter: opentelemetry_otlp::SpanExporter,
    exported: Counter,
    lost: Counter,
    failing: AtomicBool,
}

impl SpanExporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let outcome = self.exporter.export(batch).await;
        let failed = outcome.is_err();
        if failed { &self.lost } else { &self.exported }.add(count);
        if self.failing.swap(failed, Ordering::Relaxed) != failed {
            if failed {
                tracing::warn!("the collector takes no traces; they are lost until it does, nothing else is");
            } else {
                tracing::info!("the collector takes traces again");
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
