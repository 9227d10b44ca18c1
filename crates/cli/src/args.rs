//! The command line. `--help` teaches: every command shows an example.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use lienthong_capture::requests::FASTEST;

use crate::output::{Color, Format};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 unexpected (a defect of this program, told with its place), 2 usage or configuration, 3 halted (contract, lineage, agreement; the message \
names the fix), 4 a dependency was unreachable for --timeout, 5 a check found differences, 130 interrupted after a \
clean stop.";

const DEMO: &str = "\
Examples:
  lienthong demo                                   until Ctrl-C, in a folder that goes away
  lienthong demo --for 30s                         half a minute of life, for CI: the exit code tells the check
  lienthong demo --dir nation                      keeps everything in nation/; again, it goes on there
  lienthong demo --dir nation --people 100000 --rate 50
  lienthong demo --for 30s --output json           figures for programs
  lienthong demo --log 'kafka://localhost:9092?registry=http://localhost:8081'   over Kafka

Look inside, also while it runs:
  lienthong status --site nation
  lienthong tail civil_status --site nation --limit 5

Exit codes of the demo:
  0    every row was checked and is as it must be, after --for, Ctrl-C or SIGTERM
  2    an option, or a folder that holds another nation or was made by another version
  3    a connector or a subscription halted; the message names the fix
  4    a dependency was away, or delivery stood still, for --timeout (60 s): the check was not done
  5    the check found differences; the folder is kept
  130  ended without the check: by a second Ctrl-C, or by SIGTERM when delivery and check would take more than 8 s";

/// lienthong (liên thông, interconnection): new data of one ministry reaches the others, minimised and exactly once in effect.
#[derive(Debug, Parser)]
#[command(name = "lienthong", version, about, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Folder that holds lienthong.yaml.
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) site: PathBuf,
    /// Log to use instead of the site's: sqlite:PATH or kafka://BROKER,..?registry=URL.
    #[arg(long, global = true, value_name = "URL", env = "LIENTHONG_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// Tables for people, JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Colours of states in tables.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// More to standard error; twice for more still.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Lines for people, or one JSON object each, on standard error.
    #[arg(long, global = true, value_enum, default_value_t = Lines::Text, value_name = "FORMAT", env = "LIENTHONG_LOG_FORMAT")]
    pub(crate) log_format: Lines,
    /// Seconds that a dependency may be away before exit code 4; without it, `--once` waits 30 and a service for ever.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lines {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `--metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricsAddress {
    /// Not served, whatever the site says.
    Off,
    /// Served here.
    At(SocketAddr),
}

