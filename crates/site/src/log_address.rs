//! Where the log is: `sqlite:PATH`, `kafka://..?registry=..`, or the map form.

use std::fmt;
use std::path::{Path, PathBuf};

use lienthong_schemas::nearest;

use crate::node::{Node, Value};
use crate::reader::{Map, Reader, Text};
use crate::secret::Secret;

/// Which engine, and where.
#[derive(Clone)]
pub enum LogAddress {
    /// The embedded engine: one SQLite file, created when it is missing.
    Embedded(PathBuf),
    /// Kafka with a schema registry.
    Kafka(Box<KafkaAddress>),
}

/// A Kafka cluster as a site names it.
#[derive(Clone)]
pub struct KafkaAddress {
    /// `host:port`, joined by commas.
    pub brokers: String,
    /// The registry's URL, its Confluent API.
    pub registry: String,
    /// How the registry is told who asks; nothing without it.
    pub registry_login: Option<Login>,
    /// Authorities that may sign the registry's certificate, where they are others than the brokers'.
    pub registry_ca: Option<PathBuf>,
    /// In front of every topic, subject and group, so that several sites can share a cluster.
    pub prefix: Option<String>,
    /// Copies per partition, in place of what contracts say; for test clusters.
    pub replication: Option<i32>,
    /// Encryption.
    pub tls: Option<Tls>,
    /// Authentication by password.
    pub sasl: Option<Sasl>,
}

/// Files of TLS, in PEM, for brokers and registry alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The only authorities that may sign the servers' certificates; the system's without it.
    pub ca: Option<PathBuf>,
    /// Own certificate and its key, where servers ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A name and its password.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

/// Authentication by password.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// Who.
    pub login: Login,
}

/// How a password is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// Sent as it is: refused without TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

const MECHANISMS: [(&str, SaslMechanism); 3] = [
    ("PLAIN", SaslMechanism::Plain),
    ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
    ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
];

const PARAMETERS: [&str; 3] = ["registry", "prefix", "replication"];
const EXAMPLE: &str = "write sqlite:PATH, or kafka://host:9092?registry=URL";
const MAX_REPLICATION: i64 = 100;

// Any part may have come from `${env:..}`, so none is shown.
impl fmt::Debug for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(_) => f.write_str("Embedded(***)"),
            Self::Kafka(_) => f.write_str("Kafka(***)"),
        }
    }
}

impl fmt::Debug for KafkaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KafkaAddress(***)")
    }
}

impl LogAddress {
    /// Reads the one-line form. Relative paths start at `folder`.
    ///
    /// # Errors
    /// What is wrong and what to write; never the text itself, because it may hold a password.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, (String, String)> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(("the log's address names no file".to_owned(), EXAMPLE.to_owned())),
                path => Ok(Self::Embedded(folder.join(path))),
            };
        }
        match text.strip_prefix("kafka://") {
            Some(rest) => kafka_url(rest).map(|address| Self::Kafka(Box::new(address))),
            None => Err((
                "the log's address begins with neither sqlite: nor kafka://".to_owned(),
                EXAMPLE.to_owned(),
            )),
        }
    }

    /// Reads either form.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return kafka_map(reader, node).map(|address| Self::Kafka(Box::new(address)));
        }
        let text = reader.text(node, "log")?;
        match Self::parse(&text.value, reader.around().folder) {
            Ok(address) => Some(address),
            Err((message, fix)) => {
                reader.problem(text.at, message, fix);
                None
            }
        }
    }
}

