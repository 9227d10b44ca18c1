//! Values that must not be in a subscriber's file at all, wherever they would stand: in a cell of any table, or in what is left of cells
//! between them and in the WAL.
//!
//! A cell is exact. Between cells numbers stand side by side, so that among the bytes of a million people some are somebody's phone number
//! by chance. How many that is, numbers tell that are nobody's and put together like the real ones: more than those is a leak.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::path::Path;

use lienthong_nation::System;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::error::{DemoError, database};
use crate::site::{publisher_file, subscriber_file};

/// Subscribers that know people by tokens only.
const PSEUDONYMOUS: [&str; 2] = ["nso.statistics", "bank.sample"];
const PIN_DIGITS: u32 = 12;
/// Shorter numbers stand anywhere by chance.
const PHONE_DIGITS: u32 = 9;
/// More do not fit with their length.
const MOST_DIGITS: u32 = 18;
/// A file is read in parts of so many bytes.
const PART: usize = 1 << 20;

/// A word of hexadecimal digits from this length on is a token or a digest, whose digits mean nothing.
const TOKEN: usize = 16;

/// PINs and phone numbers of everybody.
pub(crate) struct Secrets {
    /// As numbers.
    pins: Numbers,
    /// As numbers with a 1 before their first digit, so that the zeros count.
    phones: Numbers,
}

struct Numbers {
    real: HashSet<u64>,
    /// The head of one and the tail of another, and nobody's.
    decoys: HashSet<u64>,
}

impl Numbers {
    /// `tail` is a power of ten.
    fn new(all: &[u64], tail: u64) -> Self {
        let real: HashSet<u64> = all.iter().copied().collect();
        let others = all.iter().cycle().skip(1);
        let mixed = all.iter().zip(others).map(|(head, other)| head / tail * tail + other % tail);
        let decoys = mixed.filter(|number| !real.contains(number)).collect();
        Self { real, decoys }
    }
}

impl Secrets {
    pub(crate) fn read(folder: &Path) -> Result<Self, DemoError> {
        let error = database(System::Population.participant());
        let path = publisher_file(folder, System::Population.participant());
        let conn = Connection::open(path).map_err(&error)?;
        let list = |sql: &str, before: &str| -> rusqlite::Result<Vec<u64>> {
            let mut statement = conn.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let text: String = row.get(0)?;
                // What is no number is no secret that could be found.
                all.extend(format!("{before}{text}").parse::<u64>());
            }
            Ok(all)
        };
        let pins = "select pin from person where length(cast(pin as blob)) = 12 and pin not glob '*[^0-9]*'";
        let phones =
            "select phone from person where phone not glob '*[^0-9]*' and length(phone) between 9 and 18";
        let (pins, phones) = (list(pins, "").map_err(&error)?, list(phones, "1").map_err(&error)?);
        Ok(Self { pins: Numbers::new(&pins, 1_000_000), phones: Numbers::new(&phones, 10_000) })
    }

    /// How many different ones stand in the cells of the subscriber's file, and how many more between them or in its WAL than by chance.
    pub(crate) fn found(&self, folder: &Path, subscriber: &str, conn: Connection) -> Result<u64, DemoError> {
        let pseudonymous = PSEUDONYMOUS.contains(&subscriber);
        let mut cells = Search::new(self, pseudonymous);
        cells.tables(&conn).map_err(database(subscriber))?;
        // Closing a file gives up every lock that this process has on it.
        drop(conn);
        let path = subscriber_file(folder, subscriber);
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        let mut bytes = Search::new(self, pseudonymous);
        for path in [path, wal.into()] {
            match std::fs::File::open(&path).and_then(|file| bytes.file(file)) {
                Err(reason) if reason.kind() != ErrorKind::NotFound => {
                    return Err(DemoError::File { path: path.display().to_string(), reason });
                }
                _ => {}
            }
        }
        let between = bytes.real.difference(&cells.real).count() as u64;
        Ok(cells.real.len() as u64 + beyond_chance(between, bytes.decoys.len() as u64))
    }
}

/// What is left of `real` finds when so many are chance as there are `decoys`; 0 where that may be all of them. Counts of rare things
/// scatter by their root: four times that and some more is once in a million.
fn beyond_chance(real: u64, decoys: u64) -> u64 {
    let most = decoys as f64 + 4.0 * (decoys as f64).sqrt() + 8.0;
    if real as f64 > most { real - decoys } else { 0 }
}

/// Digits that stand side by side.
#[derive(Clone, Copy, Default)]
struct Run {
    length: u32,
    /// All of them with a 1 before, while they fit.
    whole: u64,
    /// The last [`PIN_DIGITS`].
    last: u64,
}

struct Search<'a> {
    secrets: &'a Secrets,
    pseudonymous: bool,
    run: Run,
    /// PINs as numbers, phone numbers with their 1; no phone number is so long that it could be taken for a PIN.
    real: HashSet<u64>,
    decoys: HashSet<u64>,
}

impl<'a> Search<'a> {
    fn new(secrets: &'a Secrets, pseudonymous: bool) -> Self {
        let (real, decoys) = (HashSet::new(), HashSet::new());
        Self { secrets, pseudonymous, run: Run::default(), real, decoys }
    }

