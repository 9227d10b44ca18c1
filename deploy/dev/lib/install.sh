# What the servers and the build need: found, or installed where that is allowed (root with apt-get), or named.

# Java 17 or newer.
java_is_there() { have java && [ "$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)" -ge 17 ] 2>/dev/null; }
openssl_is_there() { have pkg-config && pkg-config --exists openssl zlib; }
jars_are_there() { [ -d "$kafka_libs" ] && [ -f "$kafka_tools" ] && [ -d "$registry_home" ]; }
dataset_is_there() { [ -n "${LIENTHONG_TEST_FOREIGN_DB:-}" ] || [ -f "$foreign_db/dataset.db" ]; }

# Debian's packages for what is missing, one a line.
missing_packages() {
  openssl_is_there || printf '%s\n' pkg-config libssl-dev zlib1g-dev
  have cc && have c++ && have make || printf '%s\n' build-essential
  have sqlite3 || echo sqlite3
  have psql || echo postgresql-client
  [ -n "${LIENTHONG_TEST_PG:-}" ] || postgres_bin >/dev/null || printf '%s\n' postgresql
  java_is_there || printf '%s\n' default-jre-headless
  jars_are_there || have mvn || printf '%s\n' maven
  dataset_is_there || { have curl && have unzip; } || printf '%s\n' ca-certificates curl unzip
}

