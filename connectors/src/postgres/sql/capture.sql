create or replace function {capture}() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp set row_security = off set timezone = 'UTC' set bytea_output = 'hex'
set extra_float_digits = '1' set intervalstyle = 'iso_8601' set datestyle = 'ISO'
as $lienthong$
-- `n.*` and not `n`: a column may have that name too.
declare
  last constant text := '{setting}_' || tg_relid;
  begun constant text := last || '_' || tg_op;
  pile text := current_setting(begun, true);
  known text := coalesce(nullif(current_setting(last, true), ''), '0');
  began text;
  expected text;
  recorded bigint := 0;
  former text;
  latter text;
  settled boolean := true;
begin
  -- Takes the statement's note from its pile: the last id recorded when it began, after which only others have recorded.
  if tg_op = 'TRUNCATE' and tg_when = 'BEFORE' then
    began := known;
    expected := known;
  else
    began := nullif(split_part(pile, ',', 1), '');
    pile := substr(pile, strpos(pile, ',') + 1);
    expected := began;
    if tg_op = 'TRUNCATE' then
      expected := nullif(split_part(pile, ',', 1), '');
      pile := substr(pile, strpos(pile, ',') + 1);
    end if;
    if began is null or expected is null then
      raise exception 'where the statement began has not been noted';
    end if;
    perform set_config(begun, pile, true);
  end if;

  if tg_op = 'INSERT' then
    insert into {outbox} (xid, rel, op, after)
    select pg_current_xact_id(), tg_argv[0], 'I', row_to_json(n.*)::text from new_rows n;
    get diagnostics recorded = row_count;
  elsif tg_op = 'DELETE' then
    insert into {outbox} (xid, rel, op, before)
    select pg_current_xact_id(), tg_argv[0], 'D', row_to_json(o.*)::text from old_rows o;
    get diagnostics recorded = row_count;
  elsif tg_op = 'UPDATE' then
    if (select count(*) from (select from new_rows limit 2) n) = 1 then
      -- One row needs no pairing, and so no plan of its own.
      select row_to_json(o.*)::text into former from old_rows o;
      select row_to_json(n.*)::text into latter from new_rows n;
      if exists (select from unnest(tg_argv[1:]) k where former::json ->> k is distinct from latter::json ->> k) then
        insert into {outbox} (xid, rel, op, before, after) values
          (pg_current_xact_id(), tg_argv[0], 'D', former, null), (pg_current_xact_id(), tg_argv[0], 'I', null, latter);
      else
        insert into {outbox} (xid, rel, op, before, after)
        values (pg_current_xact_id(), tg_argv[0], 'U', former, latter);
      end if;
    else
      -- Old and new rows lie side by side in the order in which they were written; a foreign key that refers to its own table
      -- may have written a row twice. A row whose key changed is a delete and an insert.
      execute (select format($update$
        insert into {outbox} (xid, rel, op, before, after)
        select pg_current_xact_id(), $1, c.op, c.before, c.after
        from (select row_number() over () as place, row_to_json(r.*)::text as row, %1$s from old_rows r) o
        join (select row_number() over () as place, row_to_json(r.*)::text as row, %1$s from new_rows r) n using (place)
        cross join lateral (
          select 'U'::"char", o.row, n.row where %2$s
          union all select 'D', o.row, null where not (%2$s)
          union all select 'I', null, n.row where not (%2$s)) c (op, before, after)
        order by place, c.op
        $update$,
          string_agg(format('r.%I::text collate "C" as k%s', name, at), ', '),
          string_agg(format('o.k%1$s = n.k%1$s', at), ' and '))
        from unnest(tg_argv[1:]) with ordinality k (name, at)) using tg_argv[0];
    end if;
    get diagnostics recorded = row_count;
  elsif tg_when = 'BEFORE' then
    execute format($truncate$
      insert into {outbox} (xid, rel, op, before)
      select pg_current_xact_id(), $1, 'D', row_to_json(o.*)::text from only %s o
      $truncate$, tg_relid::regclass) using tg_argv[0];
    get diagnostics recorded = row_count;
  end if;
  if recorded > 0 then
    perform set_config(last, lastval()::text, true);
  end if;
  if tg_op = 'TRUNCATE' and tg_when = 'BEFORE' then
    expected := case when recorded > 0 then lastval()::text else known end;
    -- Each note ends with a comma, also the lowest: one that stayed behind would stand for a note that a later statement lacks.
    perform set_config(begun, concat_ws(',', began, expected, coalesce(pile, '')), true);
    known := expected;
  end if;

  -- Others have recorded changes of this table since the statement began, a trigger of its owner perhaps, whose statement ended
  -- first. A row that was changed by both is given one change, from its state when the statement began to its state now. Whatever
  -- the order was, each state that was left had been entered, but for the first: so it is the one that is left over.
  if known <> expected and (recorded > 0 or tg_op = 'TRUNCATE') then
    execute (select format($settle$
      with touched as materialized (
        select c.id as place, c.before as former, c.after as latter, %1$s
        from {outbox} c cross join lateral json_to_record(coalesce(c.after, c.before)::json) as r (%2$s)
        where c.xid = pg_current_xact_id() and c.id > $2 and c.rel = $1
      ), again as materialized (
        select %3$s, max(place) as place from touched group by %3$s having count(*) > 1 or $3 and count(latter) > 0
      ), standing as materialized (
        select %3$s, place, (select row_to_json(t.*)::text from only %4$s t where %5$s) as state from again
      ), first as materialized (
        select %3$s, state, sum(way) as ways from (
          select %3$s, former as state, 1 as way from touched join again using (%3$s)
          union all select %3$s, latter, -1 from touched join again using (%3$s)
          union all select %3$s, state, 1 from standing) s
        group by %3$s, state having sum(way) <> 0
      ), removed as (
        delete from {outbox} where id in (select touched.place from touched join again using (%3$s))
      ), added as (
        insert into {outbox} (xid, rel, op, before, after)
        select pg_current_xact_id(), $1,
          case when first.state is null then 'I' when standing.state is null then 'D' else 'U' end, first.state, standing.state
        from first join standing using (%3$s) where first.state is distinct from standing.state order by place
      )
      select count(*) = (select count(*) from again) and count(*) = count(*) filter (where ways = 1) from first
      $settle$,
        string_agg(format('r.%I as k%s', name, at), ', '),
        string_agg(format('%I %s%s', name, format_type(a.atttypid, a.atttypmod), ' collate ' || nullif(a.attcollation, 0)::regcollation), ', '),
        string_agg('k' || at, ', '),
        tg_relid::regclass,
        string_agg(format('t.%I = again.k%s', name, at), ' and '))
      from unnest(tg_argv[1:]) with ordinality k (name, at)
      join pg_attribute a on a.attrelid = tg_relid and a.attname = k.name)
    into settled using tg_argv[0], began::bigint, tg_op = 'TRUNCATE';
    if not settled then
      raise exception 'the changes of a row do not follow one another';
    end if;
    perform set_config(last, lastval()::text, true);
  end if;

  -- A transaction that has notified cannot be prepared for two-phase commit, and a full queue would fail the commit.
  if recorded > 0 and current_setting('max_prepared_transactions') = '0' and pg_notification_queue_usage() < 0.5 then
    perform pg_notify({channel}, '');
  end if;
  return null;
exception when others then
  begin
    perform nextval({lost});
  exception when others then
    null;
  end;
  raise warning 'a change of % could not be recorded for the event bus (SQLSTATE %)', tg_argv[0], sqlstate;
  return null;
end
$lienthong$;
revoke all on function {capture}() from public;