fn metrics_address(text: &str) -> Result<MetricsAddress, String> {
    if text == "off" {
        return Ok(MetricsAddress::Off);
    }
    text.parse().map(MetricsAddress::At).map_err(|_| "an address such as 127.0.0.1:9464, or off".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.trim_end_matches('s').parse().map(Duration::from_secs).map_err(|_| "a number of seconds".to_owned())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check every file of the site offline; all mistakes at once.
    #[command(after_help = "Examples:\n  lienthong check --site docs/examples/admin-units\n  \
                      lienthong check agreements/vss.insurance.yaml\n  lienthong check --online")]
    Check {
        /// Tell only of mistakes in these files and folders; of all without any.
        paths: Vec<PathBuf>,
        /// Also look into every publishing database, and change nothing there: all that a connector would refuse, with what to run.
        #[arg(long, conflicts_with = "paths")]
        online: bool,
    },
    /// Publish one participant's changes.
    #[command(after_help = "Examples:\n  lienthong connect homeaffairs.admin-units --prepare\n  \
                      lienthong connect homeaffairs.admin-units --once\n  \
                      lienthong connect homeaffairs.admin-units --accept-lineage 'restored from the backup of Sunday'")]
    Connect(Connect),
    /// Deliver to all or the named subscribers.
    #[command(after_help = "Examples:\n  lienthong route --prepare\n  lienthong route vss.insurance --once")]
    Route(Route),
    /// A whole nation in a folder: publishers, subscribers, connectors and routers; ends with a check of every row.
    ///
    /// Seven ministries' systems get the rows of 10,000 invented people and write what happens to them: births, deaths, moves, marriages.
    /// Eight subscribers receive what their agreements name. Everything runs in this process and in SQLite files, and needs no server.
    ///
    /// Look at: the lag of publishers (commit to log) and of subscriptions (commit to the subscriber's row), by the oldest event of each
    /// batch of the last minute; fresh through, which moves although nothing happens; quarantined, rows that broke their contract. In a
    /// pipe the table becomes a line every five seconds; with --output json, objects.
    ///
    /// At the end life stops, what is committed is delivered, and every row of every subscriber is compared with the ministries' own
    /// tables: missing, extra, stale, or leaked. Ctrl-C does the same; a second one ends at once, without the check.
    #[command(after_help = DEMO)]
    Demo(Demo),
    /// State, events, lag and freshness per participant and subscriber.
    #[command(after_help = "Example:\n  lienthong status --output json")]
    Status(Status),
    /// Load rows of one event that are there: backfill or repair.
    ///
    /// The participant's connector reads them, in chunks beside its changes, and publishes them as snapshot events on the bulk lane. When
    /// none runs, this command runs it until the rows are in the log. A load that is interrupted goes on when the connector starts again;
    /// Ctrl-C while a connector works ends the watching, not the load. Without --event: which loads are under way.
    #[command(
        after_help = "Examples:\n  lienthong snapshot mps.residence --event residence.permanent.registered\n  \
                      lienthong snapshot mps.residence --event residence.permanent.registered --range HK000100..HK000199\n  \
                      lienthong snapshot mps.residence --event residence.permanent.registered --keys - < keys.txt\n  \
                      lienthong snapshot mps.residence"
    )]
    Snapshot(Snapshot),
    /// What publishers have set aside.
    #[command(after_help = "Example:\n  lienthong quarantine retry mps.residence")]
    Quarantine {
        #[command(subcommand)]
        action: Quarantine,
    },
    /// Topics as contracts say.
    #[command(after_help = "Example:\n  lienthong topics create")]
    Topics {
        #[command(subcommand)]
        action: Topics,
    },
    /// Decoded events of a family; values redacted unless asked.
    #[command(after_help = "Example:\n  lienthong tail admin_unit --limit 10")]
    Tail(Tail),
    /// Contracts: lint, compare, document, register them.
    #[command(after_help = "Example:\n  lienthong schema check && lienthong schema register")]
    Schema {
        #[command(subcommand)]
        action: Schema,
    },
    /// Key files of the site.
    #[command(after_help = "Example:\n  lienthong keys new --site .")]
    Keys {
        #[command(subcommand)]
        action: Keys,
    },
    /// Shell completions on standard output.
    #[command(after_help = "Example:\n  lienthong completions bash > /etc/bash_completion.d/lienthong")]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// `connect`.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Participant id, such as moj.civil-status.
    pub(crate) participant: String,
    /// Capture all that was committed before the command started, then stop.
    #[arg(long)]
    pub(crate) once: bool,
    /// Create outbox and triggers in the participant's database, then stop.
    #[arg(long, conflicts_with_all = ["once", "print_ddl"])]
    pub(crate) prepare: bool,
    /// Take outbox and triggers out of the participant's database again, then stop; the participant's history ends with them.
    #[arg(long, conflicts_with_all = ["once", "prepare"])]
    pub(crate) unprepare: bool,
    /// --unprepare also where changes wait in the outbox: they are lost.
    #[arg(long, requires = "unprepare")]
    pub(crate) lose_unpublished: bool,
    /// Print what --prepare (or --unprepare) would run, for an administrator, then stop.
    #[arg(long, conflicts_with = "once")]
    pub(crate) print_ddl: bool,
    /// Accept that the database is another one than before, or that changes are missing: publish all rows anew, then stop. The reason is audited.
    #[arg(long, value_name = "REASON", conflicts_with_all = ["once", "prepare", "unprepare", "print_ddl"], value_parser = reason)]
    pub(crate) accept_lineage: Option<String>,
    /// Seconds between heartbeats.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) heartbeat: Duration,
    /// Serve /metrics, /healthz and /readyz here instead of at the site's address; off: nowhere.
    #[arg(long, value_name = "ADDRESS", value_parser = metrics_address)]
    pub(crate) metrics: Option<MetricsAddress>,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("say why".to_owned()) } else { Ok(text.to_owned()) }
}

