-- A publisher: administrative units, here the capital and two of its wards of 1 July 2025.
create table admin_unit (
  level text not null, code text not null, valid_from text not null, valid_to text,
  parent_code text, name text not null, full_name text not null, successors text not null default '',
  primary key (level, code, valid_from));
insert into admin_unit (level, code, valid_from, parent_code, name, full_name) values
  ('province', '01', '2025-07-01', null, 'Hà Nội', 'Thành phố Hà Nội'),
  ('commune', '00004', '2025-07-01', '01', 'Ba Đình', 'Phường Ba Đình'),
  ('commune', '00008', '2025-07-01', '01', 'Ngọc Hà', 'Phường Ngọc Hà');
