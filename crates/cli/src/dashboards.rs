//! What Grafana and Prometheus ask for, against the list of metrics in docs/metrics.md.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::containers::{text, yaml};

/// Everything that Grafana and Prometheus ask for, with the place.
fn queries() -> Vec<(String, String)> {
    let dashboard = text("deploy/observability/grafana/dashboards/lienthong.json");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            queries.push((title.to_owned(), target["expr"].as_str().expect("a query").to_owned()));
        }
    }
    let rules = yaml("deploy/observability/rules.yml");
    for rule in rules["groups"][0]["rules"].as_array().expect("rules") {
        let name = rule["alert"].as_str().expect("a name");
        queries.push((name.to_owned(), rule["expr"].as_str().expect("a query").to_owned()));
    }
    assert!(queries.len() > 20, "{} queries", queries.len());
    queries
}

/// Names of a query: what is no number, no function, no word of the language, and stands in no quotes.
fn names(query: &str) -> Vec<&str> {
    const WORDS: [&str; 9] =
        ["by", "sum", "rate", "increase", "time", "histogram_quantile", "le", "max", "without"];
    let unquoted = query.split('"').step_by(2);
    let words = unquoted.flat_map(|part| part.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
    words
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()) && !WORDS.contains(word))
        .collect()
}

#[test]
fn panels_and_rules_ask_only_for_metrics_and_labels_that_exist() {
    let mut known: BTreeSet<String> = ["up", "job", "instance"].map(str::to_owned).into();
    for line in text("docs/metrics.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        if cells[2] == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|ending| format!("{name}{ending}")));
        } else {
            known.insert(name.to_owned());
        }
        known.extend(cells[4].split(", ").map(str::to_owned));
    }
    for (place, query) in queries() {
        for name in names(&query) {
            assert!(known.contains(name), "{place}: `{name}` is neither a metric nor a label: {query}");
        }
    }
}