    /// Every cell of every table, also of the bus's own.
    fn tables(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut names = conn.prepare("select name from main.sqlite_master where type = 'table'")?;
        let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for name in names {
            let mut statement = conn.prepare(&format!("select * from main.\"{name}\""))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    match row.get_ref(column)? {
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => self.cell(bytes),
                        ValueRef::Integer(number) => self.cell(number.to_string().as_bytes()),
                        ValueRef::Null | ValueRef::Real(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn cell(&mut self, bytes: &[u8]) {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        for word in bytes.split(|byte| !is_hex(byte)) {
            let token = word.len() >= TOKEN && word.iter().any(|byte| !byte.is_ascii_digit());
            if !token {
                word.iter().for_each(|byte| self.byte(*byte));
                self.byte(0);
            }
        }
    }

    fn file(&mut self, mut file: impl Read) -> std::io::Result<()> {
        let mut part = vec![0; PART];
        loop {
            let length = match file.read(&mut part) {
                Ok(0) => break,
                Ok(length) => length,
                Err(reason) if reason.kind() == ErrorKind::Interrupted => continue,
                Err(reason) => return Err(reason),
            };
            part[..length].iter().for_each(|byte| self.byte(*byte));
        }
        self.byte(0);
        Ok(())
    }

    /// Texts lie side by side in a file, so that a PIN may stand inside of a longer run of digits.
    fn byte(&mut self, byte: u8) {
        if !byte.is_ascii_digit() {
            let Run { length, whole, .. } = std::mem::take(&mut self.run);
            if (PHONE_DIGITS..=MOST_DIGITS).contains(&length) {
                self.find(whole, &self.secrets.phones);
            }
            return;
        }
        let digit = u64::from(byte - b'0');
        let run = &mut self.run;
        let before = if run.length == 0 { 1 } else { run.whole };
        run.whole = if run.length < MOST_DIGITS { before * 10 + digit } else { 0 };
        run.last = run.last % 10_u64.pow(PIN_DIGITS - 1) * 10 + digit;
        run.length += 1;
        let (length, last) = (run.length, run.last);
        if self.pseudonymous && length >= PIN_DIGITS {
            self.find(last, &self.secrets.pins);
        }
    }

    fn find(&mut self, number: u64, among: &Numbers) {
        if among.real.contains(&number) {
            self.real.insert(number);
        } else if among.decoys.contains(&number) {
            self.decoys.insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let numbers = |numbers: &[u64]| Numbers::new(numbers, 10_000);
        Secrets { pins: numbers(&[12_345_678_901]), phones: numbers(&[10_912_345_678, 1_123_456_789]) }
    }

    fn found(pseudonymous: bool, bytes: &[u8]) -> usize {
        let secrets = secrets();
        let mut search = Search::new(&secrets, pseudonymous);
        search.file(bytes).expect("bytes can be read");
        search.real.len()
    }

    #[test]
    fn a_phone_number_is_found_where_it_stands_alone() {
        assert_eq!(found(false, b"\x000912345678x0912345678"), 1);
        assert_eq!(found(false, b"912345678"), 0, "without its zero it is another number");
        assert_eq!(found(false, b"123456789 a0912345678"), 2);
        assert_eq!(found(false, b"10912345678"), 0, "a part of another number");
        assert_eq!(found(false, b"123456789012345678901234567890"), 0);
    }

    #[test]
    fn a_pin_is_found_within_longer_runs_of_digits_where_people_are_tokens_only() {
        assert_eq!(found(true, b"a012345678901b"), 1);
        assert_eq!(found(true, b"99999901234567890199"), 1);
        assert_eq!(found(true, b"12345678901"), 0, "a digit is missing");
        assert_eq!(found(false, b"012345678901"), 0, "others may know PINs");
    }

    #[test]
    fn a_number_is_found_across_the_parts_of_a_file() {
        let mut file = vec![b'.'; PART - 4];
        file.extend_from_slice(b"0912345678.");
        assert_eq!(found(false, &file), 1);
    }

    #[test]
    fn the_digits_of_a_token_are_nobodys_and_every_other_cell_counts() {
        let conn = Connection::open_in_memory().unwrap();
        let found = |value: &str| {
            let sql = format!("drop table if exists a; create table a (b); insert into a values ({value})");
            conn.execute_batch(&sql).unwrap();
            let secrets = secrets();
            let mut search = Search::new(&secrets, true);
            search.tables(&conn).unwrap();
            search.real.len()
        };
        assert_eq!(found("'8ecd0912345678ad3f00e1'"), 0, "a token");
        assert_eq!(found("'{\"r\":\"8ecd0912345678ad3f00e1\"}'"), 0, "a token in JSON");
        assert_eq!(found("'ba0912345678'"), 1);
        assert_eq!(found("cast('tel. 0912345678' as blob)"), 1);
        assert_eq!(found("'x 012345678901 0912345678'"), 2);
        assert_eq!(found("123456789"), 1, "a number of SQLite's");
    }

    #[test]
    fn as_many_finds_as_decoys_are_chance_and_many_more_are_a_leak() {
        for (real, decoys) in [(0, 0), (3, 0), (81, 77), (100, 70), (8, 40)] {
            assert_eq!(beyond_chance(real, decoys), 0, "{real}, {decoys}");
        }
        assert_eq!(beyond_chance(20, 0), 20);
        assert_eq!(beyond_chance(1_080, 80), 1_000);
        let numbers = Numbers::new(&[10_912_345_678, 10_387_650_000, 10_700_001_111], 10_000);
        let mixed = HashSet::from([10_912_340_000, 10_387_651_111, 10_700_005_678]);
        assert_eq!(numbers.decoys, mixed, "heads and tails of different people");
    }
}
