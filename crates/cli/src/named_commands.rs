//! Commands that texts of this project tell people to run must exist: every one is given to the parser of the command line.

use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};

use crate::args::Cli;

/// Commands that are planned: a text that names one before it is there sends people astray.
const PLANNED: [&str; 4] = ["monitor", "replay", "quarantine", "receipts"];

/// Sources whose texts people see; tests and generated help are none of them.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "tests" | "target" | "testkit" | "benches") {
                sources(&path, found);
            }
        } else if name.ends_with(".rs")
            && !name.ends_with("tests.rs")
            && name != "args.rs"
            && name != "named_commands.rs"
        {
            found.push(path);
        }
    }
}

/// Words behind `lienthong ` as one would type them: up to the end of the quotation, placeholders filled in.
fn typed(text: &str) -> Vec<String> {
    let end = text.find(['`', '"', ',', ';', '(', ')', ':', '\'', '\\']).unwrap_or(text.len());
    let mut words = Vec::new();
    for word in text[..end].split_whitespace() {
        if word == "&&" || word == ">" {
            break;
        }
        let filled = if word.contains(['{', '<']) { "x" } else { word };
        words.push(filled.trim_end_matches('.').to_owned());
    }
    words
}

/// The commands named in a source's texts, with their lines. A line of comment names nothing to anybody who meets an error.
fn named(source: &str) -> Vec<(usize, Vec<String>)> {
    let names: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let is_command = |word: &String| names.contains(word) || PLANNED.contains(&word.as_str());
    let lines = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|(number, line)| {
            line.match_indices("lienthong ").map(move |(at, word)| (number + 1, &line[at + word.len()..]))
        })
        .map(|(number, text)| (number, typed(text)))
        .filter(|(_, words)| words.first().is_some_and(is_command))
        .collect()
}

#[test]
fn every_command_that_a_text_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["crates", "connectors", "router", "schemas"] {
        sources(&root.join(folder), &mut files);
    }
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        let source = std::fs::read_to_string(&file).expect("source");
        for (line, words) in named(&source) {
            seen += 1;
            let typed = std::iter::once("lienthong".to_owned()).chain(words.iter().cloned());
            if let Err(error) = Cli::try_parse_from(typed) {
                wrong.push(format!(
                    "{}:{line}: lienthong {}: {:?}",
                    file.display(),
                    words.join(" "),
                    error.kind()
                ));
            }
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
    assert!(wrong.is_empty(), "these do not exist:\n{}", wrong.join("\n"));
}

#[test]
fn what_does_not_exist_is_found() {
    let first = |text: &str| named(text).into_iter().next().map(|(_, words)| words.join(" "));
    assert_eq!(first(r#"fix: "run `lienthong topics create`""#).as_deref(), Some("topics create"));
    assert_eq!(
        first(r#"format!("lienthong connect {source} --prepare, run by")"#).as_deref(),
        Some("connect x --prepare")
    );
    assert_eq!(first(r#""lienthong check --online names""#).as_deref(), Some("check --online names"));
    assert_eq!(first(r#""(lienthong snapshot), then""#).as_deref(), Some("snapshot"));
    assert_eq!(first(r#"format!("lienthong connector {}", name)"#), None);
    assert!(Cli::try_parse_from(["lienthong", "check", "--onlime"]).is_err());
    assert!(Cli::try_parse_from(["lienthong", "connect", "x", "--prepare"]).is_ok());
}
