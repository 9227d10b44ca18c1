//! docs/metrics.md, made from `names`.

use std::fmt::Write as _;

use crate::names::{ALL, Kind};

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Made from `crates/telemetry/src/names.rs` by `UPDATE_DOCS=1 cargo test -p lienthong-telemetry`; a test compares. How to scrape them: \
         [observability.md](observability.md).\n\n\
         Label values are names of configuration and contracts or words of a fixed list; a value that has not the form of a name is shown as \
         `invalid`. What is unknown is NaN, never 0. Topics and groups stand without the prefix of a shared Kafka cluster; `cluster_name` is the site.\n\n\
         | name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Seconds | Kind::Events => "histogram",
        };
        let labels = if metric.labels.is_empty() { "-".to_owned() } else { metric.labels.join(", ") };
        // Writing to a String does not fail.
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {} | {labels} | {} |",
            metric.name, metric.unit, metric.meaning
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_the_one_made_from_the_names() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, markdown()).expect("docs/metrics.md can be written");
        }
        let page = std::fs::read_to_string(&path).expect("docs/metrics.md is there");
        assert!(
            page == markdown(),
            "docs/metrics.md is old: run UPDATE_DOCS=1 cargo test -p lienthong-telemetry"
        );
    }
}