fn kafka_url(rest: &str) -> Result<KafkaAddress, (String, String)> {
    let (brokers, query) = rest.split_once('?').unwrap_or((rest, ""));
    let brokers = brokers.trim_end_matches('/');
    if !brokers.split(',').all(is_broker) {
        let message = "a broker of the log's address is not host:port";
        return Err((message.to_owned(), "write kafka://host:9092,host2:9092?registry=URL".to_owned()));
    }
    let mut address = KafkaAddress {
        brokers: brokers.to_owned(),
        registry: String::new(),
        registry_login: None,
        registry_ca: None,
        prefix: None,
        replication: None,
        tls: None,
        sasl: None,
    };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "registry" => address.registry = decoded(value),
            "prefix" => address.prefix = Some(decoded(value)),
            "replication" => address.replication = Some(replication(value)?),
            other => {
                let fix = match nearest(other, PARAMETERS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("use one of: {}", PARAMETERS.join(", ")),
                };
                return Err((format!("unknown parameter `{other}` in the log's address"), fix));
            }
        }
    }
    if !is_http(&address.registry) {
        let message = "the log's address has no registry, or not an http address";
        return Err((message.to_owned(), "add ?registry=http://host:8081/apis/ccompat/v7".to_owned()));
    }
    if !address.prefix.as_deref().is_none_or(is_prefix) {
        return Err(bad_prefix());
    }
    Ok(address)
}

fn bad_prefix() -> (String, String) {
    (
        "the log's prefix cannot stand in a topic name".to_owned(),
        "use letters, digits, `.`, `_` and `-`".to_owned(),
    )
}

fn replication(value: &str) -> Result<i32, (String, String)> {
    match value.parse::<i64>() {
        Ok(number @ 1..=MAX_REPLICATION) => Ok(number as i32),
        _ => {
            Err(("replication is no whole number from 1 to 100".to_owned(), "write replication=3".to_owned()))
        }
    }
}

