//! A cluster that lets in only whom it knows: TLS both ways, passwords, access lists as `topics acls` prints them, and a registry
//! behind TLS and a password.

use std::process::Output;

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::future::try_join_all;
use lienthong_contract::participant::ParticipantId;
use lienthong_log::kafka::{KafkaLog, KafkaLogin, KafkaOptions, KafkaSasl, KafkaTls};
use lienthong_log::{Log, LogError, WriterError};
use lienthong_testkit::certificates::{Authority, Files};
use lienthong_testkit::secure_kafka::{PLAIN_USERS, SecureKafka};
use lienthong_testkit::tls_proxy::TlsProxy;
use tokio::sync::{Mutex, MutexGuard};

mod raw;

use crate::nation::{Publisher, check_receipts, copy, create_copy};
use crate::site::{PARTICIPANT, Site};

const STRANGER: &str = "a.stranger";
/// Every user's password begins with this, so that no test meets it by chance.
const PASSWORD: &str = "of-the-user";
const USERS: [&str; 5] =
    [PARTICIPANT, "lienthong.router", "lienthong.monitor", "lienthong.administrator", STRANGER];
/// `registry:of-the-registry`, as basic authentication sends it.
const REGISTRY_LOGIN: &str = "Basic cmVnaXN0cnk6b2YtdGhlLXJlZ2lzdHJ5";
const REGISTRY_PASSWORD: &str = "of-the-registry";

/// Each of these tests has a broker of its own and starts dozens of clients: two at once would only keep each other waiting.
static TURN: Mutex<()> = Mutex::const_new(());

/// A site on servers that ask who comes.
struct Guarded {
    broker: SecureKafka,
    registry: TlsProxy,
    files: Files,
    prefix: String,
    site: Site,
    owner: Publisher,
    subscriber: String,
    _folder: tempfile::TempDir,
    // The last: the next one's turn comes when this broker is gone.
    _turn: MutexGuard<'static, ()>,
}

/// A command that must not get through.
struct Refusal<'a> {
    user: &'a str,
    arguments: &'a [&'a str],
    words: &'a [&'a str],
}

impl Refusal<'_> {
    fn check(&self, site: &Site, password: &str) -> Result<()> {
        let Self { user, arguments, words } = *self;
        let output = site.run_with(&[("LT_USER", user), ("LT_PASSWORD", password)], arguments)?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.code() == Some(4),
            "{user}: {arguments:?} ended with {}: {said}",
            output.status
        );
        for word in words {
            ensure!(said.contains(word), "{user}: {arguments:?} does not say `{word}`: {said}");
        }
        ensure!(!said.contains(password), "the password is shown: {said}");
        Ok(())
    }
}

/// How a process comes in; `None` leaves a thing out.
#[derive(Clone)]
struct Entry {
    ca: Option<String>,
    client: Option<(String, String)>,
    mechanism: &'static str,
    registry_ca: Option<String>,
    registry_password: Option<&'static str>,
}

impl Guarded {
    async fn start() -> Result<Self> {
        let turn = TURN.lock().await;
        let users: Vec<(&str, &str)> = USERS.iter().map(|user| (*user, PASSWORD)).collect();
        let broker = SecureKafka::start(&users).await?;
        let target = lienthong_testkit::env::registry();
        let target = target.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let target = target.context("the registry's address")?;
        let registry = TlsProxy::start(broker.authority(), target, Some(REGISTRY_LOGIN)).await?;
        let files = broker.certificate("client")?;
        let folder = tempfile::tempdir()?;
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
        let owner = Publisher::create(&publisher).await?;
        create_copy(&subscriber).await?;
        let prefix = lienthong_testkit::kafka::namespace();
        let mut guarded = Self {
            site: Site::on("sqlite:var/none.db", &publisher, &[("nso.statistics", &subscriber)])?,
            broker,
            registry,
            files,
            prefix,
            owner,
            subscriber,
            _folder: folder,
            _turn: turn,
        };
        guarded.enter(&guarded.right())?;
        Ok(guarded)
    }

    /// The way in that the servers want.
    fn right(&self) -> Entry {
        let path = |path: &std::path::Path| path.display().to_string();
        Entry {
            ca: Some(path(&self.files.ca)),
            client: Some((path(&self.files.cert), path(&self.files.key))),
            mechanism: "SCRAM-SHA-512",
            registry_ca: None,
            registry_password: Some(REGISTRY_PASSWORD),
        }
    }

