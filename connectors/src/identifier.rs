//! Names in SQL text. Every identifier, string literal and generated statement of this crate passes through here,
//! so that this is the one place to audit.

use sqlx::AssertSqlSafe;

/// Quotes one identifier. Standard SQL, understood by every kind of database here.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes and joins identifiers, each behind `prefix` (such as `t.`).
pub(crate) fn quote_list<'a>(prefix: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("{prefix}{}", quote(name))).collect();
    quoted.join(", ")
}

/// Quotes a name as a string literal. Only for names in statements that take no parameters.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Vouches for a generated statement: it holds quoted identifiers and parameters, never a value.
pub(crate) fn safe(sql: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql)
}

/// A table's name with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    /// Schema; `public` when the name was written without one.
    pub(crate) schema: String,
    /// The table alone.
    pub(crate) name: String,
}

impl TableName {
    /// Reads `schema.table` or `table`.
    pub(crate) fn parse(text: &str) -> Self {
        let (schema, name) = text.split_once('.').unwrap_or(("public", text));
        Self { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// `schema.table`, unquoted: how the bus stores and prints the name.
    pub(crate) fn plain(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The quoted name for SQL.
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// A table beside this one whose name has a suffix.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        Self { schema: self.schema.clone(), name: format!("{}{suffix}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_a_name_cannot_end_the_identifier() {
        assert_eq!(quote("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(quote_list("t.", ["a", "b"]), "t.\"a\", t.\"b\"");
    }

    #[test]
    fn a_name_without_schema_is_in_public() {
        assert_eq!(TableName::parse("birth").sql(), "\"public\".\"birth\"");
        assert_eq!(TableName::parse("Civil.Birth").sql(), "\"Civil\".\"Birth\"");
        assert_eq!(TableName::parse("civil.outbox").with_suffix("_meta").plain(), "civil.outbox_meta");
    }
}
