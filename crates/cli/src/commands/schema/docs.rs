//! `schema docs`: reference pages and an AsyncAPI document, from the catalogue.

use std::path::Path;

use lienthong_schemas::reference::documents;
use serde_json::json;

use super::Context;
use crate::exit::{Code, Failure};
use crate::output;

pub(super) fn run(context: &Context, dir: &Path) -> Result<(), Failure> {
    let unwritable = |path: &Path, error: &std::io::Error| {
        Failure::new(Code::Configuration, format!("{} cannot be written: {}", path.display(), error.kind()))
    };
    std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    let mut rows = Vec::new();
    for (name, text) in documents(&context.site.catalogue) {
        let path = dir.join(&name);
        std::fs::write(&path, &text).map_err(|error| unwritable(&path, &error))?;
        rows.push(vec![json!(path.display().to_string()), json!(text.lines().count())]);
    }
    output::rows(context.output, &["file", "lines"], &rows);
    Ok(())
}
