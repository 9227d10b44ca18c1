//! Row for row: what each subscriber holds against what it must and may hold.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use lienthong_contract::keys::HashKey;
use lienthong_nation::System;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::copies::{COPIES, Copy};
use crate::digest::{Digest, Digests, Text, nfc};
use crate::error::{DemoError, database};
use crate::secrets::Secrets;
use crate::site::{SUBSCRIBERS, publisher_file, subscriber_file};
use crate::tokens;

#[cfg(test)]
mod tests;

/// What is wrong with one table of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub subscriber: &'static str,
    /// Which table, or the whole file.
    pub table: &'static str,
    /// missing, extra, stale, leaked.
    pub kind: &'static str,
    /// How many rows, or values that must not be there.
    pub count: u64,
}

/// What the check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows that are as they must be.
    pub equal: u64,
    /// Rows that the nation knows to be wrong, and which no subscriber may hold.
    pub refused: u64,
    /// What is not right; empty when all is well.
    pub differences: Vec<Difference>,
}

/// Alias of each system's database in the check's SQL.
const ALIASES: [(System, &str); 7] = [
    (System::CivilStatus, "moj"),
    (System::Population, "pop"),
    (System::Residence, "res"),
    (System::Identity, "idc"),
    (System::Insurance, "vss"),
    (System::Facilities, "moh"),
    (System::AdminUnits, "adm"),
];

/// How far the check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checking {
    /// Who is looked at.
    pub subscriber: &'static str,
    /// How many tables have been compared.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// Holds every subscriber against the ministries. Everything that was committed must have been delivered before.
///
/// # Errors
/// When a database cannot be read.
pub fn check(folder: &Path, tell: &mut dyn FnMut(Checking)) -> Result<Verdict, DemoError> {
    let mut verdict = Verdict::default();
    let mut done = 0;
    let secrets = Secrets::read(folder)?;
    for subscriber in SUBSCRIBERS {
        let conn = connect(folder, subscriber)?;
        for copy in COPIES.iter().filter(|copy| copy.subscriber == subscriber) {
            tell(Checking { subscriber, done, of: COPIES.len() });
            compare(&conn, copy, &mut verdict).map_err(database(subscriber))?;
            done += 1;
        }
        let leaked = secrets.found(folder, subscriber, conn)?;
        if leaked > 0 {
            verdict.add(subscriber, "(whole file)", "leaked", leaked);
        }
    }
    Ok(verdict)
}

impl Verdict {
    fn add(&mut self, subscriber: &'static str, table: &'static str, kind: &'static str, count: u64) {
        if count > 0 {
            self.differences.push(Difference { subscriber, table, kind, count });
        }
    }
}

/// The subscriber's file, with the ministries' files beside it.
fn connect(folder: &Path, subscriber: &'static str) -> Result<Connection, DemoError> {
    let error = database(subscriber);
    let conn = Connection::open(subscriber_file(folder, subscriber)).map_err(&error)?;
    for (system, alias) in ALIASES {
        let path = publisher_file(folder, system.participant()).display().to_string();
        conn.execute(&format!("attach database ?1 as {alias}"), [path]).map_err(&error)?;
    }
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function("edtf", 2, pure, |context| {
        let (date, precision) = (context.get::<Option<String>>(0)?, context.get::<Option<String>>(1)?);
        let length = match precision.as_deref() {
            Some("Y") => 4,
            Some("M") => 7,
            _ => 10,
        };
        Ok(date.map(|date| date.get(..length).unwrap_or(&date).to_owned()))
    })
    .map_err(&error)?;
    // Of the two who know people by tokens only; nobody else's key is asked for.
    let purpose = if subscriber == "bank.sample" { "P11" } else { "P13" };
    let key: HashKey = tokens::key(folder, subscriber, purpose)?;
    conn.create_scalar_function("token", 1, pure, move |context| {
        let text = context.get::<Option<String>>(0)?;
        Ok(text.map(|text| tokens::token(&key, &nfc(&text))))
    })
    .map_err(&error)?;
    Ok(conn)
}

/// A row that is refused as it stands has been refused since it was written: the nation's registers never spoil a row that was right. So
/// nothing of it was ever published, and no copy may hold it.
fn compare(conn: &Connection, copy: &Copy, verdict: &mut Verdict) -> rusqlite::Result<()> {
    let refused = refused(conn, copy)?;
    let mut digests = Digests::default();
    let mut expected: HashMap<Digest, Digest> = HashMap::new();
    let mut statement = conn.prepare(copy.expected)?;
    let columns = 1..statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let origin = row.get_ref(0)?.as_str_or_null()?.map(nfc).unwrap_or_default();
        if refused.contains(origin.as_ref()) {
            verdict.refused += 1;
        } else {
            let (key, whole) = digests.of(row, columns.clone(), copy.key, Text::Written)?;
            expected.insert(key, whole);
        }
    }
    let mut statement = conn.prepare(copy.actual)?;
    let columns = 0..statement.column_count();
    let mut rows = statement.query([])?;
    let (mut extra, mut stale) = (0, 0);
    while let Some(row) = rows.next()? {
        let (key, whole) = digests.of(row, columns.clone(), copy.key, Text::Carried)?;
        match expected.remove(&key) {
            Some(wanted) if wanted == whole => verdict.equal += 1,
            Some(_) => stale += 1,
            None => extra += 1,
        }
    }
    let missing = expected.len() as u64;
    let leaked: i64 = conn.query_row(
        &format!("select count(*) from {} where own_note is not null", copy.table),
        [],
        |row| row.get(0),
    )?;
    for (kind, count) in
        [("missing", missing), ("extra", extra), ("stale", stale), ("leaked", leaked.unsigned_abs())]
    {
        verdict.add(copy.subscriber, copy.table, kind, count);
    }
    Ok(())
}

/// Keys of the ministry's rows that the bus must refuse as they stand.
fn refused(conn: &Connection, copy: &Copy) -> rusqlite::Result<BTreeSet<String>> {
    let alias = ALIASES.iter().find(|(system, _)| *system == copy.system).map_or("main", |(_, alias)| alias);
    let sql = format!("select distinct key from {alias}.demo_refused where origin = ?1");
    let mut statement = conn.prepare(&sql)?;
    let keys = statement.query_map([copy.origin], |row| row.get::<_, String>(0))?;
    keys.map(|key| key.map(|key| nfc(&key).into_owned())).collect()
}
