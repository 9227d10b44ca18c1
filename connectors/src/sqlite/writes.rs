//! One delivery's writes, judged and carried out inside its transaction.

use std::collections::BTreeMap;

use lienthong_contract::Cell;
use lienthong_contract::keys::KeyHash;
use lienthong_contract::ledger::LedgerEntry;
use lienthong_contract::sink::{Action, Applied, KeyWrite, SinkError};
use lienthong_contract::target::TargetTable;
use rusqlite::{Connection, OptionalExtension as _};

use super::error::sink_error;
use super::statements;
use super::value::Written;
use crate::judge::{self, Judged, Shape};

/// Carries out writes.
pub(super) struct Writer<'s, 'd> {
    conn: &'s Connection,
    target: &'s str,
    tables: &'s [TargetTable],
    statements: BTreeMap<(usize, Shape<'d>), String>,
    applied: Applied,
}

impl<'s, 'd> Writer<'s, 'd> {
    /// A writer for one transaction.
    pub(super) fn new(conn: &'s Connection, target: &'s str, tables: &'s [TargetTable]) -> Self {
        Self { conn, target, tables, statements: BTreeMap::new(), applied: Applied::default() }
    }

    /// What has been done so far.
    pub(super) fn applied(&self) -> Applied {
        self.applied
    }

