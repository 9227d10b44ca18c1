//! `schema diff`: what a consumer would notice, and which agreements of the site lose or change a field.

use std::path::Path;

use lienthong_schemas::diff::{Change, catalogues, contracts};
use lienthong_schemas::{Catalogue, Problem, RecordSchema, counted};
use lienthong_site::{Site, Subscriber, contract_texts};
use serde_json::json;

use super::told;
use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::output::{self, Output};

pub(super) fn run(global: &Global, before: &Path, after: &Path) -> Result<(), Failure> {
    let (changes, catalogue) = match (before.is_file(), after.is_file()) {
        (true, true) => {
            let (event, old) = contract(before)?;
            let (later, new) = contract(after)?;
            if event != later {
                let message = format!("these are contracts of two events: {event} and {later}");
                return Err(Failure::new(Code::Configuration, message));
            }
            (contracts(&event, &old, &new), catalogue_before(global, &event, &old))
        }
        (false, false) => {
            let (old, new) = (folder(global, before)?, folder(global, after)?);
            (catalogues(&old, &new), Some(Ok(old)))
        }
        _ => return Err(Failure::new(Code::Configuration, "compare two folders, or two .avsc files")),
    };
    // The changes are shown even when the site's agreements cannot be looked at.
    let subscribers = catalogue.and_then(|catalogue| match catalogue {
        Ok(catalogue) => Site::subscribers_under(&global.site, &catalogue),
        Err(problems) => Some(Err(problems)),
    });
    let subscribers = match subscribers {
        Some(subscribers) => subscribers,
        None => {
            eprintln!("lienthong: {} is no site, so no agreement was looked at", global.site.display());
            Ok(Vec::new())
        }
    };
    let mut rows = Vec::new();
    for change in &changes {
        let concerned = agreements(subscribers.as_deref().unwrap_or_default(), change);
        let severity = if change.breaks { "breaks" } else { "noticed" };
        rows.push(vec![json!(severity), json!(change.to_string()), json!(concerned.join(", "))]);
    }
    output::rows(Output::new(global.output, global.color), &["severity", "change", "agreements"], &rows);
    if let Err(problems) = subscribers {
        return Err(told(global, &problems));
    }
    match changes.iter().filter(|change| change.breaks).count() {
        0 => Ok(()),
        broken => Err(Failure::new(
            Code::Differences,
            format!("a consumer breaks by {}", counted(broken, "change")),
        )),
    }
}

/// The site's catalogue with the contract as it was; `None` when there is no site.
fn catalogue_before(
    global: &Global,
    event: &str,
    before: &RecordSchema,
) -> Option<Result<Catalogue, Vec<Problem>>> {
    if !global.site.join(lienthong_site::FILE).is_file() {
        return None;
    }
    let catalogue = Site::contract_texts(&global.site).and_then(|mut texts| {
        for contract in texts.contracts.iter_mut().filter(|contract| contract.event == event) {
            before.text().clone_into(&mut contract.text);
        }
        texts.catalogue()
    });
    Some(catalogue)
}

/// A contract and the event whose file it is: `<family>/<event>.avsc`, or `<event>/<number>.avsc` of the history.
fn contract(path: &Path) -> Result<(String, RecordSchema), Failure> {
    let wrong = |what: String| Failure::new(Code::Configuration, format!("{}: {what}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {}", error.kind())))?;
    let schema = RecordSchema::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let part = |part: Option<&std::ffi::OsStr>| part.map(|name| name.to_string_lossy().into_owned());
    let name = part(path.file_stem()).unwrap_or_default();
    let folder =
        path.canonicalize().ok().and_then(|path| part(path.parent()?.file_name())).unwrap_or_default();
    let is_version = name.chars().all(|c| c.is_ascii_digit());
    Ok((if is_version { folder } else { format!("{folder}.{name}") }, schema))
}

/// The catalogue of a folder that holds `catalogue.yaml` and `avro/`, or of the `avro` folder itself.
fn folder(global: &Global, path: &Path) -> Result<Catalogue, Failure> {
    let inside = path.join("avro");
    let folder = if inside.is_dir() { inside } else { path.to_owned() };
    if !folder.is_dir() {
        return Err(Failure::new(Code::Configuration, format!("{} does not exist", path.display())));
    }
    contract_texts(&folder).and_then(|texts| texts.catalogue()).map_err(|problems| told(global, &problems))
}

/// The agreements that read what changes.
fn agreements(subscribers: &[Subscriber], change: &Change) -> Vec<String> {
    let concerned = subscribers.iter().filter(|subscriber| {
        subscriber.reads().any(|(event, reads)| change.touches(event, &subscriber.purpose, &reads))
    });
    concerned.map(|subscriber| subscriber.agreement.clone()).collect()
}
