-- The rights of a connector that captures from PostgreSQL's log (`capture: {mode: log}`), for one table. An administrator runs it once
-- per captured table; running it again is harmless, and leaves the role with exactly the columns that are named last.
--
--   psql "$ADMIN_URL" -v role=bus_moj -v schema=civil -v table=birth -v columns='id, number, "Full name"' \
--     -v publication=lienthong_moj -v slot=lienthong_moj -f postgres-capture.sql
--
-- `columns` are the captured ones, the key's among them, each quoted where SQL wants it. A table that is only looked into (`lookup`)
-- is named likewise, with the columns of `by` and `take`. `publication` and `slot` are those of the
-- participant's file.
--
-- The role owns nothing. The owner of the tables owns the publication: he, or an administrator, runs what
-- `lienthong connect PARTICIPANT --prepare --print-ddl` prints. The role needs no right on publication or slot, on other columns, on
-- sequences, nor any right to write. It does not see what is written to other tables; but whoever may replicate may make and read
-- slots of other publications of the databases that it may connect to, so let pg_hba.conf admit it to this database and from the
-- connector's address alone.

\set ON_ERROR_STOP on

-- Its password is given by `\password`, or it logs in by a certificate.
select format('create role %I login replication', :'role')
where not exists (select from pg_catalog.pg_roles where rolname = :'role') \gexec
alter role :"role" login replication;

select format('grant connect on database %I to %I', current_database(), :'role') \gexec
grant usage on schema :"schema" to :"role";

begin;
-- Takes back what single columns were granted, too.
revoke all on table :"schema".:"table" from :"role";
grant select (:columns) on table :"schema".:"table" to :"role";
commit;

-- What is still to be made by `lienthong connect PARTICIPANT --prepare`, if anything.
select 'publication ' || :'publication' || ' does not exist' as missing
where not exists (select from pg_catalog.pg_publication where pubname = :'publication')
union all select 'replication slot ' || :'slot' || ' does not exist'
where not exists (select from pg_catalog.pg_replication_slots where slot_name = :'slot');
