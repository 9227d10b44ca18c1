//! The sink's statements on a target table, each over a set of rows `s`: key, values, then (where versions are in a column) the
//! version. Each writes a row only when that changes it, so that the count of changed rows is true.

use super::fitted::Fitted;
use crate::identifier::{quote, quote_list};
use crate::judge::{Shape, value_columns, version_column};

/// Columns of a shape's rows behind the key: names of the value columns.
pub(super) fn values<'f>(fitted: &'f Fitted, shape: &Shape<'f>) -> Vec<&'f str> {
    match shape {
        Shape::Upsert(groups) | Shape::Insert(groups) | Shape::Update(groups) => {
            value_columns(&fitted.table, groups).into_iter().map(|column| column.name.as_str()).collect()
        }
        Shape::Void(column) => vec![column],
        Shape::Delete | Shape::Clear(_) => Vec::new(),
    }
}

/// The statement for one shape of write over the rows of `source`.
pub(super) fn write(fitted: &Fitted, shape: &Shape<'_>, source: &str) -> String {
    let names = values(fitted, shape);
    match shape {
        Shape::Upsert(_) => upsert(fitted, &names, source),
        Shape::Insert(_) => format!("{} do nothing", insert(fitted, &names, source)),
        Shape::Update(_) | Shape::Void(_) => {
            let new: Vec<(String, String)> = names
                .iter()
                .enumerate()
                .map(|(at, name)| (quote(name), cell(fitted, keys(fitted) + at, name)))
                .collect();
            update(fitted, &new, keys(fitted) + names.len(), source)
        }
        Shape::Clear(group) => {
            let columns = value_columns(&fitted.table, &[*group]);
            let new: Vec<(String, String)> =
                columns.into_iter().map(|column| (quote(&column.name), "null".to_owned())).collect();
            update(fitted, &new, keys(fitted), source)
        }
        Shape::Delete => {
            let newer = guard(fitted, keys(fitted));
            format!("delete from {} t using {source} where {}{newer}", fitted.sql, key_is(fitted))
        }
    }
}

/// Ordinals (column `c<ordinal>`) of the rows whose key is there.
pub(super) fn existing(fitted: &Fitted, ordinal: usize, source: &str) -> String {
    format!("select s.c{ordinal} from {source} join {} t on {}", fitted.sql, key_is(fitted))
}

/// How many rows hold a newer version than the one that comes, which is column `c<version>`.
pub(super) fn newer(fitted: &Fitted, column: &str, version: usize, source: &str) -> String {
    let column = quote(column);
    format!(
        "select count(*) from {source} join {} t on {} where t.{column} collate \"C\" > s.c{version} collate \"C\"",
        fitted.sql,
        key_is(fitted)
    )
}

fn keys(fitted: &Fitted) -> usize {
    fitted.table.key.len()
}

/// Column `at` of the rows as the type of a column.
fn cell(fitted: &Fitted, at: usize, column: &str) -> String {
    format!("s.c{at}::{}", fitted.cast(column))
}

fn key_is(fitted: &Fitted) -> String {
    let pairs: Vec<String> = fitted
        .table
        .key
        .iter()
        .enumerate()
        .map(|(at, key)| format!("t.{} = {}", quote(&key.name), cell(fitted, at, &key.name)))
        .collect();
    pairs.join(" and ")
}

/// Refuses what is older than a version column; `version` is the column of the rows.
fn guard(fitted: &Fitted, version: usize) -> String {
    version_column(&fitted.table).map(quote).map_or_else(String::new, |column| {
        format!(" and (t.{column} is null or t.{column} collate \"C\" <= s.c{version} collate \"C\")")
    })
}

/// An insert up to what happens to a row that is there.
fn insert(fitted: &Fitted, values: &[&str], source: &str) -> String {
    let key = || fitted.table.key.iter().map(|column| column.name.as_str());
    let columns: Vec<&str> =
        key().chain(values.iter().copied()).chain(version_column(&fitted.table)).collect();
    let cells: Vec<String> =
        columns.iter().enumerate().map(|(at, column)| cell(fitted, at, column)).collect();
    format!(
        "insert into {} as t ({}) select {} from {source} on conflict ({})",
        fitted.sql,
        quote_list("", columns.iter().copied()),
        cells.join(", "),
        quote_list("", key())
    )
}

