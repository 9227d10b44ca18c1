//! Row for row: what each subscriber holds against what it must and may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lienthong_contract::keys::HashKey;
use lienthong_nation::System;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use unicode_normalization::UnicodeNormalization as _;

use crate::copies::{COPIES, Copy};
use crate::error::{DemoError, database};
use crate::site::{SUBSCRIBERS, publisher_file, subscriber_file};
use crate::tokens;

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
    /// Rows that the nation knows to be wrong, and which no subscriber must hold as they stand.
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

type Cells = Vec<Option<String>>;

/// Holds every subscriber against the ministries. Everything that was committed must have been delivered before.
///
/// # Errors
/// When a database cannot be read.
pub fn check(folder: &Path) -> Result<Verdict, DemoError> {
    let mut verdict = Verdict::default();
    let secrets = Secrets::read(folder)?;
    for subscriber in SUBSCRIBERS {
        let conn = connect(folder, subscriber)?;
        for copy in COPIES.iter().filter(|copy| copy.subscriber == subscriber) {
            compare(&conn, copy, &mut verdict).map_err(database(subscriber))?;
        }
        drop(conn);
        let leaked = secrets.found(folder, subscriber)?;
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
    let key: HashKey = tokens::key(folder, subscriber)?;
    conn.create_scalar_function("token", 1, pure, move |context| {
        let text = context.get::<Option<String>>(0)?;
        Ok(text.map(|text| tokens::token(&key, &nfc(&text))))
    })
    .map_err(&error)?;
    Ok(conn)
}

fn compare(conn: &Connection, copy: &Copy, verdict: &mut Verdict) -> rusqlite::Result<()> {
    let refused = refused(conn, copy)?;
    // What a copy may hold of a row that is refused as it stands: its last right state, or nothing.
    let mut excused = BTreeSet::new();
    let mut expected: BTreeMap<Cells, Cells> = BTreeMap::new();
    let mut statement = conn.prepare(copy.expected)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut cells = cells(row, columns)?;
        let origin = cells.remove(0).unwrap_or_default();
        let key = cells[..copy.key].to_vec();
        if refused.contains(&origin) {
            excused.insert(key);
        } else {
            expected.insert(key, cells);
        }
    }
    let mut statement = conn.prepare(copy.actual)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let (mut extra, mut stale) = (0, 0);
    while let Some(row) = rows.next()? {
        let found = cells(row, columns)?;
        let key = found[..copy.key].to_vec();
        match expected.remove(&key) {
            Some(wanted) if wanted == found => verdict.equal += 1,
            Some(_) => stale += 1,
            None if excused.contains(&key) => {}
            None => extra += 1,
        }
    }
    let missing = expected.len() as u64;
    verdict.refused += excused.len() as u64;
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

fn refused(conn: &Connection, copy: &Copy) -> rusqlite::Result<BTreeSet<String>> {
    let alias = ALIASES.iter().find(|(system, _)| *system == copy.system).map_or("main", |(_, alias)| alias);
    let sql = format!("select distinct key from {alias}.demo_refused where origin = ?1");
    let mut statement = conn.prepare(&sql)?;
    let keys = statement.query_map([copy.origin], |row| row.get::<_, String>(0))?;
    keys.map(|key| key.map(|key| nfc(&key))).collect()
}

fn cells(row: &Row<'_>, columns: usize) -> rusqlite::Result<Cells> {
    let cell = |at| {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(nfc(&String::from_utf8_lossy(bytes))),
        })
    };
    (0..columns).map(cell).collect()
}

/// The bus carries text in NFC, whatever the ministry wrote.
fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// Values that must not be in a subscriber's file at all, wherever they would stand.
struct Secrets {
    pins: BTreeSet<Vec<u8>>,
    phones: BTreeSet<Vec<u8>>,
}

/// Subscribers that know people by tokens only.
const PSEUDONYMOUS: [&str; 2] = ["nso.statistics", "bank.sample"];

impl Secrets {
    fn read(folder: &Path) -> Result<Self, DemoError> {
        let error = database(System::Population.participant());
        let path = publisher_file(folder, System::Population.participant());
        let conn = Connection::open(path).map_err(&error)?;
        let list = |sql: &str| -> rusqlite::Result<BTreeSet<Vec<u8>>> {
            let mut statement = conn.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.map(|text| text.map(String::into_bytes)).collect()
        };
        let pins = list("select pin from person where length(cast(pin as blob)) = 12").map_err(&error)?;
        let phones = list("select phone from person where phone is not null and phone not glob '*[^0-9]*'");
        Ok(Self { pins, phones: phones.map_err(&error)? })
    }

    /// How many different ones stand in the subscriber's file or its WAL.
    fn found(&self, folder: &Path, subscriber: &str) -> Result<u64, DemoError> {
        let path = subscriber_file(folder, subscriber);
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        let mut found = BTreeSet::new();
        for path in [path, wal.into()] {
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => continue,
                Err(reason) => return Err(DemoError::File { path: path.display().to_string(), reason }),
            };
            for run in bytes.split(|byte| !byte.is_ascii_digit()).filter(|run| run.len() >= 9) {
                if self.phones.contains(run) || (PSEUDONYMOUS.contains(&subscriber) && self.holds_pin(run)) {
                    found.insert(run.to_vec());
                }
            }
        }
        Ok(found.len() as u64)
    }

    /// Texts lie side by side in a file, so that a number may stand inside of a longer run of digits.
    fn holds_pin(&self, run: &[u8]) -> bool {
        run.windows(12).any(|part| self.pins.contains(part))
    }
}
