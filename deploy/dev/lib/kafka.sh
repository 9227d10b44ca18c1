# One Kafka node, broker and controller in one process, from the jars in the cache.

prepare_kafka() { mkdir -p "$dir/kafka"; }

# Sixteen random bytes the way Kafka writes an id; a first letter keeps it from looking like an option.
cluster_id() { printf 'L%s\n' "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"; }

kafka_java() { local heap=$1; shift; java "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$kafka_libs/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"; }

kafka_properties() {
  cat <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$2
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2
advertised.listeners=PLAINTEXT://127.0.0.1:$1
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/kafka/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
CONF
}

# The quorum's address is written at format time, so other ports need another format.
try_kafka() {
  local broker controller jvm
  read -r broker controller <<<"$(free_ports 2)"
  rm -rf "$dir/kafka/data"
  kafka_properties "$broker" "$controller" >"$dir/kafka/server.properties"
  kafka_java 256m kafka.tools.StorageTool format --standalone -t "$(cluster_id)" -c "$dir/kafka/server.properties" >"$dir/kafka/log" 2>&1 || return 1
  read -ra jvm <<<"${LIENTHONG_TEST_KAFKA_JVM:--Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}"
  launch kafka "$dir/kafka/log" "" java "${jvm[@]}" -cp "$kafka_libs/*" \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn kafka.Kafka "$dir/kafka/server.properties"
  await kafka 60 listens kafka "$broker" || return 1
  printf 'LIENTHONG_TEST_KAFKA=127.0.0.1:%s\n' "$broker" >"$dir/kafka.env"
}

kafka_log() { printf '%s\n' "$dir/kafka/log"; }
# A clean stop takes seconds for nothing: the data goes with the run.
stop_kafka() { end_process kafka KILL 10; }
