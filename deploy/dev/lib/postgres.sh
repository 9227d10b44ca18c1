# A PostgreSQL cluster of the run's own. It refuses to run as root, so root hands it to the user postgres.

postgres_bin() {
  local candidate best=
  for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/pgsql/bin; do
    if [ -x "$candidate/initdb" ] && [ -x "$candidate/postgres" ]; then best=$(printf '%s\n%s\n' "$best" "$candidate" | sort -V | tail -n 1); fi
  done
  if [ -z "$best" ] && have initdb && have postgres; then best=$(dirname "$(command -v initdb)"); fi
  [ -n "$best" ] && printf '%s\n' "$best"
}

as_postgres() { if is_root; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }

prepare_postgres() {
  local bin; bin=$(postgres_bin) || fail "PostgreSQL's initdb is missing; run: deploy/dev/servers install"
  mkdir -p "$dir/postgres"
  if is_root; then
    chown postgres "$dir/postgres"
    as_postgres test -x "$dir/postgres" || fail "the user postgres cannot enter $dir; choose a folder it can reach, for example under /tmp"
  fi
  as_postgres "$bin/initdb" -D "$dir/postgres/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 \
    || { show_log "$dir/initdb.log"; fail "PostgreSQL's initdb failed"; }
  # Logical decoding for the connectors; no fsync, since the cluster dies with the run: a killed server loses nothing, only a killed machine would.
  as_postgres sh -c "cat >>'$dir/postgres/data/postgresql.conf'" <<'CONF'
wal_level = logical
max_wal_senders = 60
max_replication_slots = 60
max_connections = 300
fsync = off
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
CONF
}

try_postgres() {
  local bin port user=; bin=$(postgres_bin); port=$(free_ports 1)
  if is_root; then user=postgres; fi
  launch postgres "$dir/postgres.log" "$user" "$bin/postgres" -D "$dir/postgres/data" -p "$port"
  await postgres 60 postgres_ready "$bin" "$port" || return 1
  printf 'LIENTHONG_TEST_PG=postgres://postgres@127.0.0.1:%s/postgres\n' "$port" >"$dir/postgres.env"
}

postgres_ready() { listens postgres "$2" && "$1/pg_isready" -q -h 127.0.0.1 -p "$2"; }
postgres_log() { printf '%s\n' "$dir/postgres.log"; }
stop_postgres() { end_process postgres INT 20; }