/// Brokers are named in messages: nothing but a host may stand there, above all no `name:password@`.
fn is_broker(text: &str) -> bool {
    let in_host = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.chars().all(in_host) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn is_prefix(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Percent-decodes; what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn kafka_map(reader: &mut Reader<'_>, node: &Node) -> Option<KafkaAddress> {
    let map = reader.map(node, "`log`", &["kafka", "registry", "tls", "sasl", "prefix", "replication"])?;
    let brokers = reader.required(&map, "kafka").and_then(|node| reader.names(node, "kafka"));
    for broker in brokers.iter().flatten().filter(|broker| !is_broker(&broker.value)) {
        reader.problem(broker.at, "a broker is not host:port", "write host:9092");
    }
    let registry = reader.required(&map, "registry").and_then(|node| registry(reader, node));
    let prefix = reader.optional_text(&map, "prefix");
    if let Some(prefix) = prefix.as_ref().filter(|prefix| !is_prefix(&prefix.value)) {
        let (message, fix) = bad_prefix();
        reader.problem(prefix.at, message, fix);
    }
    let replication = map.get("replication");
    let replication = replication.and_then(|node| reader.integer(node, "replication", (1, MAX_REPLICATION)));
    let tls = map.get("tls").and_then(|node| tls(reader, node));
    let sasl = map.get("sasl").and_then(|node| sasl(reader, node));
    let plain = sasl.as_ref().is_some_and(|sasl| sasl.mechanism == SaslMechanism::Plain);
    if let Some(node) = map.get("sasl").filter(|_| plain && map.get("tls").is_none()) {
        let message = "`sasl` with PLAIN sends the password as it is, and `log` has no `tls`";
        reader.problem(node.at, message, "add `tls`, or use SCRAM-SHA-512");
    }
    let brokers: Vec<String> = brokers?.into_iter().map(|broker| broker.value).collect();
    let registry = registry?;
    Some(KafkaAddress {
        brokers: brokers.join(","),
        registry: registry.url,
        registry_login: registry.login,
        registry_ca: registry.ca,
        prefix: prefix.map(|prefix| prefix.value),
        replication: replication.map(|number| number as i32),
        tls,
        sasl,
    })
}

struct Registry {
    url: String,
    login: Option<Login>,
    ca: Option<PathBuf>,
}

/// A URL alone, or a map where the registry wants a password or has a certificate of another authority than the brokers'.
fn registry(reader: &mut Reader<'_>, node: &Node) -> Option<Registry> {
    if !matches!(node.value, Value::Map(_)) {
        let url = reader.text(node, "registry").and_then(|url| registry_url(reader, url))?;
        return Some(Registry { url, login: None, ca: None });
    }
    let map = reader.map(node, "`registry`", &["url", "username", "password", "ca"])?;
    let url = reader.required_text(&map, "url").and_then(|url| registry_url(reader, url));
    let ca = file(reader, &map, "ca");
    let login = match (map.get("username"), map.get("password")) {
        (None, None) => None,
        (Some(_), Some(_)) => login(reader, &map),
        _ => {
            reader.problem(map.at, "`username` and `password` belong together", "give both, or neither");
            None
        }
    };
    Some(Registry { url: url?, login, ca })
}

fn registry_url(reader: &mut Reader<'_>, url: Text) -> Option<String> {
    if is_http(&url.value) {
        return Some(url.value);
    }
    reader.problem(url.at, "`registry` is no http address", "write http://host:8081/apis/ccompat/v7");
    None
}

/// A file that must be readable now, not in the middle of the night.
fn file(reader: &mut Reader<'_>, map: &Map<'_>, key: &str) -> Option<PathBuf> {
    let text = reader.optional_text(map, key)?;
    let path = reader.around().folder.join(&text.value);
    if let Err(error) = std::fs::File::open(&path) {
        let message = format!("`{key}`: the file `{}` cannot be read: {}", text.raw, error.kind());
        reader.problem(text.at, message, "name a PEM file that this user may read");
        return None;
    }
    Some(path)
}

fn login(reader: &mut Reader<'_>, map: &Map<'_>) -> Option<Login> {
    let username = reader.required_text(map, "username");
    let password = reader.required_text(map, "password");
    Some(Login { username: Secret::new(&username?.value), password: Secret::new(&password?.value) })
}

fn tls(reader: &mut Reader<'_>, node: &Node) -> Option<Tls> {
    let map = reader.map(node, "`tls`", &["ca", "cert", "key"])?;
    let named = map.get("cert").is_some() == map.get("key").is_some();
    let (ca, cert, key) = (file(reader, &map, "ca"), file(reader, &map, "cert"), file(reader, &map, "key"));
    if !named {
        reader.problem(map.at, "`cert` and `key` belong together", "give both, or neither");
    }
    Some(Tls { ca, client: cert.zip(key) })
}

fn sasl(reader: &mut Reader<'_>, node: &Node) -> Option<Sasl> {
    let map: Map<'_> = reader.map(node, "`sasl`", &["mechanism", "username", "password"])?;
    let mechanism = reader.required_text(&map, "mechanism");
    let mechanism = mechanism.and_then(|text| reader.word(&text, "mechanism", &MECHANISMS));
    let login = login(reader, &map);
    Some(Sasl { mechanism: mechanism?, login: login? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<LogAddress, (String, String)> {
        LogAddress::parse(text, Path::new("site"))
    }

    #[test]
    fn both_engines_have_a_one_line_form() {
        let Ok(LogAddress::Embedded(path)) = parse("sqlite:var/log.db") else { panic!("a file") };
        assert_eq!(path, Path::new("site/var/log.db"));
        let Ok(LogAddress::Kafka(kafka)) =
            parse("kafka://a:9092,b:9093?registry=http%3A%2F%2Fr:8081/v7&prefix=t1.&replication=1")
        else {
            panic!("a cluster")
        };
        assert_eq!((kafka.brokers.as_str(), kafka.registry.as_str()), ("a:9092,b:9093", "http://r:8081/v7"));
        assert_eq!((kafka.prefix.as_deref(), kafka.replication), (Some("t1."), Some(1)));
    }

    #[test]
    fn a_wrong_address_says_what_to_write() {
        for (text, message, fix) in [
            ("postgres://x", "neither sqlite", "sqlite:PATH"),
            ("sqlite:", "names no file", "sqlite:PATH"),
            ("kafka://a?registry=http://r", "not host:port", "host:9092"),
            ("kafka://u:geheim@a:1?registry=http://r", "not host:port", "host:9092"),
            ("kafka://a:1", "no registry", "?registry="),
            ("kafka://a:1?registri=http://r", "unknown parameter `registri`", "did you mean `registry`?"),
            ("kafka://a:1?registry=http://r&replication=0", "replication", "replication=3"),
            ("kafka://a:1?registry=http://r&prefix=a/b", "prefix", "letters"),
        ] {
            let (found, advice) = parse(text).expect_err("it is wrong");
            assert!(found.contains(message) && advice.contains(fix), "{text}: {found}; {advice}");
        }
    }
}
