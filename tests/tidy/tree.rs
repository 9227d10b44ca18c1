//! The files of the checkout, and what is found wrong with them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the checkout.
pub(crate) struct File {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// A breach of a rule in this file.
    pub(crate) fn finding(&self, line: usize, rule: String) -> Finding {
        Finding::new(&self.path, line, rule)
    }

    /// Whether all of the file is test code.
    pub(crate) fn is_test(&self) -> bool {
        let folders = self.path.split('/').any(|part| part == "tests" || part == "benches");
        folders || self.path.ends_with("/tests.rs")
    }
}

/// A breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    pub(crate) rule: String,
}

impl Finding {
    /// `line` counts from 1.
    pub(crate) fn new(file: &str, line: usize, rule: String) -> Self {
        Self { file: file.to_owned(), line, rule }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Fails with every finding on a line of its own.
pub(crate) fn expect_none(found: &[Finding]) {
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} breaches of the rules:\n{}", lines.len(), lines.join("\n"));
}

/// The line, from 1, of a byte of a text.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// A path from the workspace's root.
pub(crate) fn workspace_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").join(path)
}

/// A file that must be there.
pub(crate) fn required(path: &str) -> File {
    let text = fs::read_to_string(workspace_file(path));
    File {
        path: path.to_owned(),
        text: text.unwrap_or_else(|error| panic!("{path} must be in the checkout: {error}")),
    }
}

/// Every `.rs` file.
pub(crate) fn rust_files() -> Vec<File> {
    let files: Vec<File> = text_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect();
    assert!(files.len() > 50, "the walk over the checkout found only {} files", files.len());
    files
}

/// Every file that is text, without what is built or generated.
pub(crate) fn text_files() -> Vec<File> {
    let root = workspace_file("");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout can be read") {
            let path = entry.expect("an entry can be read").path();
            let name =
                path.strip_prefix(&root).expect("the walk stays inside").to_string_lossy().replace('\\', "/");
            if is_ours(&name) {
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = fs::read_to_string(&path) {
                    files.push(File { path: name, text });
                }
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// Whether somebody wrote it: not built, not ignored, not Git's.
fn is_ours(path: &str) -> bool {
    let ignored = ["target", "var", "secrets", "Cargo.lock"].contains(&path);
    let hidden = path.starts_with('.') && !path.starts_with(".ci");
    !ignored && !hidden && !path.ends_with("/target") && !path.contains(".db")
}
