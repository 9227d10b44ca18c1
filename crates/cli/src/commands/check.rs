//! `check`: every file of the site offline, all mistakes at once.

use lienthong_site::{Overrides, Site};
use serde_json::json;

use crate::args::Global;
use crate::exit::Failure;
use crate::output::{self, Output};

pub(super) fn run(global: &Global) -> Result<(), Failure> {
    let checked = Site::load(&global.site, &Overrides { log: global.log.clone() });
    match checked {
        Ok(site) => {
            for warning in site.warnings() {
                eprintln!("lienthong: warning: {warning}");
            }
            let rows = [
                vec![json!("contracts"), json!(site.catalogue.events().count())],
                vec![json!("publishing participants"), json!(site.participants().count())],
                vec![json!("subscribers"), json!(site.subscribers().count())],
            ];
            output::rows(Output::new(global.output, global.color), &["checked", "count"], &rows);
            Ok(())
        }
        Err(problems) => Err(Failure::problems(problems.iter().map(ToString::to_string).collect())),
    }
}
