//! Contracts: from the site's folder when it has one, else those that ship with the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use lienthong_schemas::check::{ContractText, ContractTexts};
use lienthong_schemas::{Catalogue, Problem, bundled};

use crate::files;

/// The catalogue, or everything that is wrong in it and its contracts. `None` when the folder does not exist.
pub(crate) fn load(folder: &Path) -> Option<Result<Catalogue, Vec<Problem>>> {
    if !folder.is_dir() {
        return None;
    }
    let (texts, mut problems) = texts(folder);
    let mut schemas = BTreeMap::new();
    for contract in &texts.contracts {
        schemas.extend(contract.parse(&mut problems).map(|schema| (contract.event.clone(), schema)));
    }
    // An unreadable catalogue has been told already.
    if texts.catalogue.is_empty() && !problems.is_empty() {
        return Some(Err(problems));
    }
    let events = texts.contracts.iter().map(|contract| contract.event.clone());
    let broken: BTreeSet<String> = events.filter(|event| !schemas.contains_key(event)).collect();
    match Catalogue::parse_beside(&texts.catalogue_file, &texts.catalogue, &schemas, &broken) {
        Ok(catalogue) if problems.is_empty() => return Some(Ok(catalogue)),
        Ok(_) => {}
        Err(found) => problems.extend(found),
    }
    Some(Err(problems))
}

/// The contracts that ship.
pub(crate) fn shipped() -> Result<Catalogue, Vec<Problem>> {
    bundled()
}

/// The texts of a folder of contracts (`<family>/<event>.avsc`), of the catalogue beside it (`../catalogue.yaml`) and of
/// the versions that are kept beside it (`../history/<event>/<number>.avsc`), and what could not be read.
pub(crate) fn texts(folder: &Path) -> (ContractTexts, Vec<Problem>) {
    let mut problems = Vec::new();
    let beside = folder.parent().unwrap_or(folder);
    let catalogue = beside.join("catalogue.yaml");
    let mut texts = ContractTexts { catalogue_file: files::shown(&catalogue), ..ContractTexts::default() };
    match std::fs::read_to_string(&catalogue) {
        Ok(text) => texts.catalogue = text,
        Err(error) => problems.push(Problem::new(
            &texts.catalogue_file,
            (1, 1),
            format!("the catalogue cannot be read: {}", error.kind()),
            "put catalogue.yaml beside the folder that `paths.schemas` names",
        )),
    }
    for (family, event, path) in contract_files(folder, &mut problems) {
        texts.contracts.extend(contract(&path, format!("{family}.{event}"), None, &mut problems));
    }
    let history = beside.join("history");
    if history.is_dir() {
        for (event, number, path) in contract_files(&history, &mut problems) {
            let Ok(version) = number.parse() else {
                let message = format!("`{number}` is not the number of a version");
                problems.push(Problem::new(&files::shown(&path), (1, 1), message, "call it <number>.avsc"));
                continue;
            };
            texts.history.extend(contract(&path, event, Some(version), &mut problems));
        }
    }
    (texts, problems)
}

/// Folder, name and path of every `<folder>/<name>.avsc`, in order.
fn contract_files(folder: &Path, problems: &mut Vec<Problem>) -> Vec<(String, String, PathBuf)> {
    let inside = files::listed(folder, problems);
    let folders = inside.iter().filter(|path| path.is_dir());
    let found: Vec<PathBuf> = folders.flat_map(|folder| files::listed(folder, problems)).collect();
    let text = |part: Option<&OsStr>| part.and_then(OsStr::to_str).map(str::to_owned);
    let avsc = found.into_iter().filter(|path| path.extension().is_some_and(|end| end == "avsc"));
    avsc.filter_map(|path| Some((text(path.parent()?.file_name())?, text(path.file_stem())?, path))).collect()
}

fn contract(
    path: &Path,
    event: String,
    version: Option<u32>,
    problems: &mut Vec<Problem>,
) -> Option<ContractText> {
    let file = files::shown(path);
    match std::fs::read_to_string(path) {
        Ok(text) => Some(ContractText { event, version, file, text }),
        Err(error) => {
            let message = format!("the contract cannot be read: {}", error.kind());
            problems.push(Problem::new(&file, (1, 1), message, "make it readable for this user"));
            None
        }
    }
}
