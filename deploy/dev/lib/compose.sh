# The servers of deploy/dev/compose.yml, when somebody has started them.

# The published address of a service's port, HOST:PORT; false when it does not run.
compose_port() { have docker && docker compose -f "$root/deploy/dev/compose.yml" port "$1" "$2" 2>/dev/null | grep -E ':[1-9][0-9]*$' | head -n 1; }

compose_runs() { compose_port postgres 5432 >/dev/null && compose_port kafka 9092 >/dev/null && compose_port registry 8080 >/dev/null; }

# The address of a service as the tests want it; the registry, whose image cannot tell whether it is well, is asked first.
compose_env() {
  local address turns
  case $1 in
    postgres) printf 'LIENTHONG_TEST_PG=postgres://postgres@%s/postgres\n' "$(compose_port postgres 5432)" ;;
    kafka) printf 'LIENTHONG_TEST_KAFKA=%s\n' "$(compose_port kafka 9092)" ;;
    registry)
      address=$(compose_port registry 8080)
      for ((turns = 60; turns > 0; turns--)); do
        if registry_answers "${address%:*}" "${address##*:}"; then printf 'LIENTHONG_TEST_REGISTRY=http://%s/apis/ccompat/v7\n' "$address"; return 0; fi
        sleep 1
      done
      fail "the registry of docker compose does not answer on $address: docker compose -f deploy/dev/compose.yml logs registry" ;;
  esac
}
