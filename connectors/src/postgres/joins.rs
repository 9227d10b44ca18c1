//! Values that rows take from other tables: a look-up by a unique key there, in the present.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::{BrokenValue, Join, Side, TableCapture};
use sqlx::postgres::PgConnection;

use super::captured::Captured;
use super::catalogue::{self, Table};
use super::decode::{self, Needed, Reading};
use super::fitted::literal;
use super::keyed::Keyed;
use super::outbox_check::rights;
use crate::identifier::{TableName, quote, quote_list};

/// One value that a table's rows take.
pub(super) struct Joined {
    pub(super) keyed: Keyed,
    /// Places of the columns by which it is found.
    by: Vec<usize>,
    needed: Vec<Needed>,
}

impl Joined {
    /// By what it is found for a row; a part that is null finds nothing.
    pub(super) fn key(&self, cells: &[Cell<'_>]) -> Vec<Option<String>> {
        self.by.iter().map(|at| cells.get(*at).and_then(literal)).collect()
    }
}

/// A row's cells with those that it takes behind them. `found` gives what was found, as JSON.
pub(super) fn extend<'a, 'f>(
    cells: &[Cell<'a>],
    joins: &[Joined],
    found: impl Fn(usize) -> Option<&'f str>,
    (side, broken): (Side, &mut Vec<BrokenValue>),
    arena: &'a Bump,
) -> &'a [Cell<'a>] {
    let all = arena.alloc_slice_fill_copy(cells.len() + joins.len(), Cell::Null);
    all[..cells.len()].copy_from_slice(cells);
    for (at, join) in joins.iter().enumerate() {
        let (column, mut unread) = (cells.len() + at, Vec::new());
        let Some(json) = found(at) else { continue };
        match decode::row(arena.alloc_str(json), &join.needed, (side, &mut unread), arena) {
            Ok(row) => all[column] = row[0],
            Err(decode::NotARow) => unread.push(BrokenValue { side, column, rule: "not-a-row" }),
        }
        broken.extend(unread.into_iter().map(|value| BrokenValue { column, ..value }));
    }
    all
}

/// What rows take: for each of them (its table, and the row as JSON) what was found for each of the table's joins.
pub(super) async fn look_up(
    conn: &mut PgConnection,
    tables: &[&Captured],
    rows: &[(usize, Option<&str>)],
) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
    let mut taken = vec![Vec::new(); rows.len()];
    let mut arena = Bump::new();
    for (table, captured) in tables.iter().enumerate().filter(|(_, captured)| !captured.joins.is_empty()) {
        let mut places = Vec::new();
        let mut keys = vec![Vec::new(); captured.joins.len()];
        for (place, (_, json)) in rows.iter().enumerate().filter(|(_, (of, _))| *of == table) {
            arena.reset();
            let json = arena.alloc_str(json.unwrap_or_default());
            // What is no row is told where it is given out.
            let cells = decode::row(json, &captured.needed, (Side::After, &mut Vec::new()), &arena)
                .unwrap_or_default();
            places.push(place);
            for (keys, join) in keys.iter_mut().zip(&captured.joins) {
                keys.push(join.key(cells));
            }
        }
        if places.is_empty() {
            continue;
        }
        for (keys, join) in keys.iter().zip(&captured.joins) {
            let found = join.keyed.read(&mut *conn, keys).await?.rows;
            for (place, found) in places.iter().zip(found) {
                taken[*place].push(found);
            }
        }
    }
    Ok(taken)
}

/// What a table's rows take, and what keeps them from it, with what mends that.
pub(super) async fn check(
    conn: &mut PgConnection,
    (table, capture): (&Table, &TableCapture),
    role: &str,
) -> Result<(Vec<Joined>, Vec<(String, String)>), sqlx::Error> {
    let (mut joins, mut obstacles) = (Vec::new(), Vec::new());
    for join in &capture.joins {
        let name = TableName::parse(&join.table);
        let told = |problem: String, fix: String| (format!("{}: {problem}", join.place), fix);
        let Some(other) = catalogue::table(conn, &name).await? else {
            let fix = "correct the table's name in the participant's file".to_owned();
            obstacles.push(told(format!("table {} does not exist", name.plain()), fix));
            continue;
        };
        let before = obstacles.len();
        let form = misfits((table, capture), &other, join);
        obstacles.extend(form.into_iter().map(|(problem, fix)| told(problem, fix)));
        if obstacles.len() == before {
            let rights = missing_rights(conn, &other, join, role).await?;
            obstacles.extend(rights.into_iter().map(|(problem, fix)| told(problem, fix)));
        }
        if obstacles.len() == before {
            joins.push(joined((table, capture), &other, join));
        }
    }
    Ok((joins, obstacles))
}

