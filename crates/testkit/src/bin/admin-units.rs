//! Plays the owner and the subscribers of the administrative units' example: loads, merges, compares.
//!
//! `admin-units load URL | merge URL | subscriber URL | compare PUBLISHER SUBSCRIBER..` where a URL is `sqlite:PATH` or
//! `postgres://..`. `compare` exits with 5 when a subscriber differs from the publisher.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use lienthong_testkit::admin_units::{AdminUnits, CREATE_TABLE, STATE, copied_state, create_copy};
use lienthong_testkit::database::Database;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let data =
        std::env::var("ADMIN_UNITS_DATA").unwrap_or_else(|_| "docs/examples/admin-units/data".to_owned());
    let units = || AdminUnits::read(Path::new(&data));
    match arguments.as_slice() {
        ["load", url] => {
            let mut statements = vec![CREATE_TABLE.to_owned()];
            statements.extend(units()?.former_state());
            Database::open(url).await?.run(&statements).await?;
            println!("{} former units stand in the publisher's table", statements.len() - 1);
        }
        ["merge", url] => {
            let statements = units()?.merger();
            Database::open(url).await?.run(&statements).await?;
            println!("the merger ran: {} changes in one transaction", statements.len());
        }
        ["subscriber", url] => Database::open(url).await?.run(&[create_copy(url)]).await?,
        ["compare", publisher, subscribers @ ..] if !subscribers.is_empty() => {
            return compare(publisher, subscribers).await;
        }
        _ => {
            bail!("usage: admin-units load URL | merge URL | subscriber URL | compare PUBLISHER SUBSCRIBER..")
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn compare(publisher: &str, subscribers: &[&str]) -> Result<ExitCode> {
    let expected = state(publisher, &format!("select {STATE} from admin_unit")).await?;
    println!("{:<14}{:>10}{:>10}{:>10}{:>10}", "database", "current", "former", "missing", "different");
    let (current, former) = counts(&expected);
    println!("{:<14}{current:>10}{former:>10}{:>10}{:>10}", "publisher", "-", "-");
    let mut equal = true;
    for (index, url) in subscribers.iter().enumerate() {
        let rows = state(url, &format!("select {} from admin_unit_copy", copied_state(url))).await?;
        let keys: BTreeSet<_> = rows.iter().map(|row| &row[..3]).collect();
        let missing = expected.iter().filter(|row| !keys.contains(&row[..3])).count();
        let different = rows.iter().filter(|row| expected.binary_search(row).is_err()).count();
        let (current, former) = counts(&rows);
        println!(
            "{:<14}{current:>10}{former:>10}{missing:>10}{different:>10}",
            format!("subscriber {}", index + 1)
        );
        equal &= rows == expected;
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

/// Rows in one order, whatever the database's collation.
async fn state(url: &str, query: &str) -> Result<Vec<Vec<Option<String>>>> {
    let mut rows = Database::open(url).await?.rows(query).await?;
    rows.sort();
    Ok(rows)
}

/// Units that are, units that were.
fn counts(rows: &[Vec<Option<String>>]) -> (usize, usize) {
    let current = rows.iter().filter(|row| row[3].is_none()).count();
    (current, rows.len() - current)
}
