# The schema registry (Apicurio), spoken to by its Confluent API; its schemas live in memory and go with the run.

prepare_registry() { mkdir -p "$dir/registry"; }

# Whether the registry answers on HOST PORT; in a subshell, so that a refused connection ends only that.
registry_answers() (
  exec 3<>"/dev/tcp/$1/$2"
  printf 'GET /apis/ccompat/v7/subjects HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t 5 line <&3 && [[ $line == *" 200 "* ]]
) 2>/dev/null

registry_ready() { listens registry "$1" && registry_answers 127.0.0.1 "$1"; }

try_registry() {
  local port; port=$(free_ports 1)
  launch registry "$dir/registry/log" "" java -Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" -Dapicurio.storage.kind=sql -Dapicurio.storage.sql.kind=h2 \
    -Dapicurio.datasource.url="jdbc:h2:mem:registry" -jar "$registry_home/apicurio-registry-app-$registry_version-runner.jar"
  await registry 90 registry_ready "$port" || return 1
  printf 'LIENTHONG_TEST_REGISTRY=http://127.0.0.1:%s/apis/ccompat/v7\n' "$port" >"$dir/registry.env"
}

registry_log() { printf '%s\n' "$dir/registry/log"; }
stop_registry() { end_process registry KILL 10; }
