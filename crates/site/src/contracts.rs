//! Contracts: from the site's folder when it has one, else those that ship with the bus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lienthong_schemas::{Catalogue, Problem, RecordSchema, bundled};

use crate::files;

/// The catalogue, or everything that is wrong in it and its contracts. `None` when the folder does not exist.
pub(crate) fn load(folder: &Path) -> Option<Result<Catalogue, Vec<Problem>>> {
    if !folder.is_dir() {
        return None;
    }
    let mut problems = Vec::new();
    let mut schemas = BTreeMap::new();
    for path in contract_files(folder, &mut problems) {
        contract(&path, &mut schemas, &mut problems);
    }
    // `schemas/catalogue.yaml` lies beside `schemas/avro`.
    let catalogue = folder.parent().unwrap_or(folder).join("catalogue.yaml");
    let shown = files::shown(&catalogue);
    match std::fs::read_to_string(&catalogue) {
        Ok(text) => match Catalogue::parse(&shown, &text, &schemas) {
            Ok(catalogue) if problems.is_empty() => return Some(Ok(catalogue)),
            Ok(_) => {}
            Err(found) => problems.extend(found),
        },
        Err(error) => problems.push(Problem::new(
            &shown,
            (1, 1),
            format!("the catalogue cannot be read: {}", error.kind()),
            "put catalogue.yaml beside the folder that `paths.schemas` names",
        )),
    }
    Some(Err(problems))
}

/// The contracts that ship.
pub(crate) fn shipped() -> Result<Catalogue, Vec<Problem>> {
    bundled()
}

/// `<family>/<event>.avsc`, in order.
fn contract_files(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let families = files::listed(folder, problems);
    let in_families = families.iter().filter(|path| path.is_dir());
    let found: Vec<PathBuf> = in_families.flat_map(|family| files::listed(family, problems)).collect();
    found.into_iter().filter(|path| path.extension().is_some_and(|end| end == "avsc")).collect()
}

fn contract(path: &Path, schemas: &mut BTreeMap<String, RecordSchema>, problems: &mut Vec<Problem>) {
    let part = |part: Option<&std::ffi::OsStr>| part.and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(family), Some(event)) = (part(path.parent().and_then(Path::file_name)), part(path.file_stem()))
    else {
        return;
    };
    let parsed = match std::fs::read_to_string(path) {
        Ok(text) => RecordSchema::parse(&text).map_err(|error| error.to_string()),
        Err(error) => Err(format!("the contract cannot be read: {}", error.kind())),
    };
    match parsed {
        Ok(schema) => {
            schemas.insert(format!("{family}.{event}"), schema);
        }
        Err(message) => {
            problems.push(Problem::new(&files::shown(path), (1, 1), message, "correct the contract"));
        }
    }
}
