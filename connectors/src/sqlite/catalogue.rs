//! What the file's own catalogue says of a table.

use rusqlite::{Connection, OptionalExtension as _};

/// A plain table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Its name as it was created.
    pub(super) name: String,
    /// `table`, `view`, `virtual` or `shadow`.
    pub(super) kind: String,
    /// Whether declared types are enforced.
    pub(super) strict: bool,
    /// Columns, generated ones among them.
    pub(super) columns: Vec<Column>,
    /// Everything that a row can conflict over.
    pub(super) unique: Vec<Unique>,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name as it was created.
    pub(super) name: String,
    /// Declared type; may be empty.
    pub(super) declared: String,
    /// Whether it may be null.
    pub(super) nullable: bool,
    /// Whether it is computed.
    pub(super) generated: bool,
    in_primary_key: bool,
}

/// A primary key or unique index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unique {
    /// Name of the index; empty for an integer primary key, which has none.
    pub(super) index: String,
    /// Columns with the collation by which they are compared.
    pub(super) columns: Vec<(String, String)>,
    /// Covers only some rows, or an expression.
    pub(super) partial: bool,
}

impl Unique {
    /// Whether it is over exactly these columns, in any order.
    pub(super) fn is_over(&self, key: &[&str]) -> bool {
        !self.partial && self.columns.len() == key.len() && key.iter().all(|name| self.has(name))
    }

    /// Whether the column is one of its columns.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(column))
    }
}

impl Table {
    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// Reads the catalogue for `name`; `None` when there is no such table or view.
pub(super) fn table(conn: &Connection, name: &str) -> rusqlite::Result<Option<Table>> {
    let sql = "select name, type, wr, strict from pragma_table_list where schema = 'main' and name = ?1 collate nocase";
    let found = conn
        .query_row(sql, [name], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, bool>(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((name, kind, without_rowid, strict)) = found else { return Ok(None) };
    let mut columns = columns(conn, &name)?;
    let (mut unique, key_index) = unique(conn, &name)?;
    let key: Vec<&mut Column> = columns.iter_mut().filter(|column| column.in_primary_key).collect();
    if without_rowid {
        key.into_iter().for_each(|column| column.nullable = false);
    } else if let [column] = &mut key.into_iter().collect::<Vec<_>>()[..]
        && !key_index
    {
        // A primary key without an index of its own is the row number.
        column.nullable = false;
        let columns = vec![(column.name.clone(), "BINARY".to_owned())];
        unique.push(Unique { index: String::new(), columns, partial: false });
    }
    Ok(Some(Table { name, kind, strict, columns, unique }))
}

fn columns(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let sql = "select name, type, \"notnull\", pk, hidden from pragma_table_xinfo(?1)";
    conn.prepare(sql)?
        .query_map([table], |row| {
            Ok(Column {
                name: row.get(0)?,
                declared: row.get(1)?,
                nullable: !row.get::<_, bool>(2)?,
                in_primary_key: row.get::<_, i64>(3)? > 0,
                generated: matches!(row.get(4)?, 2 | 3),
            })
        })?
        .collect()
}

/// Unique indexes, and whether one of them is the primary key's.
fn unique(conn: &Connection, table: &str) -> rusqlite::Result<(Vec<Unique>, bool)> {
    let sql = "select name, origin = 'pk', partial from pragma_index_list(?1) where \"unique\" order by name";
    let indexes: Vec<(String, bool, bool)> = conn
        .prepare(sql)?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::new();
    let mut parts = conn.prepare("select name, coll from pragma_index_xinfo(?1) where key order by seqno")?;
    for (index, _, partial) in &indexes {
        let columns: Vec<(Option<String>, String)> = parts
            .query_map([index], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let expression = columns.iter().any(|(name, _)| name.is_none());
        let columns = columns.into_iter().filter_map(|(name, coll)| name.map(|name| (name, coll))).collect();
        found.push(Unique { index: index.clone(), columns, partial: *partial || expression });
    }
    Ok((found, indexes.iter().any(|(_, primary, _)| *primary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(sql: &str) -> Connection {
        let conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch(sql).expect("tables");
        conn
    }

    #[test]
    fn every_kind_of_primary_key_is_found() {
        let conn = conn(
            "create table a (id integer primary key, v);
             create table b (k text primary key, v);
             create table c (k text, l text, v, primary key (k, l)) without rowid;
             create table d (v);
             create table e (k int primary key, v);",
        );
        let read = |name: &str| table(&conn, name).expect("read").expect("there");
        assert!(read("a").unique[0].is_over(&["ID"]));
        assert!(!read("a").columns[0].nullable);
        assert!(read("b").unique[0].is_over(&["k"]));
        assert!(read("b").columns[0].nullable, "SQLite lets a primary key be null");
        assert!(read("c").unique[0].is_over(&["l", "k"]));
        assert!(!read("c").columns[1].nullable);
        assert!(read("d").unique.is_empty());
        assert_eq!(read("e").unique.len(), 1);
        assert!(table(&conn, "none").expect("read").is_none());
    }

    #[test]
    fn partial_and_expression_indexes_are_told_apart_and_generated_columns_seen() {
        let conn = conn(
            "create table a (k, v text, g generated always as (upper(v)));
             create unique index i1 on a (k) where v is not null;
             create unique index i2 on a (lower(v));
             create unique index i3 on a (v collate nocase);
             create view w as select 1 as k;",
        );
        let a = table(&conn, "A").expect("read").expect("there");
        assert_eq!(a.name, "a");
        assert!(a.columns[2].generated);
        assert_eq!(a.unique.iter().filter(|unique| unique.partial).count(), 2);
        assert!(a.unique.iter().any(|unique| unique.columns == [("v".to_owned(), "nocase".to_owned())]));
        assert_eq!(table(&conn, "w").expect("read").expect("there").kind, "view");
    }
}