    /// Writes `log` of the site; name and password of the brokers come from the environment.
    fn enter(&mut self, entry: &Entry) -> Result<()> {
        let mut tls: Vec<String> = entry.ca.iter().map(|ca| format!("ca: {ca}")).collect();
        tls.extend(entry.client.iter().map(|(cert, key)| format!("cert: {cert}, key: {key}")));
        let mut registry = format!("url: {}/apis/ccompat/v7", self.registry.url());
        registry.extend(entry.registry_ca.iter().map(|ca| format!(", ca: {ca}")));
        registry
            .extend(entry.registry_password.map(|word| format!(", username: registry, password: {word}")));
        let log = format!(
            "{{kafka: [\"{}\"], prefix: {}, replication: 1, registry: {{{registry}}}, tls: {{{}}}, \
             sasl: {{mechanism: {}, username: \"${{env:LT_USER}}\", password: \"${{env:LT_PASSWORD}}\"}}}}",
            self.broker.address(),
            self.prefix,
            tls.join(", "),
            entry.mechanism,
        );
        let text = std::fs::read_to_string(self.site.path("lienthong.yaml"))?;
        let lines = text
            .lines()
            .map(|line| if line.starts_with("log:") { format!("log: {log}") } else { line.into() });
        self.site.write("lienthong.yaml", &(lines.collect::<Vec<String>>().join("\n") + "\n"))
    }

    fn run(&self, user: &str, password: &str, arguments: &[&str]) -> Result<Output> {
        self.site.run_with(&[("LT_USER", user), ("LT_PASSWORD", password)], arguments)
    }

