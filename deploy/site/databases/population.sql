-- A subscriber: the population database's copy of who lives where.
create table resident (file_no text primary key, pin text, street text);
