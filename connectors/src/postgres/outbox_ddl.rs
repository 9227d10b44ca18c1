//! What `prepare` makes in a publishing database: the outbox, its lineage row, the counter of lost statements, two trigger
//! functions, and six triggers per captured table.
//!
//! The functions store rows unconverted and catch every error, so that they never make the owner's write fail. Nobody but their
//! owner may attach them to a table: the one that records runs with its owner's rights.
//!
//! A statement is recorded when it ends. A trigger of the owner that writes the same table has its own statement recorded before
//! the one that fired it. So each statement notes at its beginning (`sql/begin.sql`) what has been recorded, and at its end
//! (`sql/capture.sql`) gives every row that others have changed as well one change, from its first state to its last.

use std::collections::BTreeSet;

use lienthong_contract::source::TableCapture;
use sha2::{Digest as _, Sha256};

use super::joins;
use crate::identifier::{TableName, literal, quote};
use crate::text::hex;

/// Names of everything that belongs to one outbox.
#[derive(Clone, Debug)]
pub(super) struct OutboxNames {
    /// The outbox table.
    pub(super) outbox: TableName,
    /// One row: lineage id and the secret for key digests.
    pub(super) meta: TableName,
    /// Sequence that counts statements whose changes could not be recorded.
    pub(super) lost: TableName,
    /// Trigger function that records.
    pub(super) capture: TableName,
    /// Trigger function that notes where a statement begins.
    pub(super) begin: TableName,
    /// Notification channel.
    pub(super) channel: String,
}

/// The triggers of a table: suffix of the name, event with transition tables.
const TRIGGERS: [(&str, &str); 6] = [
    (BEGIN, "before insert or update or delete on {}"),
    ("_insert", "after insert on {} referencing new table as new_rows"),
    ("_update", "after update on {} referencing old table as old_rows new table as new_rows"),
    ("_delete", "after delete on {} referencing old table as old_rows"),
    ("_truncate", "before truncate on {}"),
    ("_truncated", "after truncate on {}"),
];
/// The trigger and function that note where a statement begins.
const BEGIN: &str = "_begin";
const BEGIN_SQL: &str = include_str!("sql/begin.sql");
const CAPTURE_SQL: &str = include_str!("sql/capture.sql");

impl OutboxNames {
    /// Names beside the outbox table `table`.
    pub(super) fn new(table: &str) -> Self {
        let outbox = TableName::parse(table);
        Self {
            meta: outbox.with_suffix("_meta"),
            lost: outbox.with_suffix("_lost"),
            capture: outbox.with_suffix("_capture"),
            begin: outbox.with_suffix(BEGIN),
            channel: outbox.name.clone(),
            outbox,
        }
    }

    /// What names the advisory lock that a connector holds.
    pub(super) fn lock(&self) -> String {
        format!("lienthong:{}", self.outbox.plain())
    }

    /// Names of the triggers on every captured table.
    pub(super) fn triggers(&self) -> [String; TRIGGERS.len()] {
        TRIGGERS.map(|(suffix, _)| format!("{}{suffix}", self.outbox.name))
    }

    /// What the names of the settings begin with in which a transaction keeps its notes.
    fn setting(&self) -> String {
        let digest = hex(&Sha256::digest(self.outbox.sql()));
        format!("lienthong.o{}", &digest[..12])
    }
}

/// Arguments of a table's triggers: the name under which rows are stored, then the key columns.
pub(super) fn trigger_arguments(capture: &TableCapture) -> Vec<String> {
    let name = TableName::parse(&capture.table).plain();
    std::iter::once(name).chain(capture.key.iter().cloned()).collect()
}

/// All statements, safe to run again.
pub(super) fn ddl(names: &OutboxNames, captures: &[TableCapture]) -> String {
    let mut sql = tables(names);
    sql.push_str(&functions(names));
    for capture in captures {
        let table = TableName::parse(&capture.table);
        let arguments: Vec<String> = trigger_arguments(capture).iter().map(|name| literal(name)).collect();
        for (trigger, (suffix, event)) in names.triggers().iter().zip(TRIGGERS) {
            let function = if suffix == BEGIN { &names.begin } else { &names.capture };
            sql.push_str(&format!(
                "create or replace trigger {} {} for each statement execute function {}({});\n",
                quote(trigger),
                event.replace("{}", &table.sql()),
                function.sql(),
                arguments.join(", "),
            ));
        }
    }
    sql.push_str(&grants(names, captures));
    sql
}

