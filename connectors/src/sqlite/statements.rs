//! The sink's statements on a target table. Each writes a row only when that changes it, so that the count of changed rows is
//! true and a replay leaves the file alone.

use lienthong_contract::target::TargetTable;

use super::file::plain;
use crate::identifier::{quote, quote_list};
use crate::judge::{Shape, value_columns, version_column};

/// The statement for one shape of write. Parameters: the key, then the values, then (where versions are in a column) the version.
pub(super) fn write(table: &TargetTable, shape: &Shape<'_>) -> String {
    match shape {
        Shape::Upsert(groups) => upsert(table, &names(table, groups)),
        Shape::Insert(groups) => format!("{} do nothing", insert(table, &names(table, groups))),
        Shape::Update(groups) => update(table, &assignments(table, &names(table, groups))),
        Shape::Delete => delete(table),
        Shape::Void(column) => update(table, &[(quote(column), parameter(table, 0))]),
        Shape::Clear(group) => {
            let columns = names(table, &[*group]).into_iter().map(|name| (quote(name), "null".to_owned()));
            update(table, &columns.collect::<Vec<_>>())
        }
    }
}

/// Finds a row by its key and gives its version, or null where versions are not in a column.
pub(super) fn find(table: &TargetTable) -> String {
    let version = version_column(table).map_or_else(|| "null".to_owned(), quote);
    format!("select {version} from {} where {}", name(table), key_is(table))
}

/// Every value column of a shape, without the key's.
fn names<'t>(table: &'t TargetTable, groups: &[usize]) -> Vec<&'t str> {
    value_columns(table, groups).into_iter().map(|column| column.name.as_str()).collect()
}

fn name(table: &TargetTable) -> String {
    quote(plain(&table.table))
}

/// The parameter of value `at`.
fn parameter(table: &TargetTable, at: usize) -> String {
    format!("?{}", table.key.len() + 1 + at)
}

fn key_is(table: &TargetTable) -> String {
    let pairs: Vec<String> =
        table.key.iter().enumerate().map(|(at, key)| format!("{} = ?{}", quote(&key.name), at + 1)).collect();
    pairs.join(" and ")
}

fn assignments(table: &TargetTable, columns: &[&str]) -> Vec<(String, String)> {
    columns.iter().enumerate().map(|(at, column)| (quote(column), parameter(table, at))).collect()
}

/// An insert up to what happens to a row that is there.
fn insert(table: &TargetTable, values: &[&str]) -> String {
    let keys = table.key.iter().map(|key| key.name.as_str());
    let columns: Vec<&str> =
        keys.clone().chain(values.iter().copied()).chain(version_column(table)).collect();
    let parameters: Vec<String> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
    format!(
        "insert into {} ({}) values ({}) on conflict ({})",
        name(table),
        quote_list("", columns.iter().copied()),
        parameters.join(", "),
        quote_list("", keys)
    )
}

fn upsert(table: &TargetTable, values: &[&str]) -> String {
    let target = name(table);
    let version = version_column(table);
    let insert = insert(table, values);
    let written: Vec<String> = values.iter().copied().chain(version).map(quote).collect();
    if written.is_empty() {
        return format!("{insert} do nothing");
    }
    let set: Vec<String> = written.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let differs: Vec<String> = written
        .iter()
        .map(|column| format!("{target}.{column} collate binary is not excluded.{column}"))
        .collect();
    let newer = version.map(quote).map_or_else(String::new, |version| {
        format!(
            " and ({target}.{version} is null or {target}.{version} collate binary <= excluded.{version})"
        )
    });
    format!("{insert} do update set {} where ({}){newer}", set.join(", "), differs.join(" or "))
}

fn update(table: &TargetTable, values: &[(String, String)]) -> String {
    let mut values = values.to_vec();
    let mut newer = String::new();
    if let Some(version) = version_column(table).map(quote) {
        // The last parameter; a shape without values of its own has one fewer.
        let own = values.iter().filter(|(_, value)| value != "null").count();
        let parameter = parameter(table, own);
        newer = format!(" and ({version} is null or {version} collate binary <= {parameter})");
        values.push((version, parameter));
    }
    if values.is_empty() {
        // Nothing but the key: only whether the row is there counts.
        let key = quote(&table.key[0].name);
        return format!("update {} set {key} = {key} where {} and false", name(table), key_is(table));
    }
    let set: Vec<String> = values.iter().map(|(column, value)| format!("{column} = {value}")).collect();
    let differs: Vec<String> =
        values.iter().map(|(column, value)| format!("{column} collate binary is not {value}")).collect();
    format!(
        "update {} set {} where {} and ({}){newer}",
        name(table),
        set.join(", "),
        key_is(table),
        differs.join(" or ")
    )
}

fn delete(table: &TargetTable) -> String {
    let newer = version_column(table).map(quote).map_or_else(String::new, |version| {
        format!(" and ({version} is null or {version} collate binary <= {})", parameter(table, 0))
    });
    format!("delete from {} where {}{newer}", name(table), key_is(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, VersionStore};

    fn table(version: VersionStore) -> TargetTable {
        let column = |name: &str| TargetColumn { name: name.to_owned(), kind: CellKind::Text };
        TargetTable {
            table: "t".to_owned(),
            key: vec![column("k"), column("l")],
            groups: vec![ColumnGroup {
                name: "a".to_owned(),
                columns: vec![column("k"), column("a\"b")],
                decides_row: true,
            }],
            version,
        }
    }

    #[test]
    fn a_write_touches_only_rows_that_differ() {
        let table = table(VersionStore::Ledger);
        assert_eq!(
            write(&table, &Shape::Upsert(vec![0])),
            "insert into \"t\" (\"k\", \"l\", \"a\"\"b\") values (?1, ?2, ?3) on conflict (\"k\", \"l\") \
             do update set \"a\"\"b\" = excluded.\"a\"\"b\" where (\"t\".\"a\"\"b\" collate binary is not excluded.\"a\"\"b\")"
        );
        assert_eq!(
            write(&table, &Shape::Clear(0)),
            "update \"t\" set \"a\"\"b\" = null where \"k\" = ?1 and \"l\" = ?2 and (\"a\"\"b\" collate binary is not null)"
        );
        assert!(write(&table, &Shape::Upsert(vec![])).ends_with("do nothing"));
    }

    #[test]
    fn a_version_column_guards_every_write() {
        let table = table(VersionStore::Column("v".to_owned()));
        for shape in
            [Shape::Upsert(vec![0]), Shape::Update(vec![0]), Shape::Delete, Shape::Void("w"), Shape::Clear(0)]
        {
            let sql = write(&table, &shape);
            assert!(sql.contains("\"v\" is null or"), "{sql}");
        }
        assert!(write(&table, &Shape::Delete).ends_with("collate binary <= ?3)"));
        assert!(write(&table, &Shape::Clear(0)).ends_with("collate binary <= ?3)"));
        assert!(write(&table, &Shape::Void("w")).ends_with("collate binary <= ?4)"));
    }
}