    /// Carries out a round. Its keys differ, so entries may be read and written in the order of their hashes, which visits every page
    /// of the ledger once, while rows are written in the order in which they came.
    pub(super) fn round(&mut self, round: &[KeyWrite<'d>]) -> Result<(), SinkError> {
        let in_ledger = |write: &KeyWrite<'_>| judge::version_column(&self.tables[write.table]).is_none();
        let mut order: Vec<usize> = (0..round.len()).filter(|index| in_ledger(&round[*index])).collect();
        order.sort_unstable_by_key(|index| (round[*index].table, round[*index].key_hash));
        let mut entries: Vec<Option<LedgerEntry>> = vec![None; round.len()];
        for index in &order {
            let write = &round[*index];
            entries[*index] = self.entry(&self.tables[write.table], &write.key_hash)?;
        }
        for (write, entry) in round.iter().zip(&mut entries) {
            let table = &self.tables[write.table];
            match judge::version_column(table) {
                None => *entry = self.by_ledger(table, write, entry.as_ref())?,
                Some(_) => self.by_column(table, write)?,
            }
        }
        for index in order {
            if let Some(entry) = &entries[index] {
                let write = &round[index];
                self.keep(&self.tables[write.table], &write.key_hash, entry)?;
            }
        }
        Ok(())
    }

    /// Versions in the ledger: judges, writes the row, and gives the entry back where it has changed.
    fn by_ledger(
        &mut self,
        table: &TargetTable,
        write: &KeyWrite<'d>,
        stored: Option<&LedgerEntry>,
    ) -> Result<Option<LedgerEntry>, SinkError> {
        let mut entry = stored.cloned().unwrap_or_default();
        let judged = judge::judge(table, write, &mut entry);
        let learn = match &judged.shape {
            None => {
                self.applied.older += 1;
                true
            }
            Some(shape) => {
                let changed = self.execute(table, write, &judged, None)?;
                self.count(changed);
                // An update that found no row has not happened, so its version is not known.
                changed || !matches!(shape, Shape::Update(_)) || self.find(table, write)?.is_some()
            }
        };
        Ok(Some(entry).filter(|entry| learn && stored != Some(entry)))
    }

    /// Versions in a column of the row: the statement itself refuses what is older; the ledger knows only marks of deleted rows.
    fn by_column(&mut self, table: &TargetTable, write: &KeyWrite<'d>) -> Result<(), SinkError> {
        if judge::revokes(&write.action) {
            return Err(SinkError::Unfit {
                problem: format!(
                    "{}: {} keeps versions in a column, which cannot tell which record wrote a row, but a \
                     revocation undoes one record only",
                    self.target, table.table
                ),
                fix: "keep the versions of this table in the ledger".to_owned(),
            });
        }
        let version = judge::version_of(&write.action);
        let stored = self.entry(table, &write.key_hash)?;
        if let Some(mark) = judge::marked(stored.as_ref(), version) {
            let made = match judge::overtaken(table, write, mark) {
                None => false,
                Some(judged) => self.execute(table, write, &judged, Some(&mark.version))?,
            };
            if made {
                self.applied.changed += 1;
            } else {
                self.applied.older += 1;
            }
            return Ok(());
        }
        if self.execute(table, write, &judge::unjudged(write), Some(version))? {
            self.applied.changed += 1;
        } else if self.find(table, write)?.flatten().is_some_and(|there| there.as_str() > version) {
            self.applied.older += 1;
        } else {
            self.applied.unchanged += 1;
        }
        match judge::row_mark(&write.action) {
            None => Ok(()),
            mark => self.keep(table, &write.key_hash, &LedgerEntry { mark, ..LedgerEntry::default() }),
        }
    }

    fn count(&mut self, changed: bool) {
        if changed {
            self.applied.changed += 1;
        } else {
            self.applied.unchanged += 1;
        }
    }

    /// Runs the statement of a judged write; true when a row changed.
    fn execute(
        &mut self,
        table: &TargetTable,
        write: &KeyWrite<'d>,
        judged: &Judged<'d>,
        version: Option<&str>,
    ) -> Result<bool, SinkError> {
        let Some(shape) = &judged.shape else { return Ok(false) };
        let place = (write.table, shape.clone());
        let sql = self.statements.entry(place).or_insert_with(|| statements::write(table, shape));
        let mut values = judged.cells(table);
        if let Action::Void { at, .. } = &write.action {
            values.push(Cell::Timestamp(*at));
        }
        let run = || {
            let mut statement = self.conn.prepare_cached(sql)?;
            let mut index = 0;
            for cell in write.key.iter().chain(&values) {
                index += 1;
                statement.raw_bind_parameter(index, Written(cell))?;
            }
            if let Some(version) = version {
                statement.raw_bind_parameter(index + 1, version)?;
            }
            statement.raw_execute()
        };
        run().map(|rows| rows > 0).map_err(|e| sink_error(self.target, Some(&table.table), &e))
    }

    /// The row's version column, if there is a row.
    fn find(&self, table: &TargetTable, write: &KeyWrite<'_>) -> Result<Option<Option<String>>, SinkError> {
        let run = || {
            let mut statement = self.conn.prepare_cached(&statements::find(table))?;
            for (at, cell) in write.key.iter().enumerate() {
                statement.raw_bind_parameter(at + 1, Written(cell))?;
            }
            let mut rows = statement.raw_query();
            rows.next()?.map(|row| row.get(0)).transpose()
        };
        run().map_err(|e| sink_error(self.target, Some(&table.table), &e))
    }

    fn entry(&self, table: &TargetTable, key: &KeyHash) -> Result<Option<LedgerEntry>, SinkError> {
        let read = || {
            self.conn
                .prepare_cached(
                    "select entry from lienthong_version where table_name = ?1 and key_hash = ?2",
                )?
                .query_row((&table.table, key.0), |row| row.get::<_, String>(0))
                .optional()
        };
        let text = read().map_err(|e| sink_error(self.target, None, &e))?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| SinkError::Unfit {
            problem: format!(
                "{}: an entry of lienthong_version for {} cannot be read",
                self.target, table.table
            ),
            fix: "restore lienthong_version from a backup together with the table".to_owned(),
        })
    }

    fn keep(&self, table: &TargetTable, key: &KeyHash, entry: &LedgerEntry) -> Result<(), SinkError> {
        let text = serde_json::to_string(entry).map_err(|_| SinkError::Unfit {
            problem: format!("{}: an entry of lienthong_version cannot be written as text", self.target),
            fix: "report this as a defect".to_owned(),
        })?;
        let run = || {
            self.conn
                .prepare_cached(
                    "insert into lienthong_version (table_name, key_hash, entry) values (?1, ?2, ?3) \
                     on conflict (table_name, key_hash) do update set entry = excluded.entry",
                )?
                .execute((&table.table, key.0, text))
        };
        run().map(drop).map_err(|e| sink_error(self.target, None, &e))
    }
}
