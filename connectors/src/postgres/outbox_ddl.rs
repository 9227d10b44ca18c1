//! What `prepare` makes in a publishing database: the outbox, its lineage row, the counter of lost statements, one trigger
//! function, and four triggers per captured table.
//!
//! The function stores rows unconverted and catches every error, so that it never makes the owner's write fail. Nobody but its
//! owner may attach it to a table: it runs with its owner's rights.

use std::collections::BTreeSet;

use lienthong_contract::source::TableCapture;

use crate::identifier::{TableName, literal, quote};

/// Names of everything that belongs to one outbox.
#[derive(Clone, Debug)]
pub(super) struct OutboxNames {
    /// The outbox table.
    pub(super) outbox: TableName,
    /// One row: lineage id and the secret for key digests.
    pub(super) meta: TableName,
    /// Sequence that counts statements whose changes could not be recorded.
    pub(super) lost: TableName,
    /// Trigger function.
    pub(super) function: TableName,
    /// Notification channel.
    pub(super) channel: String,
}

/// The four triggers of a table: suffix of the name, event with transition tables.
const TRIGGERS: [(&str, &str); 4] = [
    ("_insert", "after insert on {} referencing new table as new_rows"),
    ("_update", "after update on {} referencing old table as old_rows new table as new_rows"),
    ("_delete", "after delete on {} referencing old table as old_rows"),
    ("_truncate", "before truncate on {}"),
];

impl OutboxNames {
    /// Names beside the outbox table `table`.
    pub(super) fn new(table: &str) -> Self {
        let outbox = TableName::parse(table);
        Self {
            meta: outbox.with_suffix("_meta"),
            lost: outbox.with_suffix("_lost"),
            function: outbox.with_suffix("_capture"),
            channel: outbox.name.clone(),
            outbox,
        }
    }

    /// Names of the triggers on every captured table.
    pub(super) fn triggers(&self) -> [String; 4] {
        TRIGGERS.map(|(suffix, _)| format!("{}{suffix}", self.outbox.name))
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
    sql.push_str(&function(names));
    for capture in captures {
        let table = TableName::parse(&capture.table);
        let arguments: Vec<String> = trigger_arguments(capture).iter().map(|name| literal(name)).collect();
        for (trigger, (_, event)) in names.triggers().iter().zip(TRIGGERS) {
            sql.push_str(&format!(
                "create or replace trigger {} {} for each statement execute function {}({});\n",
                quote(trigger),
                event.replace("{}", &table.sql()),
                names.function.sql(),
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

/// The trigger function. Statement-level: one insert for any number of rows.
fn function(names: &OutboxNames) -> String {
    let (outbox, lost, function) = (names.outbox.sql(), names.lost.sql(), names.function.sql());
    let (channel, lost_name) = (literal(&names.channel), literal(&lost));
    format!(
        "create or replace function {function}() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set bytea_output = 'hex' set extra_float_digits = '1'
set intervalstyle = 'iso_8601' set datestyle = 'ISO'
as $lienthong$
-- `n.*` and not `n`: a column may have that name too.
declare
  same_key text;
  one_key text;
  recorded bigint;
begin
  if tg_op = 'INSERT' then
    insert into {outbox} (xid, rel, op, after)
    select pg_current_xact_id(), tg_argv[0], 'I', row_to_json(n.*)::text from new_rows n;
  elsif tg_op = 'DELETE' then
    insert into {outbox} (xid, rel, op, before)
    select pg_current_xact_id(), tg_argv[0], 'D', row_to_json(o.*)::text from old_rows o;
  elsif tg_op = 'UPDATE' then
    -- A row whose key changed is a delete and an insert; deletes go first.
    select string_agg(format('o.%1$I = n.%1$I', k), ' and '), min(k) into same_key, one_key from unnest(tg_argv[1:]) k;
    execute format($update$
      insert into {outbox} (xid, rel, op, before, after)
      select pg_current_xact_id(), $1,
        case when o.%1$I is null then 'I' when n.%1$I is null then 'D' else 'U' end,
        case when o.%1$I is not null then row_to_json(o.*)::text end,
        case when n.%1$I is not null then row_to_json(n.*)::text end
      from old_rows o full join new_rows n on %2$s order by n.%1$I is not null
    $update$, one_key, same_key) using tg_argv[0];
  else
    execute format($truncate$
      insert into {outbox} (xid, rel, op, before)
      select pg_current_xact_id(), $1, 'D', row_to_json(o.*)::text from only %s o
    $truncate$, tg_relid::regclass) using tg_argv[0];
  end if;
  get diagnostics recorded = row_count;
  -- A transaction that has notified cannot be prepared for two-phase commit, and a full queue would fail the commit.
  if recorded > 0 and current_setting('max_prepared_transactions') = '0' and pg_notification_queue_usage() < 0.5 then
    perform pg_notify({channel}, '');
  end if;
  return null;
exception when others then
  begin
    perform nextval({lost_name});
  exception when others then
    null;
  end;
  raise warning 'a change of % could not be recorded for the event bus (SQLSTATE %)', tg_argv[0], sqlstate;
  return null;
end
$lienthong$;
revoke all on function {function}() from public;
"
    )
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
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_stay_inside_their_quotes() {
        let names = OutboxNames::new("public.lienthong_outbox");
        let capture = TableCapture {
            table: "public.o'clock\"".to_owned(),
            key: vec!["k'".to_owned()],
            columns: vec!["k'".to_owned()],
        };
        let sql = ddl(&names, &[capture]);
        assert!(sql.contains("on \"public\".\"o'clock\"\"\" referencing"));
        assert!(sql.contains("(\'public.o''clock\"', 'k''')"));
        assert!(!sql.contains("usage on schema"), "everybody may use public");
        assert!(sql.contains("revoke all on function \"public\".\"lienthong_outbox_capture\"() from public"));
    }

    #[test]
    fn the_printed_rights_open_every_schema_once() {
        let names = OutboxNames::new("Bus.outbox");
        let capture = |table: &str| TableCapture { table: table.to_owned(), key: vec![], columns: vec![] };
        let sql = ddl(&names, &[capture("civil.birth"), capture("civil.death")]);
        assert_eq!(sql.matches("grant usage on schema").count(), 2);
        assert!(sql.contains("-- grant usage on schema \"Bus\" to") && sql.contains("schema \"civil\" to"));
    }
}
