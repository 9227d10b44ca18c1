-- One statement and so one snapshot: `seen`, the pass's own, shows the rows below, unless the pass has begun earlier ($2).
-- `now()` is the transaction's start, before its snapshot: whatever had committed by then is visible.
-- The counter is read after the snapshot was taken, and it moves before what it counts commits: for all that is visible it is right.
with head as materialized (
  select
    coalesce($2::text::pg_snapshot, pg_current_snapshot()) as seen,
    $1::text::pg_snapshot as past,
    (extract(epoch from now()) * 1000000)::bigint as time,
    {lost},
    -- Where a new pass starts: before the lowest id that can be new, nowhere when none is. Asked once per pass: while a backlog is
    -- paged through, it would look at all of it. `+ 0` keeps it from walking the key's index through all that is old.
    case
      when $2::text is not null then $3
      when $1::text is null then (select min(id) - 1 from {outbox})
      else (select min(id + 0) - 1 from {outbox} where xid >= pg_snapshot_xmin($1::text::pg_snapshot))
    end as start
)
(
  select id, rel, op::text as op, (extract(epoch from at) * 1000000)::bigint as time, before, after, null as seen, null as lost
  from {outbox}
  where id > (select start from head)
    and pg_visible_in_snapshot(xid, (select seen from head))
    and pg_visible_in_snapshot(xid, (select past from head)) is not true
  order by id limit $4
)
union all
select null, null, null, time, null, null, seen::text, lost from head
-- Nulls come last: the head does.
order by id
