//! A registry that refuses, fails and talks nonsense, with names and numbers in all that it says.

use anyhow::Result;
use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::kafka::Place;
use super::nationwide::Run;

/// A person's number as the code of an error, and as digits of its own.
pub(super) const CODE: &str = "1085730194";
const ECHO: &str = "Khuyểuh 001085730194";
/// Who has something to publish, and who has something to decode.
const PARTICIPANTS: [&str; 2] = ["mps.identity", "homeaffairs.admin-units"];
const SUBSCRIBERS: [&str; 2] = ["mof.tax", "moh.ehr"];
/// What it answers instead: a status, and how it says so.
const REFUSALS: [(u16, &str); 14] = [
    (400, "text"),
    (400, "json"),
    (403, "text"),
    (403, "json"),
    (404, "text"),
    (404, "json"),
    (409, "text"),
    (409, "json"),
    (422, "text"),
    (422, "json"),
    (500, "text"),
    (500, "json"),
    (503, "text"),
    (503, "json"),
];
/// A schema that no parser takes, and one that is another record's.
const NO_SCHEMA: &str =
    r#"{"type":"record","name":"Khuyểuh","fields":[{"name":"001085730194","type":"Ngõ Khuyễnh Đượngh"}]}"#;
const OTHER_SCHEMA: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"c001085730194","type":"string"}]}"#;

/// Answers as the first part of the path wants it. Dropped with the runtime.
pub(super) struct Registry {
    url: String,
}

impl Registry {
    pub(super) async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Ok(Self { url })
    }

    /// Rows of runs against each of its ways, and how they must end.
    pub(super) fn runs(&self, place: &Place) -> Vec<Vec<Run>> {
        let mut asks = Vec::new();
        // Two of each, every one a row: two connectors of one participant would keep each other waiting, and two routers share.
        let (mut connects, mut routes) = (PARTICIPANTS.map(|_| Vec::new()), SUBSCRIBERS.map(|_| Vec::new()));
        let options = |way: &str, words: &[&str]| -> Vec<String> {
            let log = place.log(&format!("{}/{way}", self.url));
            let all = [&["--log", &log, "--timeout", "1"], words].concat();
            all.into_iter().map(str::to_owned).collect()
        };
        let run = |code: i32, wanted: &str, way: &str, words: &[&str]| Run {
            codes: code..=code,
            wanted: wanted.to_owned(),
            arguments: options(way, words),
            variable: None,
        };
        let connect = |at: usize| ["connect", PARTICIPANTS[at % 2], "--once", "--metrics", "off"];
        let route = |at: usize| ["route", SUBSCRIBERS[at % 2], "--once", "--metrics", "off"];
        let (register, check) = (["schema", "register"], ["schema", "check", "--registry"]);
        for (at, (status, form)) in REFUSALS.into_iter().enumerate() {
            let way = format!("{status}.{form}");
            let (code, told) = told(status);
            let place = if status == 404 { "has no place to register" } else { told };
            asks.push(run(code, place, &way, &register));
            connects[at % 2].push(run(code, told, &way, &connect(at)));
            let told = if status == 404 { "no schema has the id" } else { told };
            routes[at % 2].push(run(code, told, &way, &route(at)));
            // What is not there has no versions.
            let (code, told) = if status == 404 { (0, "0 registered versions") } else { (4, "registry") };
            asks.push(run(code, told, &way, &check));
        }
        for (at, way) in ["nonsense.text", "nonsense.json", "nonsense.empty"].into_iter().enumerate() {
            let promises = "is not what its API promises";
            asks.push(run(4, promises, way, &register));
            asks.push(run(4, promises, way, &check));
            asks.push(run(4, promises, way, &["tail", "population"]));
            connects[at % 2].push(run(4, "its answer", way, &connect(at)));
            routes[at % 2].push(run(4, "its answer", way, &route(at)));
        }
        let schemas = [("schema.none", "is not an Avro schema"), ("schema.other", "cannot be read by")];
        for (at, (way, told)) in schemas.into_iter().enumerate() {
            asks.push(run(2, "registered version 1 of", way, &check));
            routes[at % 2].push(run(3, told, way, &route(at)));
        }
        asks.push(run(3, "is no contract of the bus", "schema.none", &["tail", "population"]));
        asks.push(run(4, "when asked for compatibility", "level.text", &register));
        [asks].into_iter().chain(connects).chain(routes).collect()
    }
}

/// Exit code and words. What the registry says of a schema halts; what may pass is waited for.
fn told(status: u16) -> (i32, &'static str) {
    match status {
        400 | 422 => (3, "does not take the schema of"),
        403 => (4, "does not let us"),
        404 => (3, "is not registered under"),
        409 => (3, "cannot read what was written before"),
        _ => (4, "it answers 50"),
    }
}

async fn answer(method: Method, uri: Uri) -> Response {
    let (way, path) = uri.path().trim_start_matches('/').split_once('/').unwrap_or_default();
    let (kind, form) = way.split_once('.').unwrap_or_default();
    let status = kind.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
    let (status, body) = match (status, kind) {
        // The level of a subject is set before its schema is registered.
        _ if method == Method::PUT && kind != "level" => (StatusCode::OK, refusal("json", StatusCode::OK)),
        (Some(status), _) => (status, refusal(form, status)),
        (None, "schema") => (StatusCode::OK, schema(form, path)),
        (None, "level") => {
            (StatusCode::UNPROCESSABLE_ENTITY, refusal(form, StatusCode::UNPROCESSABLE_ENTITY))
        }
        (None, _) => (StatusCode::OK, nonsense(form)),
    };
    let kind = if form == "text" { "text/plain; charset=utf-8" } else { "application/json" };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    let echo = HeaderValue::from_bytes(ECHO.as_bytes());
    if let Ok(echo) = echo {
        response.headers_mut().insert(header::WARNING, echo.clone());
        response.headers_mut().insert(header::SERVER, echo);
    }
    response
}

/// As registries refuse; one code is none of theirs.
fn refusal(form: &str, status: StatusCode) -> String {
    let code = match status.as_u16() {
        400 => CODE.to_owned(),
        409 => "409".to_owned(),
        status => format!("{status}01"),
    };
    match form {
        "json" => format!(r#"{{"error_code":{code},"message":"{ECHO}"}}"#),
        _ => format!("{ECHO}, Ngõ Khuyễnh Đượngh"),
    }
}

/// Well, and not what was asked for.
fn nonsense(form: &str) -> String {
    match form {
        "text" => ECHO.to_owned(),
        "json" => format!(r#"{{"id":"{ECHO}","schema":{CODE},"version":"{ECHO}","{ECHO}":["{ECHO}"]}}"#),
        _ => format!(r#"{{"message":"{ECHO}"}}"#),
    }
}

/// Where a schema's text is asked for, another text stands.
fn schema(form: &str, path: &str) -> String {
    if path.ends_with("/versions") {
        return "[1]".to_owned();
    }
    let text = if form == "none" { NO_SCHEMA } else { OTHER_SCHEMA };
    serde_json::json!({"schema": text, "subject": ECHO, "message": ECHO}).to_string()
}
