//! One trace from a commit at the source to the commit at the subscriber, as a collector receives it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use lienthong_testkit::postgres::TestDatabase;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::nation::{Publisher, create_copy};
use crate::site::{Engine, PARTICIPANT, Site};

/// A trace's spans by name.
pub(crate) type Spans = BTreeMap<String, Vec<Span>>;

/// Takes OTLP over HTTP and keeps what it was sent.
pub(crate) struct Collector {
    pub(crate) url: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    pub(crate) async fn start() -> Result<Self> {
        let bodies: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        let take = move |body: Bytes| async move {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { url, bodies })
    }

    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Spans by trace and name.
    pub(crate) fn traces(&self) -> Result<BTreeMap<Vec<u8>, Spans>> {
        let mut traces: BTreeMap<Vec<u8>, Spans> = BTreeMap::new();
        for body in self.bodies() {
            let request = ExportTraceServiceRequest::decode(body)?;
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            for span in scopes.flat_map(|scope| scope.spans) {
                let trace = traces.entry(span.trace_id.clone()).or_default();
                trace.entry(span.name.clone()).or_default().push(span);
            }
        }
        Ok(traces)
    }
}

fn text(span: &Span, attribute: &str) -> Option<String> {
    let found = span.attributes.iter().find(|known| known.key == attribute)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(crate) fn only<'s>(spans: &'s Spans, name: &str) -> Result<&'s Span> {
    match spans.get(name).map(Vec::as_slice) {
        Some([span]) => Ok(span),
        other => anyhow::bail!("{} spans {name}", other.map_or(0, <[Span]>::len)),
    }
}

/// Every attribute that a span may have; nothing else leaves, whatever its name.
const ATTRIBUTES: [&str; 13] = [
    "lienthong.event",
    "lienthong.family",
    "lienthong.outcome",
    "lienthong.participant",
    "lienthong.subject_hash",
    "lienthong.subscriber",
    "messaging.consumer.group.name",
    "messaging.destination.name",
    "messaging.destination.partition.id",
    "messaging.kafka.offset",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
];

fn check(collector: &Collector, system: &str, subscribers: usize, events: usize) -> Result<()> {
    let traces = collector.traces()?;
    assert_eq!(traces.len(), events, "one trace per event");
    let (mut subjects, mut topics) = (BTreeSet::new(), BTreeSet::new());
    for spans in traces.values() {
        let (capture, publish) = (only(spans, "capture")?, only(spans, "publish")?);
        assert!(capture.parent_span_id.is_empty(), "the commit is the root");
        assert_eq!(publish.parent_span_id, capture.span_id);
        assert!(capture.start_time_unix_nano <= capture.end_time_unix_nano);
        assert!(capture.end_time_unix_nano <= publish.end_time_unix_nano);
        assert_eq!(text(capture, "lienthong.event").as_deref(), Some("admin_unit.changed"));
        topics.extend(text(publish, "messaging.destination.name"));
        assert_eq!(text(publish, "messaging.system").as_deref(), Some(system));
        subjects.insert(text(capture, "lienthong.subject_hash"));
        let (routes, applies) = (&spans["route"], &spans["apply"]);
        assert_eq!((routes.len(), applies.len()), (subscribers, subscribers));
        for route in routes {
            assert_eq!(route.parent_span_id, publish.span_id);
            let apply = applies.iter().find(|apply| apply.parent_span_id == route.span_id);
            let apply = apply.context("a route without its apply")?;
            assert!(route.end_time_unix_nano <= apply.end_time_unix_nano);
            assert_eq!(text(apply, "lienthong.subscriber"), text(route, "lienthong.subscriber"));
            assert_eq!(text(route, "messaging.operation.type").as_deref(), Some("process"));
        }
        for span in spans.values().flatten() {
            assert!(span.events.is_empty() && span.links.is_empty());
            for attribute in &span.attributes {
                assert!(ATTRIBUTES.contains(&attribute.key.as_str()), "{} of {}", attribute.key, span.name);
            }
        }
    }
    assert_eq!(subjects.len(), events, "each subject has a hash of its own");
    assert!(topics.iter().eq(["lt.admin_unit.bulk", "lt.admin_unit.live"]), "both lanes: {topics:?}");
    for body in collector.bodies() {
        // Names, subjects and keys of the rows.
        for value in ["Xã", "xã", "commune", "00001", "2025-07-01"] {
            ensure!(!body.windows(value.len()).any(|part| part == value.as_bytes()), "{value} was sent");
        }
    }
    Ok(())
}

async fn one_trace(
    engine: Engine,
    system: &str,
    publisher: &str,
    subscribers: &[(&str, &str)],
) -> Result<()> {
    let collector = Collector::start().await?;
    let site = Site::new(engine, publisher, subscribers)?;
    site.telemetry(&format!("{{otlp: \"{}\", sample: 1}}", collector.url))?;
    let mut owner = Publisher::create(publisher).await?;
    owner.insert(5).await?;
    for (_, subscriber) in subscribers {
        create_copy(subscriber).await?;
    }
    site.prepare()?;
    for more in [0, 2] {
        owner.insert(more).await?;
        site.succeed(&["connect", PARTICIPANT, "--once"])?;
        site.succeed(&["route", "--once"])?;
    }
    check(&collector, system, subscribers.len(), 7)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_one_trace_from_commit_to_row_on_the_embedded_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let subscribers = [("nso.statistics", subscriber.as_str())];
    one_trace(Engine::Embedded, "lienthong_embedded", &publisher, &subscribers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_one_trace_from_commit_to_each_subscribers_row_over_kafka() -> Result<()> {
    let (publisher, first) = (TestDatabase::create().await?, TestDatabase::create().await?);
    let folder = tempfile::tempdir()?;
    let second = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let subscribers = [("nso.statistics", first.url()), ("psp.cases", second.as_str())];
    one_trace(Engine::Kafka, "kafka", publisher.url(), &subscribers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_answer_costs_neither_work_nor_the_time_of_a_stop() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    // The kernel accepts, nobody ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let site = Site::new(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)])?;
    site.telemetry(&format!("{{otlp: \"http://{}\", sample: 1}}", silent.local_addr()?))?;
    let mut owner = Publisher::create(&publisher).await?;
    owner.insert(100).await?;
    create_copy(&subscriber).await?;
    site.prepare()?;
    let (mut connector, mut router) = (site.start(&["connect", PARTICIPANT])?, site.start(&["route"])?);
    let expected = owner.rows().await?;
    let arrived = async || Ok(crate::nation::copy(&subscriber).await? == expected);
    lienthong_testkit::eventually(Duration::from_secs(30), arrived).await?;
    for child in [&mut connector, &mut router] {
        let asked = Instant::now();
        let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        assert!(kill.success());
        assert_eq!(child.wait()?.code(), Some(130));
        assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    }
    Ok(())
}
