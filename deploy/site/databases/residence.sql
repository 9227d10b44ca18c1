-- A publisher: permanent residence. The people are invented.
create table residence (file_no text primary key, pin text not null, street text not null);
insert into residence values
  ('HK000001', '001090000001', '12 Hàng Bông'),
  ('HK000002', '001190000002', '7 Tràng Tiền');
