//! `check`: every file of the site offline, all mistakes at once.

use std::path::{Path, PathBuf};

use lienthong_schemas::{Problem, counted};
use lienthong_site::{Overrides, Site};
use serde_json::json;

use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::output::{self, Output};

pub(super) fn run(global: &Global, paths: &[PathBuf]) -> Result<(), Failure> {
    let wanted = paths.iter().map(|path| existing(path)).collect::<Result<Vec<_>, _>>()?;
    let output = Output::new(global.output, global.color);
    match Site::load(&global.site, &Overrides { log: global.log.clone() }) {
        Ok(site) => {
            for warning in site.warnings().filter(|warning| concerns(warning, &wanted)) {
                eprintln!("lienthong: warning: {warning}");
            }
            let rows = [
                vec![json!("contracts"), json!(site.catalogue.events().count())],
                vec![json!("publishing participants"), json!(site.participants().count())],
                vec![json!("subscribers"), json!(site.subscribers().count())],
            ];
            output::rows(output, &["checked", "count"], &rows);
            Ok(())
        }
        Err(problems) => {
            let told: Vec<_> = problems.iter().filter(|problem| concerns(problem, &wanted)).collect();
            if told.is_empty() {
                let elsewhere = counted(problems.len(), "mistake");
                output::done(
                    output,
                    &format!("no mistake in these paths; {elsewhere} elsewhere in the site"),
                    &json!({"mistakes": 0, "elsewhere": problems.len()}),
                );
                return Ok(());
            }
            Err(output::mistakes(output, told))
        }
    }
}

fn existing(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| {
        Failure::new(Code::Configuration, format!("{} cannot be checked: {}", path.display(), error.kind()))
    })
}

/// Whether a mistake is in one of the files or folders; without any, all of them count.
fn concerns(problem: &Problem, wanted: &[PathBuf]) -> bool {
    let file = || Path::new(&problem.file).canonicalize().ok();
    wanted.is_empty() || file().is_some_and(|file| wanted.iter().any(|path| file.starts_with(path)))
}
