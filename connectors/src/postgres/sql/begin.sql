create or replace function {begin}() returns trigger language plpgsql
as $lienthong$
-- Notes what had been recorded of the table when the statement began. Each kind of statement has a pile of such notes of its own:
-- statements of triggers lie on top of the statement that fired them.
declare
  last constant text := '{setting}_' || tg_relid;
  begun constant text := last || '_' || tg_op;
begin
  perform pg_catalog.set_config(
    begun,
    coalesce(nullif(pg_catalog.current_setting(last, true), ''), '0') || ',' || coalesce(pg_catalog.current_setting(begun, true), ''),
    true);
  return null;
exception when others then
  -- Without a note the statement counts as lost when it ends; the owner's write goes on.
  return null;
end
$lienthong$;
revoke all on function {begin}() from public;
