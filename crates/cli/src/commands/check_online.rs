//! `check --online`: what the publishing databases lack, all at once.

use lienthong_contract::source::Finding;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Code, Failure};
use crate::output::{self, Format};

const COLUMNS: [&str; 4] = ["participant", "weight", "finding", "fix"];

/// Exit code 3 where a connector would not start, 4 where a database does not answer and nothing is worse, 0 where there is nothing but
/// warnings.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let (mut rows, mut failures, mut checked): (Vec<Vec<Value>>, _, _) = (Vec::new(), Vec::new(), 0);
    for id in context.site.participants() {
        let Some(participant) = context.site.participant(id) else { continue };
        let mut admin = lienthong_connectors::source_admin(&participant.source, participant.tables.clone());
        let found = tokio::select! {
            found = admin.findings() => found,
            () = context.shutdown.cancelled() => return Err(Failure::interrupted()),
        };
        checked += 1;
        match found {
            Ok(found) => {
                for Finding { problem, fix, halts } in found {
                    let weight = if halts { "halts" } else { "warning" };
                    if halts {
                        failures.push(Failure::new(Code::Halted, format!("{id}: {problem}; fix: {fix}")));
                    } else if context.output.format() == Format::Table {
                        eprintln!("lienthong: warning: {id}: {problem}; fix: {fix}");
                    }
                    rows.push(vec![json!(id), json!(weight), json!(problem), json!(fix)]);
                }
            }
            Err(error) => {
                let reason = error.to_string();
                rows.push(vec![json!(id), json!("unreachable"), json!(reason), Value::Null]);
                failures.push(Failure::from(error).about(id));
            }
        }
    }
    if context.output.format() == Format::Json {
        output::rows(context.output, &COLUMNS, &rows);
        return if failures.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(Failure::several(failures.into_iter()).code(), "see the findings"))
        };
    }
    if failures.is_empty() {
        let row = vec![json!("publishing databases"), json!(checked)];
        output::rows(context.output, &["checked", "count"], &[row]);
        return Ok(());
    }
    Err(Failure::several(failures.into_iter()))
}