fn tables(names: &OutboxNames) -> String {
    let (outbox, meta, lost) = (names.outbox.sql(), names.meta.sql(), names.lost.sql());
    let index = quote(&format!("{}_xid", names.outbox.name));
    format!(
        "create table if not exists {outbox} (\n  \
           id bigint generated always as identity primary key,\n  \
           xid xid8 not null,\n  \
           at timestamptz not null default clock_timestamp(),\n  \
           rel text not null,\n  \
           op \"char\" not null,\n  \
           before text,\n  \
           after text\n\
         ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);\n\
         create index if not exists {index} on {outbox} (xid);\n\
         create table if not exists {meta} (\n  \
           one boolean primary key default true check (one),\n  \
           lineage uuid not null default gen_random_uuid(),\n  \
           secret text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')\n);\n\
         insert into {meta} default values on conflict do nothing;\n\
         create sequence if not exists {lost};\n"
    )
}

/// The trigger functions. Statement-level: one insert for any number of rows.
fn functions(names: &OutboxNames) -> String {
    [BEGIN_SQL, CAPTURE_SQL]
        .concat()
        .replace("{begin}", &names.begin.sql())
        .replace("{capture}", &names.capture.sql())
        .replace("{outbox}", &names.outbox.sql())
        .replace("{setting}", &names.setting())
        .replace("{channel}", &literal(&names.channel))
        .replace("{lost}", &literal(&names.lost.sql()))
}

/// The rights that the connector's role needs, as comments: which role that is, the administrator knows.
fn grants(names: &OutboxNames, captures: &[TableCapture]) -> String {
    let mut sql = format!(
        "-- The connector's role needs no more than this:\n\
         -- grant select, delete on {} to <connector>;\n\
         -- grant select on {}, {} to <connector>;\n",
        names.outbox.sql(),
        names.meta.sql(),
        names.lost.sql(),
    );
    let tables = captures.iter().map(|capture| TableName::parse(&capture.table).schema);
    let schemas: BTreeSet<String> = tables.chain([names.outbox.schema.clone()]).collect();
    for schema in schemas.iter().filter(|schema| *schema != "public") {
        sql.push_str(&format!("-- grant usage on schema {} to <connector>;\n", quote(schema)));
    }
    for capture in captures {
        sql.push_str(&format!(
            "-- grant select on {} to <connector>;\n",
            TableName::parse(&capture.table).sql()
        ));
    }
    sql.extend(joins::grants(captures).map(|grant| format!("-- {grant} to <connector>;\n")));
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_stay_inside_their_quotes() {
        let names = OutboxNames::new("public.lienthong_outbox");
        let capture = TableCapture::new("public.o'clock\"", vec!["k'".to_owned()], vec!["k'".to_owned()]);
        let sql = ddl(&names, &[capture]);
        assert!(sql.contains("on \"public\".\"o'clock\"\"\" referencing"));
        assert!(sql.contains("(\'public.o''clock\"', 'k''')"));
        assert!(!sql.contains("usage on schema"), "everybody may use public");
        assert!(sql.contains("revoke all on function \"public\".\"lienthong_outbox_capture\"() from public"));
    }

    #[test]
    fn the_printed_rights_open_every_schema_once() {
        let names = OutboxNames::new("Bus.outbox");
        let capture = |table: &str| TableCapture::new(table, vec![], vec![]);
        let sql = ddl(&names, &[capture("civil.birth"), capture("civil.death")]);
        assert_eq!(sql.matches("grant usage on schema").count(), 2);
        assert!(sql.contains("-- grant usage on schema \"Bus\" to") && sql.contains("schema \"civil\" to"));
    }
}