/// `route`.
#[derive(Debug, Args)]
pub(crate) struct Route {
    /// Subscribers; all of the site without any.
    pub(crate) subscribers: Vec<String>,
    /// Deliver all that the log holds now, then stop.
    #[arg(long)]
    pub(crate) once: bool,
    /// Create the tables of the bus in the subscribers' databases, then stop.
    #[arg(long, conflicts_with_all = ["once", "print_ddl"])]
    pub(crate) prepare: bool,
    /// Print what --prepare would run, for an administrator, then stop.
    #[arg(long, conflicts_with = "once")]
    pub(crate) print_ddl: bool,
    /// Serve /metrics, /healthz and /readyz here instead of at the site's address; off: nowhere.
    #[arg(long, value_name = "ADDRESS", value_parser = metrics_address)]
    pub(crate) metrics: Option<MetricsAddress>,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep everything in this folder, and go on with the nation that is in it; without, a temporary folder that goes away.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Stop after so long, counted from when the nation is made and lives; until Ctrl-C without.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) length: Option<Duration>,
    /// Same seed on the same day, same nation and same history: it begins on the day on which it is made [default: 1, or what the folder holds].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// People at the start, 100 to 1,000,000; what many need is in docs/demo.md [default: 10000, or what the folder holds].
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) people: Option<u32>,
    /// Happenings per second: births, moves, marriages, deaths, each with all that follows from it.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) rate: f64,
    /// Names, addresses, causes and numbers that occur nowhere else, for a search through all that is put out.
    #[arg(long, hide = true)]
    pub(crate) canaries: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Again every two seconds until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    /// Participant id, such as moj.civil-status.
    pub(crate) participant: String,
    /// Event type that the rows shall become, such as civil_status.birth.registered.
    #[arg(long)]
    pub(crate) event: Option<String>,
    /// Only rows with these keys: a file with one key per line, or, for a key of several columns, CSV with their names in the first line;
    /// -: standard input.
    #[arg(long, value_name = "FILE", requires = "event", conflicts_with = "range")]
    pub(crate) keys: Option<PathBuf>,
    /// Only rows whose first key column is from A to B, both included; A or B may be left out.
    #[arg(long, value_name = "A..B", requires = "event")]
    pub(crate) range: Option<String>,
    /// Rows per second at most.
    #[arg(long, value_name = "ROWS", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(FASTEST)))]
    pub(crate) rate: u32,
    /// Ask, and do not wait for the rows.
    #[arg(long, requires = "event")]
    pub(crate) no_wait: bool,
}

/// `quarantine`.
#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Publish in order what was set aside of tables whose columns have changed, after that has been mended.
    ///
    /// A table whose captured columns go, or get other names or types that are not read, is set aside from there on: its changes wait, sealed, in
    /// the participant's quarantine. First change the participant's file to the columns that the table has now, or take the change of the
    /// table back, and stop the connector. The command then publishes all that waits, with the ids and sequences that it would have had,
    /// and what was committed since; the connector goes on from there. Where one row still breaks its contract, nothing of what was
    /// set aside is published, and the message names column and rule.
    #[command(after_help = "Examples:\n  lienthong quarantine retry mps.residence\n  \
                      lienthong quarantine retry mps.residence --rename public.residence.duong=street\n  \
                      lienthong quarantine retry mps.residence --absent public.residence.street")]
    Retry(QuarantineRetry),
}

/// `quarantine retry`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineRetry {
    /// Participant id, such as moj.civil-status.
    pub(crate) participant: String,
    /// What was set aside of TABLE has the column NEW of the participant's file under the name OLD.
    #[arg(long, value_name = "TABLE.OLD=NEW", value_parser = renamed)]
    pub(crate) rename: Vec<(String, String, String)>,
    /// What was set aside of TABLE may lack COLUMN of the participant's file: null then.
    #[arg(long, value_name = "TABLE.COLUMN", value_parser = column)]
    pub(crate) absent: Vec<(String, String)>,
    /// Rows that break their contract stay in quarantine, each by itself as any such row; publish all others.
    #[arg(long)]
    pub(crate) leave_broken: bool,
}

fn column(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('.') {
        Some((table, column)) if !table.is_empty() && !column.is_empty() => {
            Ok((table.to_owned(), column.to_owned()))
        }
        _ => Err("write TABLE.COLUMN".to_owned()),
    }
}

fn renamed(text: &str) -> Result<(String, String, String), String> {
    let parts = text.split_once('=').map(|(old, new)| (column(old), new));
    match parts {
        Some((Ok((table, old)), new)) if !new.is_empty() => Ok((table, old, new.to_owned())),
        _ => Err("write TABLE.OLD=NEW".to_owned()),
    }
}

