//! Folders and files of a site, as messages show them.

use std::path::{Path, PathBuf};

use lienthong_schemas::Problem;

/// A path for messages, without a leading `./`.
pub(crate) fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    text.strip_prefix("./").map(str::to_owned).unwrap_or(text)
}

/// What lies in a folder, in order, without hidden files.
pub(crate) fn listed(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.retain(|path| !hidden(path));
            paths.sort();
            paths
        }
        Err(error) => {
            let message = format!("the folder cannot be read: {}", error.kind());
            problems.push(Problem::new(&shown(folder), (0, 0), message, "make it readable for this user"));
            Vec::new()
        }
    }
}

/// The YAML files of a folder, in order.
pub(crate) fn yaml(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    listed(folder, problems).into_iter().filter(is_yaml).collect()
}
