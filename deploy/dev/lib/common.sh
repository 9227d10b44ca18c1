# What the scripts of this folder share: words to the user, free ports, processes known by id and time of birth.
# Sourced, not run. Only bash, coreutils and perl-base are taken for granted.

kafka_version=4.4.0
registry_version=3.0.9
cache=${LIENTHONG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lienthong}
kafka_libs=$cache/kafka-$kafka_version
kafka_tools=$kafka_libs/kafka-tools-$kafka_version.jar
registry_home=$cache/registry-$registry_version
foreign_wheel=vietnamadminunits-1.0.4-py3-none-any.whl
foreign_sha256=737ee3662e877290386c1c45ed4d71f2e5fae34ab6fb9c64bfb4cb74b216ea35
foreign_db=$cache/vietnamadminunits-1.0.4

say() { printf 'servers: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# Runs a command while holding a lock; a holder that dies lets go of it.
with_lock() {
  perl -e 'use Fcntl ":flock"; open(my $f, ">>", shift) or die "$!\n"; flock($f, LOCK_EX) or die "$!\n";
           my $code = system(@ARGV); exit($code & 127 ? 1 : $code >> 8)' "$@"
}

# Gives a finished folder its final name; false when another run was first (the caller then drops its own).
publish_folder() { perl -e 'rename($ARGV[0], $ARGV[1]) or exit 1' "$1" "$2"; }

# N free ports of the loopback interface, chosen by the kernel; all are held until all are chosen.
free_ports() {
  perl -MIO::Socket::INET -e 'my @s = map { IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 0) or die "no free port: $!\n" } 1..shift;
                              print join(" ", map { $_->sockport } @s), "\n"' "$1"
}

# Whether NAME's own process listens on a port, not somebody else's that took it first: listens NAME PORT
listens() {
  local pid inodes hex
  running "$1" || return 1
  (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null || return 1
  [ -r /proc/net/tcp ] || return 0
  hex=$(printf '%04X' "$2")
  inodes=$(awk -v port=":$hex\$" '$4 == "0A" && $2 ~ port { print "socket:[" $10 "]" }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  # shellcheck disable=SC2010 # the names are numbers, what is looked for are the links' targets
  [ -n "$inodes" ] && ls -l "/proc/$pid/fd" 2>/dev/null | grep -F "$inodes" >/dev/null
}

# The state and the time of birth of a process; the id with the birth names one process for good, since ids are used again.
# Builtins only, for it is asked ten times a second.
look_at() {
  local line
  if [ -d /proc/self ]; then
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # the fields after the name, which may hold spaces itself
    set -- ${line##*) }
    state=$1 birth=${20}
  else
    state=$(ps -o state= -p "$1" 2>/dev/null) || return 1
    birth=$(ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' '_')
  fi
}

# Starts a command in a session of its own, so that Ctrl-C reaches it through `stop` only: launch NAME LOG USER COMMAND..
# It writes its id down before it looks for `stopping`, and `stop` does the opposite: none starts unseen. USER may be empty.
launch() {
  local name=$1 log=$2; shift 2
  (
    record "$name" "$BASHPID"
    [ ! -e "$dir/stopping" ] || exit 1
    exec perl -MPOSIX -e '
      my $user = shift; setsid();
      if ($user ne "") { my (undef, undef, $uid, $gid) = getpwnam($user) or die "no user $user\n"; $) = "$gid $gid"; setgid($gid); setuid($uid) or die "$!\n" }
      exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n"' "$@"
  ) >"$log" 2>&1 </dev/null &
  until [ -s "$dir/$name.pid" ]; do sleep 0.01; done
}

# Writes down which process is NAME's, in the folder of the run.
record() {
  local state birth=gone
  look_at "$2" || true
  printf '%s %s\n' "$2" "$birth" >"$dir/$1.pid.part"
  mv "$dir/$1.pid.part" "$dir/$1.pid"
}

# Whether NAME's recorded process still runs; sets `pid`.
running() {
  local written state birth
  { read -r pid written <"$dir/$1.pid"; } 2>/dev/null || return 1
  look_at "$pid" && [ "$birth" = "$written" ] && [ "$state" != Z ]
}

# Ends NAME's recorded process: asks with a signal, waits, insists. end_process NAME SIGNAL SECONDS
end_process() {
  local pid turns
  running "$1" || { rm -f "$dir/$1.pid"; return 0; }
  kill -s "$2" "$pid" 2>/dev/null || true
  for ((turns = $3 * 20; turns > 0; turns--)); do
    running "$1" || { rm -f "$dir/$1.pid"; return 0; }
    sleep 0.05
  done
  say "$1 (process $pid) did not stop on $2; it is killed"
  kill -s KILL "$pid" 2>/dev/null || true
  rm -f "$dir/$1.pid"
}

# Waits until a check holds: await NAME SECONDS CHECK..; false when the process ends or time runs out.
await() {
  local name=$1 turns=$(($2 * 10)) pid; shift 2
  for (( ; turns > 0; turns--)); do
    "$@" && return 0
    running "$name" || return 1
    sleep 0.1
  done
  return 1
}

# The end of a server's log, for a failure the user has to understand.
show_log() { say "the last lines of $1:"; tail -n "${2:-30}" "$1" >&2 || true; }