fn upsert(fitted: &Fitted, values: &[&str], source: &str) -> String {
    let version = version_column(&fitted.table);
    let insert = insert(fitted, values, source);
    let written: Vec<&str> = values.iter().copied().chain(version).collect();
    if written.is_empty() {
        return format!("{insert} do nothing");
    }
    let set: Vec<String> =
        written.iter().map(|column| format!("{0} = excluded.{0}", quote(column))).collect();
    let newer = version.map(quote).map_or_else(String::new, |column| {
        format!(" and (t.{column} is null or t.{column} collate \"C\" <= excluded.{column} collate \"C\")")
    });
    format!(
        "{insert} do update set {} where ({}){newer}",
        set.join(", "),
        differs(written.iter().map(|column| (quote(column), format!("excluded.{}", quote(column)))))
    )
}

fn update(fitted: &Fitted, values: &[(String, String)], version: usize, source: &str) -> String {
    let mut values = values.to_vec();
    if let Some(column) = version_column(&fitted.table) {
        values.push((quote(column), cell(fitted, version, column)));
    }
    if values.is_empty() {
        // Nothing but the key: only whether the row is there counts.
        let key = quote(&fitted.table.key[0].name);
        return format!(
            "update {} t set {key} = t.{key} from {source} where {} and false",
            fitted.sql,
            key_is(fitted)
        );
    }
    let set: Vec<String> = values.iter().map(|(column, value)| format!("{column} = {value}")).collect();
    format!(
        "update {} t set {} from {source} where {} and ({}){}",
        fitted.sql,
        set.join(", "),
        key_is(fitted),
        differs(values.into_iter()),
        guard(fitted, version)
    )
}

/// By the text of the values, because some types (json) know no equality.
fn differs(pairs: impl Iterator<Item = (String, String)>) -> String {
    let tests: Vec<String> =
        pairs.map(|(column, value)| format!("t.{column}::text is distinct from ({value})::text")).collect();
    tests.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, TargetTable, VersionStore};

    fn fitted(version: VersionStore) -> Fitted {
        let column = |name: &str| TargetColumn { name: name.to_owned(), kind: CellKind::Text };
        let group = |name: &str| ColumnGroup {
            name: name.to_owned(),
            columns: vec![column("p\"in"), column(name)],
            decides_row: true,
        };
        Fitted::untyped(TargetTable {
            table: "S.t".to_owned(),
            key: vec![column("p\"in")],
            groups: vec![group("a"), group("b")],
            version,
        })
    }

    #[test]
    fn a_write_names_the_key_once_and_touches_only_rows_that_differ() {
        let fitted = fitted(VersionStore::Ledger);
        assert_eq!(
            write(&fitted, &Shape::Upsert(vec![0]), "x s"),
            "insert into \"S\".\"t\" as t (\"p\"\"in\", \"a\") select s.c0::text, s.c1::text from x s \
             on conflict (\"p\"\"in\") do update set \"a\" = excluded.\"a\" \
             where (t.\"a\"::text is distinct from (excluded.\"a\")::text)"
        );
        assert_eq!(
            write(&fitted, &Shape::Clear(1), "x s"),
            "update \"S\".\"t\" t set \"b\" = null from x s where t.\"p\"\"in\" = s.c0::text \
             and (t.\"b\"::text is distinct from (null)::text)"
        );
        assert_eq!(
            write(&fitted, &Shape::Delete, "x s"),
            "delete from \"S\".\"t\" t using x s where t.\"p\"\"in\" = s.c0::text"
        );
    }

    #[test]
    fn a_column_of_versions_guards_every_write_by_bytes() {
        let fitted = fitted(VersionStore::Column("v".to_owned()));
        let shapes = [
            (Shape::Upsert(vec![0, 1]), "excluded.\"v\""),
            (Shape::Update(vec![1]), "s.c2"),
            (Shape::Void("gone"), "s.c2"),
            (Shape::Clear(0), "s.c1"),
            (Shape::Delete, "s.c1"),
        ];
        for (shape, version) in shapes {
            let sql = write(&fitted, &shape, "x s");
            let guard = format!("(t.\"v\" is null or t.\"v\" collate \"C\" <= {version} collate \"C\")");
            assert!(sql.ends_with(&guard), "{sql}");
        }
    }

    #[test]
    fn a_group_of_nothing_but_the_key_creates_and_never_changes_a_row() {
        let mut fitted = fitted(VersionStore::Ledger);
        fitted.table.groups[0].columns.truncate(1);
        assert!(write(&fitted, &Shape::Upsert(vec![0]), "x s").ends_with("do nothing"));
        assert!(write(&fitted, &Shape::Update(vec![0]), "x s").ends_with("and false"));
    }
}
