//! Which demo made a folder. What lies there can be continued only by a demo whose tables are the same and for which the same seed makes
//! the same history; anything else would be told as differences, or as an error of a database.

use std::path::Path;
use std::sync::LazyLock;

use lienthong_nation::{Config, Nation, RowWrite, System, Value};
use rusqlite::{Connection, OpenFlags};

use crate::copies::COPIES;
use crate::error::{DemoError, database};
use crate::ground::{NAME, OWN_STATE, state_file};
use crate::offices::OWN_TABLES;

/// People and happenings of the nation that stands for all others.
const SAMPLE: (u32, usize) = (200, 100);

/// Made of everything that a second run relies on, so that nobody has to remember to raise a number.
static MARK: LazyLock<i32> = LazyLock::new(|| {
    let mut mark = Mark::default();
    mark.text(OWN_STATE);
    mark.text(OWN_TABLES);
    COPIES.iter().for_each(|copy| mark.text(copy.create));
    System::ALL.iter().flat_map(|system| system.tables()).for_each(|table| mark.text(table.create));
    let (people, happenings) = SAMPLE;
    // A sample that cannot be made leaves the mark to the tables.
    if let Ok(mut nation) = Nation::new(Config { people, ..Config::default() }) {
        for happening in (0..happenings).map(|_| nation.advance()) {
            happening.steps.iter().flat_map(|step| &step.writes).for_each(|row| mark.row(row));
        }
    }
    mark.number()
});

/// The mark that this demo leaves in a folder's `demo.db`, as its `user_version`.
pub(crate) fn mark() -> i32 {
    *MARK
}

/// Refuses a folder whose nation another version made; touches nothing.
///
/// # Errors
/// When it does, or the folder's state cannot be read.
pub fn inspect(folder: &Path) -> Result<(), DemoError> {
    let path = state_file(folder);
    if !path.exists() {
        return Ok(());
    }
    let error = database(NAME);
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(&error)?;
    let tables = "select count(*) from sqlite_master where type = 'table'";
    let tables: i64 = conn.query_row(tables, [], |row| row.get(0)).map_err(&error)?;
    let held: i32 = conn.query_row("pragma user_version", [], |row| row.get(0)).map_err(&error)?;
    if tables == 0 || held == mark() {
        return Ok(());
    }
    Err(DemoError::Layout { folder: folder.display().to_string() })
}

/// FNV-1a, which is the same on every machine and in every version.
struct Mark(u32);

impl Default for Mark {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Mark {
    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn row(&mut self, row: &RowWrite) {
        let (sql, values) = row.statement();
        self.text(&sql);
        for value in values {
            match value {
                Value::Null => self.text(""),
                Value::Int(number) => self.text(&number.to_string()),
                Value::Text(text) => self.text(text),
            }
        }
    }

    /// Never 0, which is what a file has that nobody marked.
    fn number(&self) -> i32 {
        self.0.cast_signed().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ground, LifeOptions, write};

    const OPTIONS: LifeOptions = LifeOptions { seed: None, people: Some(100), rate: 1.0, canaries: false };

    fn refused(folder: &Path) -> String {
        let told = inspect(folder).expect_err("another version's").to_string();
        assert!(matches!(Ground::open(folder, OPTIONS), Err(DemoError::Layout { .. })), "nor is it opened");
        told
    }

    #[test]
    fn a_folder_of_a_demo_with_other_tables_is_refused_by_name_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        inspect(folder.path()).expect("an empty folder");
        std::fs::create_dir(folder.path().join("var")).unwrap();
        let old = Connection::open(state_file(folder.path())).unwrap();
        old.execute_batch(
            "create table nation (seed integer, people integer, start text, happened integer not null default 0);
             insert into nation values (1, 100, '2026-01-01', 7);",
        )
        .unwrap();
        let told = refused(folder.path());
        assert!(told.contains(&folder.path().display().to_string()), "{told}");
        assert!(told.contains("fix: ") && told.contains("--dir") && told.contains("delete"), "{told}");
    }

    #[test]
    fn a_folder_is_continued_by_the_same_demo_and_refused_when_its_mark_is_another() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), None).unwrap();
        drop(Ground::open(folder.path(), OPTIONS).unwrap());
        inspect(folder.path()).expect("its own folder");
        drop(Ground::open(folder.path(), OPTIONS).expect("again"));
        let conn = Connection::open(state_file(folder.path())).unwrap();
        conn.pragma_update(None, "user_version", mark() ^ 1).unwrap();
        refused(folder.path());
    }
}
