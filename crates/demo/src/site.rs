//! The site: the national example's files, as they lie in the repository, and the folder that they are copied to.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::copies::COPIES;
use crate::error::{DemoError, database};

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../", $path)))),+]
    };
}

/// Path inside the site, and text.
const FILES: [(&str, &str); 15] = files![
    "connectors/ministries/homeaffairs.admin-units.yaml",
    "connectors/ministries/moh.facilities.yaml",
    "connectors/ministries/moj.civil-status.yaml",
    "connectors/ministries/mps.identity.yaml",
    "connectors/ministries/mps.population.yaml",
    "connectors/ministries/mps.residence.yaml",
    "connectors/ministries/vss.insurance.yaml",
    "router/agreements/bank.sample.yaml",
    "router/agreements/mof.tax.yaml",
    "router/agreements/moh.ehr.yaml",
    "router/agreements/moh.social-protection.yaml",
    "router/agreements/mps.population.yaml",
    "router/agreements/nso.statistics.yaml",
    "router/agreements/psp.cases.yaml",
    "router/agreements/vss.insurance.yaml",
];

const SETTINGS: &str = include_str!("../../../lienthong.yaml");

/// Who publishes, in the order in which tables show them.
pub const PARTICIPANTS: [&str; 7] = [
    "moh.facilities",
    "moj.civil-status",
    "mps.population",
    "mps.residence",
    "mps.identity",
    "vss.insurance",
    "homeaffairs.admin-units",
];

/// Who subscribes, in the order in which tables show them.
pub const SUBSCRIBERS: [&str; 8] = [
    "mps.population",
    "vss.insurance",
    "moh.ehr",
    "moh.social-protection",
    "mof.tax",
    "nso.statistics",
    "bank.sample",
    "psp.cases",
];

/// The database of a publishing system.
#[must_use]
pub fn publisher_file(folder: &Path, participant: &str) -> PathBuf {
    folder.join(format!("var/{participant}.db"))
}

/// The database of a subscriber.
#[must_use]
pub fn subscriber_file(folder: &Path, subscriber: &str) -> PathBuf {
    folder.join(format!("var/subscriber.{subscriber}.db"))
}

/// Makes the folder a site with its subscribers' databases. What is there already is left alone, so that a second run goes on. `log` is
/// written into `lienthong.yaml` instead of the embedded log.
///
/// # Errors
/// When the folder or a database cannot be written.
pub fn write(folder: &Path, log: Option<&str>) -> Result<(), DemoError> {
    for (path, text) in FILES {
        keep(&folder.join(path), text)?;
    }
    let settings = log.map_or_else(|| SETTINGS.to_owned(), with_log);
    keep(&folder.join("lienthong.yaml"), &settings)?;
    std::fs::create_dir_all(folder.join("var")).map_err(|reason| file(&folder.join("var"), reason))?;
    for subscriber in SUBSCRIBERS {
        let error = database(subscriber);
        let conn = Connection::open(subscriber_file(folder, subscriber)).map_err(&error)?;
        conn.pragma_update(None, "journal_mode", "wal").map_err(&error)?;
        for copy in COPIES.iter().filter(|copy| copy.subscriber == subscriber) {
            conn.execute_batch(copy.create).map_err(&error)?;
        }
    }
    Ok(())
}

fn with_log(log: &str) -> String {
    let line =
        |line: &str| if line.starts_with("log: ") { format!("log: \"{log}\"") } else { line.to_owned() };
    SETTINGS.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn keep(path: &Path, text: &str) -> Result<(), DemoError> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|reason| file(path, reason))
}

fn file(path: &Path, reason: std::io::Error) -> DemoError {
    DemoError::File { path: path.display().to_string(), reason }
}