install_packages() {
  local log=$cache/apt.log packages
  packages=$(missing_packages)
  [ -n "$packages" ] || return 0
  { is_root && have apt-get; } || return 1
  # shellcheck disable=SC2086 # one word a package
  set -- $packages
  say "installing with apt-get: $*"
  export DEBIAN_FRONTEND=noninteractive
  apt_get update >"$log" 2>&1 || { show_log "$log"; return 1; }
  if [[ " $* " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    # The package would start a cluster of the machine's own on port 5432; the tests bring theirs.
    mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  apt_get install -y --no-install-recommends "$@" >>"$log" 2>&1 || { show_log "$log"; return 1; }
  [ -z "$(missing_packages)" ] || { say "still missing after apt-get: $(missing_packages | tr '\n' ' ')"; return 1; }
}

apt_get() { apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 "$@"; }

maven() { mvn -q -B "$@" >"$cache/maven.log" 2>&1 || { show_log "$cache/maven.log"; fail "Maven could not fetch the servers' jars: is Maven Central reachable (proxy, certificates, ~/.m2/settings.xml)? The jars of Kafka $kafka_version may be named by LIENTHONG_TEST_KAFKA_LIBS instead"; }; }

# Into a folder of its own, then by one rename under its name: a run that looks meanwhile sees all of it or nothing.
fetch_kafka() {
  [ ! -d "$kafka_libs" ] || return 0
  local part; part=$(mktemp -d "$cache/part.XXXXXX")
  say "fetching Apache Kafka $kafka_version from Maven Central"
  cat >"$part/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>vn.gov.lienthong</groupId><artifactId>test-servers</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
POM
  maven -f "$part/pom.xml" dependency:copy-dependencies -DoutputDirectory="$part/libs" -DincludeScope=runtime
  chmod 755 "$part/libs"
  publish_folder "$part/libs" "$kafka_libs" || [ -d "$kafka_libs" ] || fail "cannot write $kafka_libs"
  rm -rf "$part"
}

# Kafka's own commands, such as kafka-acls, into the folder of the broker's jars.
fetch_kafka_tools() {
  [ ! -f "$kafka_tools" ] || return 0
  local part; part=$(mktemp -d "$cache/part.XXXXXX")
  say "fetching the tools of Apache Kafka $kafka_version from Maven Central"
  (cd "$part" && maven dependency:copy -Dartifact="org.apache.kafka:kafka-tools:$kafka_version" -DoutputDirectory="$part")
  mv "$part/$(basename "$kafka_tools")" "$kafka_tools"
  rm -rf "$part"
}

fetch_registry() {
  [ ! -d "$registry_home" ] || return 0
  local part; part=$(mktemp -d "$cache/part.XXXXXX")
  say "fetching Apicurio Registry $registry_version from Maven Central"
  (cd "$part" && maven dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all" -DoutputDirectory="$part")
  mkdir "$part/home"
  tar -xzf "$part/apicurio-registry-app-$registry_version-all.tar.gz" -C "$part/home"
  publish_folder "$part/home" "$registry_home" || [ -d "$registry_home" ] || fail "cannot write $registry_home"
  rm -rf "$part"
}

# The stranger's database of docs/examples/foreign-database: a file inside a Python package, taken from the package index as it is.
fetch_dataset() {
  dataset_is_there && return 0
  local part; part=$(mktemp -d "$cache/part.XXXXXX")
  say "fetching the example's foreign database, $foreign_wheel"
  curl -fsSL --retry 3 -o "$part/wheel.zip" "https://files.pythonhosted.org/packages/6e/ce/69bd8f43fea385cfa8935641f899dd20583e559c8fb3b1bdb9288519f71a/$foreign_wheel" ||
    fail "the package index cannot be reached; set LIENTHONG_TEST_FOREIGN_DB to the package's dataset.db"
  echo "$foreign_sha256  $part/wheel.zip" | sha256sum --check --quiet - || fail "$foreign_wheel is not the file that was expected"
  mkdir "$part/home"
  unzip -q -j "$part/wheel.zip" vietnamadminunits/data/dataset.db -d "$part/home"
  chmod 755 "$part/home"
  publish_folder "$part/home" "$foreign_db" || [ -d "$foreign_db" ] || fail "cannot write $foreign_db"
  rm -rf "$part"
}

# What the build and the tests need although the servers run elsewhere, a line each: brokers that tests start and kill themselves,
# and the example's foreign database. What only has to be fetched is not missing.
missing_beside_servers() {
  openssl_is_there || echo "pkg-config and the headers of OpenSSL and zlib (Debian: pkg-config libssl-dev zlib1g-dev)"
  { have cc && have c++ && have make; } || echo "a C and C++ compiler and make (Debian: build-essential)"
  { have sqlite3 && have psql; } || echo "the commands sqlite3 and psql, which the tutorial types (Debian: sqlite3 postgresql-client)"
  java_is_there || echo "Java 17 or newer, for brokers that tests start themselves (Debian: default-jre-headless)"
  kafka_is_given || [ -d "$kafka_libs" ] || have mvn || echo "Maven, to fetch Kafka's jars (Debian: maven), or LIENTHONG_TEST_KAFKA_LIBS=the libs folder of Kafka $kafka_version"
  dataset_is_there || { have curl && have unzip; } ||
    echo "curl and unzip, to fetch $foreign_wheel (Debian: curl unzip), or LIENTHONG_TEST_FOREIGN_DB=its dataset.db"
}

kafka_is_given() { [ -n "${LIENTHONG_TEST_KAFKA_LIBS:-}" ]; }

# Under the lock: what is fetched without root's rights.
fetch_locked() {
  rm -rf "$cache"/part.*
  kafka_is_given || fetch_kafka
  fetch_dataset
}

# Whether everything is in place for starting the servers here.
installed() { [ -z "$(missing_packages)" ] && jars_are_there && dataset_is_there; }

# Under the lock: the run that waited finds everything done.
install_locked() {
  install_packages || return 1
  rm -rf "$cache"/part.*
  fetch_kafka
  fetch_kafka_tools
  fetch_registry
  fetch_dataset
}

say_what_to_install() {
  local packages; packages=$(missing_packages | tr '\n' ' ')
  say "cannot start the test servers on this machine. One of these helps:"
  if [ -n "$packages" ]; then say "  as root:        apt-get install $packages   (\`make setup\` as root does it)"
  else say "  once, online:   make setup, which fetches Kafka and the registry from Maven Central into $cache"; fi
  say "  in containers:  docker compose -f deploy/dev/compose.yml up --wait"
  say "  your own:       LIENTHONG_TEST_PG=postgres://.. LIENTHONG_TEST_KAFKA=host:port LIENTHONG_TEST_REGISTRY=http://../apis/ccompat/v7"
}