/// `topics`.
#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// Names and partitions as contracts say.
    #[command(after_help = "Example:\n  lienthong topics list --output json")]
    List,
    /// Create what is missing; never changes a partition count.
    #[command(after_help = "Examples:\n  lienthong topics create\n  \
                      lienthong topics create --log 'kafka://localhost:9092?registry=http://localhost:8081'")]
    Create,
    /// What exists against what contracts say; exit 5 when they differ.
    #[command(after_help = "Example:\n  lienthong topics describe || lienthong topics create")]
    Describe,
    /// Print the rights that least privilege needs on the brokers, as kafka-acls commands; changes nothing.
    ///
    /// Per participant, router, monitor and administrator, from the catalogue and this site: an owner writes its own families, only
    /// router and monitor read those of others. Run the commands with the brokers' own administrator after `topics create`, with
    /// BOOTSTRAP and ADMIN_CONFIG set; they only add, so run them again after a change of the site. --output json prints the same as rows.
    #[command(after_help = "Examples:\n  lienthong topics acls > acls.sh && \\\n    \
                      BOOTSTRAP=broker1:9093 ADMIN_CONFIG=admin.properties sh acls.sh\n  \
                      lienthong topics acls --principal moj.civil-status=User:CN=civil-status.moj.gov.vn")]
    Acls(Acls),
}

/// `topics acls`.
#[derive(Debug, Args)]
pub(crate) struct Acls {
    /// The brokers' name for a participant, or for lienthong.router, lienthong.monitor or lienthong.administrator; User:NAME without.
    #[arg(long, value_name = "NAME=PRINCIPAL", value_parser = principal)]
    pub(crate) principal: Vec<(String, String)>,
}

fn principal(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, principal)) if principal.contains(':') && !name.is_empty() => {
            Ok((name.to_owned(), principal.to_owned()))
        }
        _ => Err("write NAME=User:NAME-AT-THE-BROKERS".to_owned()),
    }
}

/// `tail`.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Family, such as civil_status.
    pub(crate) family: String,
    /// Events from this time on (RFC 3339); from the beginning without.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only the subject that is read from standard input (`-`).
    #[arg(long, value_name = "-")]
    pub(crate) subject: Option<String>,
    /// Show values; the reading is audited.
    #[arg(long)]
    pub(crate) show_values: bool,
    /// Stop after so many events.
    #[arg(long)]
    pub(crate) limit: Option<u64>,
    /// Go on as new events come.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `schema`.
#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Lint contracts and catalogue, and read every kept version with the one in force.
    #[command(after_help = "Examples:\n  lienthong schema check\n  lienthong schema check --registry")]
    Check {
        /// Also read every version that the log's registry holds.
        #[arg(long)]
        registry: bool,
    },
    /// What a consumer would notice between two versions; exit 5 when something breaks.
    #[command(after_help = "Examples:\n  lienthong schema diff before/schemas schemas\n  \
                      lienthong schema diff schemas/history/case.step.changed/1.avsc schemas/avro/case/step.changed.avsc")]
    Diff {
        /// Folder of contracts (with catalogue.yaml, or avro/ beside it) or one .avsc file.
        before: PathBuf,
        /// The same, as it shall be.
        after: PathBuf,
    },
    /// Write reference pages and an AsyncAPI document.
    #[command(after_help = "Example:\n  lienthong schema docs --dir docs/contracts")]
    Docs {
        /// Folder for the pages; made when it is not there.
        #[arg(long, value_name = "DIR", default_value = "docs/contracts")]
        dir: PathBuf,
    },
    /// Write schemas to the registry; nothing else does.
    #[command(after_help = "Example:\n  lienthong schema check && lienthong schema register")]
    Register,
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Write new key files where the site expects them; existing ones are left alone.
    #[command(after_help = "Example:\n  lienthong keys new --site docs/examples/admin-units")]
    New,
    /// Print the key of one subscriber's pseudonyms, for a subscriber that may find its own customers by them. It is a secret.
    #[command(after_help = "Example:\n  (umask 077; lienthong keys pseudonym bank.sample > bank.sample.key)")]
    Pseudonym {
        /// The subscriber.
        subscriber: String,
    },
}