    /// Anything but exit code 0 is an error with what was said.
    fn succeed(&self, user: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run(user, PASSWORD, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{user}: lienthong {arguments:?} ended with {}: {said}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Each ends with exit code 4 and its words. Side by side: whoever is refused has mostly waited.
    fn refused(&self, password: &str, refusals: &[Refusal<'_>]) -> Result<()> {
        let site = &self.site;
        std::thread::scope(|scope| {
            let tasks: Vec<_> =
                refusals.iter().map(|refusal| scope.spawn(|| refusal.check(site, password))).collect();
            tasks.into_iter().try_for_each(|task| task.join().map_err(|_| anyhow!("a panic"))?)
        })
    }

    /// The log as a program of one's own would see it, without the binary's own checks.
    fn log(&self, user: &str) -> Result<KafkaLog> {
        let Files { ca, cert, key } = self.files.clone();
        Ok(KafkaLog::connect(KafkaOptions {
            prefix: self.prefix.clone(),
            replication: Some(1),
            tls: Some(KafkaTls { ca: Some(ca), cert: Some(cert), key: Some(key) }),
            sasl: Some(KafkaSasl { mechanism: "SCRAM-SHA-512".into(), login: login(user, PASSWORD) }),
            registry_login: Some(login("registry", REGISTRY_PASSWORD)),
            ..KafkaOptions::new(&self.broker.address(), &format!("{}/apis/ccompat/v7", self.registry.url()))
        })?)
    }

    /// What the operators do before the first event; gives the script of rights.
    fn prepare(&self) -> Result<String> {
        let acls = self.succeed("lienthong.administrator", &["topics", "acls"])?;
        self.broker.run_acls(&acls)?;
        self.succeed("lienthong.administrator", &["topics", "create"])?;
        self.succeed("lienthong.administrator", &["topics", "describe"])?;
        self.succeed("lienthong.administrator", &["schema", "register"])?;
        self.succeed(PARTICIPANT, &["connect", PARTICIPANT, "--prepare"])?;
        self.succeed("lienthong.router", &["route", "--prepare"])?;
        Ok(acls)
    }
}

fn login(username: &str, password: &str) -> KafkaLogin {
    KafkaLogin { username: username.into(), password: password.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_path_works_under_the_printed_access_lists_and_no_wider() -> Result<()> {
    let mut guarded = Guarded::start().await?;
    guarded.owner.insert(50).await?;
    let acls = guarded.prepare()?;
    assert!(!acls.contains("--cluster") && !acls.contains("'*'"), "{acls}");
    guarded.succeed(PARTICIPANT, &["connect", PARTICIPANT, "--once"])?;
    guarded.succeed("lienthong.router", &["route", "--once"])?;
    // Again, so that the writer reads back and the groups are known.
    guarded.owner.insert(50).await?;
    guarded.succeed(PARTICIPANT, &["connect", PARTICIPANT, "--once"])?;
    guarded.succeed("lienthong.router", &["route", "--once"])?;
    assert_eq!(copy(&guarded.subscriber).await?, guarded.owner.rows().await?);
    assert_eq!(check_receipts(&guarded.subscriber).await?, 100);
    let status = guarded.succeed("lienthong.monitor", &["status"])?;
    assert!(status.contains("nso.statistics/admin_unit") && status.contains(PARTICIPANT), "{status}");
    let tail =
        guarded.succeed("lienthong.monitor", &["tail", "admin_unit", "--show-values", "--output", "json"])?;
    assert_eq!(tail.lines().count(), 100);

    // A time in the middle: checkpoints say where reading may begin.
    let tail = ["tail", "admin_unit", "--from", "2100-01-01T00:00:00Z", "--output", "json"];
    assert_eq!(guarded.succeed("lienthong.monitor", &tail)?, "");

    // Something to deliver, so that whoever routes has to ask for the group.
    guarded.owner.insert(1).await?;
    guarded.succeed(PARTICIPANT, &["connect", PARTICIPANT, "--once"])?;
    everybody_is_kept_out_of_what_is_not_theirs(&guarded)?;
    nobody_writes_what_is_not_theirs(&guarded).await?;
    raw::the_broker_refuses_whatever_client_asks(&guarded)
}

fn everybody_is_kept_out_of_what_is_not_theirs(guarded: &Guarded) -> Result<()> {
    let connect = ["connect", PARTICIPANT, "--once"];
    let strange: [&[&str]; 6] = [
        &["tail", "admin_unit"],
        &["route", "--once"],
        &connect,
        &["status"],
        &["topics", "create"],
        &["topics", "describe"],
    ];
    let refusals = strange.map(|arguments| Refusal { user: STRANGER, arguments, words: &["lt."] });
    guarded.refused(PASSWORD, &refusals).context("a stranger reads and writes nothing")?;
    let refused = |cases: &[(&str, &[&str], &str)]| -> Result<()> {
        let words: Vec<[&str; 1]> = cases.iter().map(|(_, _, word)| [*word]).collect();
        let refusals: Vec<Refusal<'_>> = cases
            .iter()
            .zip(&words)
            .map(|((user, arguments, _), words)| Refusal { user, arguments, words })
            .collect();
        guarded.refused(PASSWORD, &refusals)
    };
    let router = "lienthong.router";
    // Whoever only looks may not even see how topics are set up, which writers and routers look at first.
    let monitor = "lienthong.monitor";
    refused(&[
        (PARTICIPANT, &["tail", "residence"], "lt.residence.live"),
        (PARTICIPANT, &["route", "--once"], "lienthong.nso.statistics.admin_unit"),
        (router, &["tail", "civil_status"], "lt.civil_status.live"),
        (router, &connect, "lt.quarantine.homeaffairs.admin-units"),
    ])?;
    refused(&[
        (router, &["tail", "admin_unit", "--show-values"], "lt.audit"),
        (monitor, &connect, "DescribeConfigs"),
        (monitor, &["route", "--once"], "DescribeConfigs"),
        ("lienthong.administrator", &["tail", "admin_unit"], "lt.admin_unit.live"),
    ])
}

/// With the library of the binary: the binary refuses most of this before it asks a broker.
async fn nobody_writes_what_is_not_theirs(guarded: &Guarded) -> Result<()> {
    let open = async |user: &str, participant: &str, topic: &str| {
        let id = ParticipantId::new(participant)?;
        let opened = guarded.log(user)?.open_writer(&id, &[topic.to_owned()]).await.map(|_| ());
        let refused = matches!(&opened, Err(WriterError::Log(LogError::Refused(_))));
        ensure!(refused, "{user} opened a writer on {topic} as {participant}: {opened:?}");
        anyhow::Ok(())
    };
    let opened = [
        (PARTICIPANT, PARTICIPANT, "lt.residence.live"),
        (PARTICIPANT, "mps.residence", "lt.residence.live"),
        ("lienthong.router", PARTICIPANT, "lt.admin_unit.live"),
        ("lienthong.monitor", PARTICIPANT, "lt.admin_unit.live"),
        ("lienthong.administrator", PARTICIPANT, "lt.admin_unit.live"),
        (STRANGER, PARTICIPANT, "lt.admin_unit.live"),
    ]
    .map(|(user, participant, topic)| open(user, participant, topic));
    try_join_all(opened).await?;
    let put = async |user: &str, topic: &str| {
        let put = guarded.log(user)?.publish(topic, b"k", &[], b"v").await;
        ensure!(matches!(&put, Err(LogError::Refused(_))), "{user} wrote to {topic}: {put:?}");
        anyhow::Ok(())
    };
    let puts = [
        (PARTICIPANT, "lt.receipts"),
        ("lienthong.router", "lt.positions"),
        ("lienthong.router", "lt.audit"),
        ("lienthong.router", "lt.quarantine.homeaffairs.admin-units"),
        ("lienthong.monitor", "lt.positions"),
        ("lienthong.monitor", "lt.status"),
        ("lienthong.monitor", "lt.quarantine.homeaffairs.admin-units"),
        ("lienthong.administrator", "lt.status"),
        (STRANGER, "lt.status"),
    ]
    .map(|(user, topic)| put(user, topic));
    try_join_all(puts).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_certificate_and_a_wrong_password_are_exit_code_4_with_the_reason() -> Result<()> {
    let mut guarded = Guarded::start().await?;
    guarded.owner.insert(5).await?;
    guarded.prepare()?;
    let commands: [(&str, &[&str]); 5] = [
        ("lienthong.administrator", &["topics", "describe"]),
        (PARTICIPANT, &["connect", PARTICIPANT, "--once", "--timeout", "1"]),
        ("lienthong.router", &["route", "--once", "--timeout", "1"]),
        ("lienthong.monitor", &["status"]),
        ("lienthong.monitor", &["tail", "admin_unit"]),
    ];
    let all = |words| commands.map(|(user, arguments)| Refusal { user, arguments, words });
    guarded.refused("not-the-password", &all(&["uthentication failed", "`sasl`"]))?;
    let right = guarded.right();
    let elsewhere = tempfile::tempdir()?;
    let other = Authority::new("another authority")?.write(elsewhere.path(), "other")?;
    let other_ca = other.ca.display().to_string();
    let other_client = Some((other.cert.display().to_string(), other.key.display().to_string()));
    for (entry, words) in [
        // The registry's own is right, so that the brokers' is what is told.
        (
            Entry { ca: Some(other_ca), registry_ca: right.ca.clone(), ..right.clone() },
            &["certificate verify failed", "`ca`"][..],
        ),
        (Entry { client: other_client, ..right.clone() }, &["certificate", "`cert`"]),
        (Entry { client: None, ..right }, &["certificate", "`cert`"]),
    ] {
        guarded.enter(&entry)?;
        guarded.refused(PASSWORD, &all(words))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_let_us_in_is_exit_code_4_with_the_reason() -> Result<()> {
    let mut guarded = Guarded::start().await?;
    guarded.owner.insert(5).await?;
    guarded.prepare()?;
    let right = guarded.right();
    let elsewhere = tempfile::tempdir()?;
    let other = Authority::new("another authority")?.write(elsewhere.path(), "other")?;
    for (entry, words) in [
        (
            Entry { registry_ca: Some(other.ca.display().to_string()), ..right.clone() },
            &["its certificate is not trusted", "`ca`"][..],
        ),
        (Entry { registry_password: Some("wr0ng"), ..right.clone() }, &["does not accept the password"]),
        (Entry { registry_password: None, ..right.clone() }, &["asks for name and password"]),
    ] {
        guarded.enter(&entry)?;
        let connect = ["connect", PARTICIPANT, "--once", "--timeout", "1"];
        let register = Refusal { user: "lienthong.administrator", arguments: &["schema", "register"], words };
        guarded.refused(PASSWORD, &[register, Refusal { user: PARTICIPANT, arguments: &connect, words }])?;
    }

    // The brokers know this one by PLAIN alone.
    let (user, password) = PLAIN_USERS[0];
    guarded.enter(&Entry { mechanism: "PLAIN", ..right })?;
    let principal = format!("lienthong.administrator=User:{user}");
    let acls = guarded.succeed(user, &["topics", "acls", "--principal", &principal])?;
    guarded.refused(password, &[Refusal { user, arguments: &["topics", "describe"], words: &["lt."] }])?;
    guarded.broker.run_acls(&acls)?;
    let output = guarded.run(user, password, &["topics", "describe"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
