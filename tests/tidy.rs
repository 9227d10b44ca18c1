//! Rules of the house that no compiler checks. A failure names the file, the line and the rule; the rules stand in
//! CONTRIBUTING.md and ARCHITECTURE.md.

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/doors.rs"]
mod doors;
#[path = "tidy/tree.rs"]
mod tree;

use code::{error_enums, traits, without_tests, without_words};
use tree::{File, Finding, expect_none, line_of, required, rust_files, text_files, workspace_file};

const HARD_LIMIT: usize = 600;
const P90_LIMIT: usize = 400;
const README_LIMIT: usize = 150;
const ARCHITECTURE_LIMIT: usize = 250;
const TRAIT_LIMIT: usize = 6;
const ENUM_LIMIT: usize = 12;

#[test]
fn packages_depend_on_each_other_as_the_table_of_doors_says() {
    let table = required("ARCHITECTURE.md");
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(workspace_file("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata describes the workspace");
    expect_none(&doors::compare(&table, &doors::packages(&metadata)));
}

#[test]
fn files_stay_short() {
    let files = rust_files();
    let mut found = Vec::new();
    let mut lengths: Vec<usize> = Vec::new();
    for file in &files {
        let lines = file.text.lines().count();
        lengths.push(lines);
        if lines > HARD_LIMIT {
            found.push(file.finding(HARD_LIMIT, format!("has {lines} lines; {HARD_LIMIT} is the limit")));
        }
    }
    lengths.sort_unstable();
    let (median, p90) = (lengths[lengths.len() / 2], lengths[(lengths.len() * 9).div_ceil(10) - 1]);
    println!("{} files of Rust: median {median} lines, p90 {p90}", lengths.len());
    if p90 > P90_LIMIT {
        found.push(Finding::new(
            ".",
            0,
            format!("nine in ten files have up to {p90} lines; {P90_LIMIT} is the limit"),
        ));
    }
    expect_none(&found);
}

#[test]
fn every_module_says_first_what_it_is_for() {
    let mut found = Vec::new();
    for file in rust_files().iter().filter(|file| file.path.split('/').any(|part| part == "src")) {
        let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let says = first
            .strip_prefix("//!")
            .is_some_and(|doc| doc.chars().filter(|c| c.is_alphabetic()).count() > 3);
        if !says {
            found.push(
                file.finding(1, "starts without a `//!` line that says what the module is for".to_owned()),
            );
        }
    }
    expect_none(&found);
}

#[test]
fn no_unfinished_code_and_no_unwrap_outside_tests() {
    let mut found = Vec::new();
    for file in rust_files() {
        let code = without_words(&file.text);
        for word in ["todo!", "unimplemented!", "dbg!"] {
            for at in occurrences(&code, word) {
                found.push(file.finding(line_of(&code, at), format!("`{word}` is unfinished code")));
            }
        }
        if file.is_test() {
            continue;
        }
        for (at, _) in without_tests(&code).match_indices(".unwrap()") {
            let rule =
                "`.unwrap()` outside tests: return an error, or `expect` with the reason why it cannot fail";
            found.push(file.finding(line_of(&code, at), rule.to_owned()));
        }
    }
    expect_none(&found);
}

#[test]
fn doors_are_small() {
    let mut found = Vec::new();
    for file in rust_files() {
        let code = without_words(&file.text);
        for item in traits(&code) {
            // The log's trait is wider by design: every engine must answer all of it, and one conformance suite runs against each.
            if item.size > TRAIT_LIMIT && item.name != "Log" {
                let rule =
                    format!("trait {} requires {} methods; {TRAIT_LIMIT} is the limit", item.name, item.size);
                found.push(file.finding(item.line, rule));
            }
        }
        for item in error_enums(&code) {
            if item.size > ENUM_LIMIT {
                let rule =
                    format!("error enum {} has {} variants; {ENUM_LIMIT} is the limit", item.name, item.size);
                found.push(file.finding(item.line, rule));
            }
        }
    }
    expect_none(&found);
}

#[test]
fn the_first_documents_can_be_read_in_one_sitting() {
    let mut found = Vec::new();
    for (name, limit) in [("README.md", README_LIMIT), ("ARCHITECTURE.md", ARCHITECTURE_LIMIT)] {
        let lines = required(name).text.lines().count();
        if lines > limit {
            found.push(Finding::new(name, limit, format!("has {lines} lines; {limit} is the limit")));
        }
    }
    expect_none(&found);
}

#[test]
fn nothing_names_a_folder_of_somebodys_machine() {
    let mut found = Vec::new();
    for file in text_files() {
        for folder in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/k")] {
            for (at, _) in file.text.match_indices(folder) {
                let before = file.text[..at].chars().next_back().unwrap_or(' ');
                let after = file.text[at + folder.len()..].chars().next().unwrap_or(' ');
                let longer = !folder.ends_with('/') && (after.is_alphanumeric() || "-_.".contains(after));
                if !longer && !before.is_alphanumeric() && !"._-}*)".contains(before) {
                    let rule = format!("names `{folder}`, a folder of one machine");
                    found.push(file.finding(line_of(&file.text, at), rule));
                }
            }
        }
    }
    expect_none(&found);
}

#[test]
fn every_dependency_has_its_reason_in_contributing() {
    let reasons = required("CONTRIBUTING.md");
    let manifest = required("Cargo.toml");
    let mut found = Vec::new();
    for (line, name) in workspace_dependencies(&manifest) {
        if !reasons.text.contains(&format!("`{name}`")) {
            found.push(manifest.finding(line, format!("`{name}` is not explained in CONTRIBUTING.md")));
        }
    }
    expect_none(&found);
}

/// Names and lines of the other people's crates in `[workspace.dependencies]`.
fn workspace_dependencies(manifest: &File) -> Vec<(usize, &str)> {
    let lines =
        manifest.text.lines().enumerate().skip_while(|(_, line)| line.trim() != "[workspace.dependencies]");
    let section = lines.skip(1).take_while(|(_, line)| !line.starts_with('['));
    section
        .filter_map(|(index, line)| Some((index + 1, line.split_once('=')?.0.trim())))
        .filter(|(_, name)| !name.starts_with("lienthong-") && !name.starts_with('#'))
        .collect()
}

/// Where `word` stands in `code`, not as the end of a longer one.
fn occurrences(code: &str, word: &str) -> Vec<usize> {
    let alone = |at: &usize| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}
