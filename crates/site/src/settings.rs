//! `lienthong.yaml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lienthong_schemas::Problem;

use crate::keys::{Keys, keys};
use crate::log_address::LogAddress;
use crate::node::{Node, Place};
use crate::reader::Reader;
use crate::secret::Secret;

const KEYS: [&str; 6] = ["site", "log", "keys", "paths", "telemetry", "route"];
/// Seconds: an idle connector looks at its source every second; after a day nobody waits any more.
const STALLED_AFTER: (u64, u64) = (5, 86_400);
const PATHS: [&str; 4] = ["schemas", "ministries", "agreements", "procedures"];

/// Seconds: below one, a busy machine looks like a dead one; above half an hour brokers refuse.
const SESSION: (u64, u64) = (1, 1_800);

const ROUTE: [&str; 1] = ["session"];
const TELEMETRY: [&str; 4] = ["otlp", "metrics", "sample", "stalled_after"];

/// Where a process tells of itself.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// URL of an OTLP collector.
    pub otlp: Option<Secret>,
    /// Address on which `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics: Option<SocketAddr>,
    /// Share of events that are traced.
    pub sample: f64,
    /// How long work may stand still before `/readyz` says no.
    pub stalled_after: Duration,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp: None, metrics: None, sample: 0.01, stalled_after: Duration::from_secs(60) }
    }
}

/// How routers share their work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// How long a router may be silent before others take its partitions; `None`: as the router has it.
    pub session: Option<Duration>,
}

/// A folder of the site.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Relative to the site.
    pub(crate) path: PathBuf,
    /// Where it is named; `None` for the default.
    pub(crate) at: Option<Place>,
}

/// The folders of a site.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) schemas: Folder,
    pub(crate) ministries: Folder,
    pub(crate) agreements: Folder,
}

impl Default for Folders {
    fn default() -> Self {
        let folder = |path: &str| Folder { path: path.into(), at: None };
        Self {
            schemas: folder("schemas/avro"),
            ministries: folder("connectors/ministries"),
            agreements: folder("router/agreements"),
        }
    }
}

/// `lienthong.yaml`, as far as it could be read.
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) log: Option<LogAddress>,
    pub(crate) keys: Option<Result<Keys, Problem>>,
    pub(crate) folders: Folders,
    pub(crate) telemetry: Telemetry,
    pub(crate) route: Routing,
}

/// Reads the file. With `other_log` the site's own log is not used, so what it lacks is no mistake.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node, other_log: bool) -> Settings {
    let Some(map) = reader.map(root, "lienthong.yaml", &KEYS) else {
        return Settings {
            name: None,
            log: None,
            keys: None,
            folders: Folders::default(),
            telemetry: Telemetry::default(),
            route: Routing::default(),
        };
    };
    let name = reader.required_text(&map, "site").map(|text| text.value);
    let log = if other_log {
        None
    } else {
        reader.required(&map, "log").and_then(|node| LogAddress::read(reader, node))
    };
    let keys = keys(reader, map.get("keys"), map.at);
    let folders = map.get("paths").map(|node| folders(reader, node)).unwrap_or_default();
    let telemetry = map.get("telemetry").map(|node| telemetry(reader, node)).unwrap_or_default();
    let route = map.get("route").map(|node| route(reader, node)).unwrap_or_default();
    Settings { name, log, keys, folders, telemetry, route }
}

fn folders(reader: &mut Reader<'_>, node: &Node) -> Folders {
    let mut folders = Folders::default();
    let Some(map) = reader.map(node, "`paths`", &PATHS) else { return folders };
    for (key, folder) in [
        ("schemas", &mut folders.schemas),
        ("ministries", &mut folders.ministries),
        ("agreements", &mut folders.agreements),
    ] {
        if let Some(text) = reader.optional_text(&map, key) {
            *folder = Folder { path: text.value.into(), at: Some(text.at) };
        }
    }
    // Procedures are the monitor's; only the form is checked here.
    let _ = reader.optional_text(&map, "procedures");
    folders
}

fn telemetry(reader: &mut Reader<'_>, node: &Node) -> Telemetry {
    let otherwise = Telemetry::default();
    let Some(map) = reader.map(node, "`telemetry`", &TELEMETRY) else { return otherwise };
    let otlp = reader.optional_text(&map, "otlp");
    let http = otlp.as_ref().is_none_or(|text| is_http(&text.value));
    if let Some(text) = otlp.as_ref().filter(|_| !http) {
        reader.problem(text.at, "`otlp` is no http address", "write http://host:4318, or null");
    }
    let metrics = reader.optional_text(&map, "metrics").and_then(|text| {
        let address = text.value.parse().ok();
        if address.is_none() {
            reader.problem(text.at, "`metrics` is no address", "write 127.0.0.1:9464");
        }
        address
    });
    let sample = map.get("sample").and_then(|node| reader.share(node, "sample"));
    let stalled_after = reader.optional_text(&map, "stalled_after");
    let stalled_after = stalled_after.and_then(|text| reader.duration(&text, "stalled_after", STALLED_AFTER));
    Telemetry {
        otlp: otlp.map(|text| Secret::new(&text.value)),
        metrics,
        sample: sample.unwrap_or(otherwise.sample),
        stalled_after: stalled_after.unwrap_or(otherwise.stalled_after),
    }
}

fn route(reader: &mut Reader<'_>, node: &Node) -> Routing {
    let Some(map) = reader.map(node, "`route`", &ROUTE) else { return Routing::default() };
    let session = reader.optional_text(&map, "session");
    Routing { session: session.and_then(|text| reader.duration(&text, "session", SESSION)) }
}

fn is_http(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.starts_with('/') && !rest.is_empty() && !rest.contains(char::is_whitespace))
}
