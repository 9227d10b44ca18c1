//! `kind` and `url` of a database.

use std::path::Path;

use lienthong_connectors::Database;

use crate::reader::{Map, Reader, Text};

#[derive(Clone, Copy)]
enum Kind {
    Postgres,
    Sqlite,
}

/// Kinds that work today.
const KINDS: [(&str, Kind); 2] = [("postgres", Kind::Postgres), ("sqlite", Kind::Sqlite)];

/// Reads `kind` and `url` of a source or target.
pub(crate) fn database(reader: &mut Reader<'_>, map: &Map<'_>) -> Option<Database> {
    let kind = reader.required_text(map, "kind");
    let url = reader.required_text(map, "url");
    match reader.word(&kind?, "kind of database", &KINDS)? {
        Kind::Postgres => postgres(reader, &url?),
        Kind::Sqlite => Some(Database::Sqlite { path: sqlite(reader.around().folder, &url?.value) }),
    }
}

fn postgres(reader: &mut Reader<'_>, url: &Text) -> Option<Database> {
    if ["postgres://", "postgresql://"].iter().any(|scheme| url.value.starts_with(scheme)) {
        return Some(Database::Postgres { url: url.value.clone() });
    }
    let fix = "write postgres://user@host:port/database";
    reader.problem(url.at, "`url` is no PostgreSQL address", fix);
    None
}

/// A file name, with or without `sqlite:` in front.
fn sqlite(folder: &Path, text: &str) -> std::path::PathBuf {
    folder.join(text.strip_prefix("sqlite:").unwrap_or(text))
}

/// Whether two spellings name one table: `public` is what a name without a schema means.
pub(crate) fn same_table(left: &str, right: &str) -> bool {
    let bare = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
    bare(left) == bare(right)
}