fn by(join: &Join) -> Vec<&str> {
    join.by.iter().map(|(column, _)| column.as_str()).collect()
}

/// Whether `join` finds one row at most, by values of the same kind.
fn misfits((table, capture): (&Table, &TableCapture), other: &Table, join: &Join) -> Vec<(String, String)> {
    let (name, mut found) = (other.name.plain(), Vec::new());
    for column in by(join).into_iter().chain([join.take.as_str()]) {
        if other.column(column).is_none() {
            found.push((format!("{name} has no column {column}"), "name a column of that table".to_owned()));
        }
    }
    if !found.is_empty() {
        return found;
    }
    if !other.is_unique(&by(join)) {
        let columns = quote_list("", by(join));
        found.push((
            format!(
                "{name} has no unique index over exactly ({}): more than one row could be found",
                by(join).join(", ")
            ),
            format!(
                "look up by a unique key, or have its owner run: create unique index on {} ({columns})",
                other.name.sql()
            ),
        ));
    }
    for (column, at) in &join.by {
        let here = capture.columns.get(*at).and_then(|name| table.column(name));
        if let (Some(here), Some(there)) = (here, other.column(column))
            && kind(&here.base) != kind(&there.base)
        {
            found.push((
                format!(
                    "{} of {} and {column} of {name} are of different types",
                    here.name,
                    table.name.plain()
                ),
                "look up by columns of one type".to_owned(),
            ));
        }
    }
    found
}

/// Types of one kind are compared with each other by an index.
fn kind(base: &str) -> &str {
    match base {
        "int2" | "int4" | "int8" => "integer",
        "text" | "varchar" => "text",
        other => other,
    }
}

async fn missing_rights(
    conn: &mut PgConnection,
    other: &Table,
    join: &Join,
    role: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let columns = by(join).into_iter().chain([join.take.as_str()]).map(str::to_owned).collect();
    let rights = rights(conn, other, &TableCapture::new(&join.table, Vec::new(), columns)).await?;
    let (name, mut found) = (other.name.plain(), Vec::new());
    if !rights.schema {
        let schema = &other.name.schema;
        found.push((
            format!("the role {role} may not use the schema {schema}"),
            format!("grant usage on schema {} to {}", quote(schema), quote(role)),
        ));
    }
    if !rights.hidden.is_empty() {
        let columns = quote_list("", rights.hidden.iter().map(String::as_str));
        found.push((
            format!("the role {role} may not select {} of {name}", rights.hidden.join(", ")),
            format!("grant select ({columns}) on table {} to {}", other.name.sql(), quote(role)),
        ));
    }
    if !rights.all_rows {
        found.push((
            format!("row-level security applies to the role {role} on {name}: rows would not be found without a word"),
            format!("an administrator runs: alter role {} bypassrls", quote(role)),
        ));
    }
    Ok(found)
}

fn joined((table, capture): (&Table, &TableCapture), other: &Table, join: &Join) -> Joined {
    let cast = |at: usize| {
        let here = capture.columns.get(at).and_then(|name| table.column(name));
        here.map_or("text", |column| column.cast.as_str())
    };
    let parts: Vec<(&str, &str)> = join.by.iter().map(|(column, at)| (column.as_str(), cast(*at))).collect();
    let reading = other
        .column(&join.take)
        .map_or(Reading::Text, |column| Reading::of(&column.base, column.element.as_deref()));
    Joined {
        keyed: Keyed::new((&other.name, other.kind != "p"), &parts, std::slice::from_ref(&join.take)),
        by: join.by.iter().map(|(_, at)| *at).collect(),
        needed: vec![Needed { name: join.take.clone(), reading }],
    }
}

/// The rights that looking up needs, for an administrator.
pub(super) fn grants(captures: &[TableCapture]) -> impl Iterator<Item = String> {
    captures.iter().flat_map(|capture| &capture.joins).map(|join| {
        let columns = quote_list("", by(join).into_iter().chain([join.take.as_str()]));
        format!("grant select ({columns}) on {}", TableName::parse(&join.table).sql())
    })
}
