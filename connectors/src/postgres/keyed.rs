//! Rows of a table by a key of it, in the present: one statement for many keys.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::identifier::{TableName, quote, quote_list, safe};

/// Looks rows up.
pub(super) struct Keyed {
    sql: String,
    parts: usize,
}

/// What one statement found.
pub(super) struct Answers {
    /// What it saw, as `pg_current_snapshot` writes it.
    pub(super) snapshot: String,
    /// One per key, in their order: the row as JSON, if there is one.
    pub(super) rows: Vec<Option<String>>,
}

impl Keyed {
    /// `columns` of the row in which `by`, a unique key, has given values. They are given as texts that the type beside each column reads.
    /// A plain table gives no rows of those that inherit from it.
    pub(super) fn new((table, plain): (&TableName, bool), by: &[(&str, &str)], columns: &[String]) -> Self {
        let each = |part: fn(usize) -> String| (0..by.len()).map(part).collect::<Vec<_>>().join(", ");
        let same: Vec<String> = by
            .iter()
            .enumerate()
            .map(|(at, (column, cast))| format!("o.{} = u.k{at}::{cast}", quote(column)))
            .collect();
        // Row by row, so that each key goes by the index.
        let sql = format!(
            "select f.row as row, pg_catalog.pg_current_snapshot()::text as snapshot \
             from unnest({}) with ordinality as u({}, place) left join lateral (select row_to_json(t.*)::text as row from \
             (select {} from {}{} o where {} limit 1) t) f on true order by u.place",
            each(|at| format!("${}::text[]", at + 1)),
            each(|at| format!("k{at}")),
            quote_list("o.", columns.iter().map(String::as_str)),
            if plain { "only " } else { "" },
            table.sql(),
            same.join(" and ")
        );
        Self { sql, parts: by.len() }
    }

    /// A key of which a part is null belongs to no row.
    pub(super) async fn read(
        &self,
        conn: &mut PgConnection,
        keys: &[Vec<Option<String>>],
    ) -> Result<Answers, sqlx::Error> {
        let mut query = sqlx::query(safe(self.sql.clone()));
        for part in 0..self.parts {
            query = query.bind(keys.iter().map(|key| key.get(part).cloned().flatten()).collect::<Vec<_>>());
        }
        let found = query.fetch_all(conn).await?;
        let first = found.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok(Answers {
            snapshot: first.try_get("snapshot")?,
            rows: found.iter().map(|row| row.try_get("row")).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_every_part_of_its_key_and_gives_no_more_than_is_asked() {
        let table = TableName::parse("Hồ Sơ.Tờ");
        let by = [("a", "\"pg_catalog\".\"int8\""), ("b\"", "\"x\".\"y\"")];
        let keyed = Keyed::new((&table, true), &by, &["c".to_owned(), "D".to_owned()]);
        for part in [
            "unnest($1::text[], $2::text[]) with ordinality as u(k0, k1, place)",
            "select o.\"c\", o.\"D\" from only \"Hồ Sơ\".\"Tờ\" o \
             where o.\"a\" = u.k0::\"pg_catalog\".\"int8\" and o.\"b\"\"\" = u.k1::\"x\".\"y\" limit 1",
        ] {
            assert!(keyed.sql.contains(part), "{}", keyed.sql);
        }
    }
}
