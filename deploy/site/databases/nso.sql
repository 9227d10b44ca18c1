-- A subscriber: the statistics office's copy of the administrative units.
create table admin_unit_copy (
  level text not null, code text not null, valid_from text not null, valid_to text,
  parent_code text, name text, full_name text, successors text[], voided_at text,
  primary key (level, code, valid_from));
