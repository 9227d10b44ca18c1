#!/bin/bash
# Run once by the PostgreSQL image, on an empty volume: one database per ministry, each with a role of its own, and the registry's.
set -euo pipefail

database() {
  local name=$1 password=$2 tables=/databases/$1.sql
  psql --username "$POSTGRES_USER" --dbname postgres -v ON_ERROR_STOP=1 -v name="$name" -v password="$password" <<'SQL'
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke connect on database :"name" from public;
SQL
  if [ -f "$tables" ]; then
    psql --username "$POSTGRES_USER" --dbname "$name" -v ON_ERROR_STOP=1 -c "set role \"$name\"" -f "$tables"
  fi
}

database admin_units "$ADMIN_UNITS_PASSWORD"
database residence "$RESIDENCE_PASSWORD"
database nso "$NSO_PASSWORD"
database population "$POPULATION_PASSWORD"
database registry "$REGISTRY_PASSWORD"
