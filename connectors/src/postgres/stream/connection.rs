//! The replication connection: the events of one slot from a place of the log on.

use std::time::Duration;

use lienthong_contract::source::SourceError;
use pgwire_replication::{
    Lsn, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent, SslMode, TlsConfig,
};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgSslMode;
use tokio::time::Instant;

use super::super::session;
use super::super::wal::SETTINGS;
use super::setup::LogNames;
use super::silence::Silence;
use crate::identifier::quote;
use crate::text::unhex;

/// Messages that are held before the server has to wait. Counted, not weighed: one may be as large as a row.
const HELD: usize = 256;
/// How soon the server hears what may be forgotten.
const STATUS: Duration = Duration::from_millis(250);
/// A server that has not begun to send by then is as good as down. It reads what a transaction of yesterday's left behind before that.
const BEGIN: Duration = Duration::from_secs(60);
/// A column that is not captured can be an array of what has no binary form, and can have been one when the log was written.
const NO_SEND_FUNCTION: &str = "42883";
/// What is said in parting may take so long.
const FAREWELL: Duration = Duration::from_secs(2);

/// An open replication connection. It holds the slot.
pub(super) struct Stream {
    client: ReplicationClient,
    /// What form of values it was asked for.
    pub(super) form: Form,
    /// The server cannot give what the stream has come to in that form.
    pub(super) refused: bool,
    /// For how long it may be silent.
    silence: Silence,
    /// Since when nothing has come, where somebody has waited for it.
    quiet: Option<Instant>,
}

/// How values come. One type that cannot be sent, or is not read, in binary form keeps all of a stream from having it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As their send functions write them: less work for both sides.
    Binary,
    /// As their output functions write them.
    Text,
}

impl Stream {
    /// Holds the slot when it returns. The server has been told already that it may forget everything before `forgotten`.
    pub(super) async fn open(
        name: &str,
        (url, names, silence): (&str, &LogNames, Silence),
        (from, forgotten): (u64, u64),
        form: Form,
    ) -> Result<Self, SourceError> {
        let error = |error: sqlx::Error| super::super::error::source_error(name, &error);
        let config = config(name, url, names).map_err(error)?;
        let options = [config.options.clone().unwrap_or_default(), silence.setting()].join(" ");
        let config = config
            .with_options(options)
            // What we say puts the server's question off.
            .with_wakeup_interval(silence.given_up)
            .with_start_lsn(Lsn::from_u64(from))
            .with_ack_lsn(Lsn::from_u64(forgotten))
            .with_binary(form == Form::Binary)
            .with_status_interval(STATUS)
            .with_buffer_size(HELD);
        let client = ReplicationClient::connect(config).await.map_err(|error| told(name, &error))?;
        let mut stream = Self { client, form, refused: false, silence, quiet: None };
        let begun = tokio::time::timeout(BEGIN, stream.client.wait_started()).await;
        let begun = begun.unwrap_or_else(|_| Err(silent()));
        if let Err(error) = begun {
            stream.client.abort();
            return Err(told(name, &error));
        }
        Ok(stream)
    }

    /// The history of a timeline as the server keeps it, over a connection that reads no slot. A role that may replicate may ask for it.
    pub(super) async fn history(
        name: &str,
        (url, names): (&str, &LogNames),
        timeline: u32,
    ) -> Result<String, SourceError> {
        let error = |error: sqlx::Error| super::super::error::source_error(name, &error);
        let config = config(name, url, names).map_err(error)?;
        let mut client =
            ReplicationClient::connect_gated(config).await.map_err(|error| told(name, &error))?;
        let asked = tokio::time::timeout(BEGIN, client.timeline_history(timeline)).await;
        let asked = asked.unwrap_or_else(|_| Err(silent()));
        client.abort();
        let history = asked.map_err(|error| told(name, &error))?;
        Ok(String::from_utf8_lossy(&history.content).into_owned())
    }

    /// The next event; waits for it, but not for a server that has fallen silent. To be given up at any time.
    pub(super) async fn next(&mut self) -> Result<ReplicationEvent, PgWireError> {
        let until = *self.quiet.get_or_insert_with(Instant::now) + self.silence.given_up;
        tokio::time::timeout_at(until, self.receive()).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn receive(&mut self) -> Result<ReplicationEvent, PgWireError> {
        let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into();
        let received = self.client.recv().await;
        self.quiet = None;
        if let Err(PgWireError::Server(text)) = &received {
            self.refused = self.form == Form::Binary && sqlstate(text) == Some(NO_SEND_FUNCTION);
        }
        received?.ok_or_else(ended)
    }

    /// The next event if it is there.
    pub(super) async fn at_hand(&mut self) -> Result<Option<ReplicationEvent>, PgWireError> {
        // A budget that is used up would look like nothing.
        let found = tokio::task::unconstrained(async {
            tokio::select! {
                biased;
                event = self.receive() => event.map(Some),
                () = std::future::ready(()) => Ok(None),
            }
        })
        .await?;
        let quiet = found.is_none().then(|| self.quiet.get_or_insert_with(Instant::now).elapsed());
        if quiet.is_some_and(|quiet| quiet >= self.silence.given_up) { Err(silent()) } else { Ok(found) }
    }

    /// Everything before `end` may be forgotten by the server.
    pub(super) fn forget(&self, end: u64) {
        self.client.update_applied_lsn(Lsn::from_u64(end));
    }

    /// Waits until the server has been told that everything before `end` may be forgotten, if it is told soon.
    pub(super) async fn told(&self, end: u64) {
        let metrics = self.client.metrics();
        let deadline = Instant::now() + STATUS * 2;
        while metrics.last_applied_lsn().as_u64() < end && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Gives the slot back.
    pub(super) async fn close(mut self) {
        if !matches!(tokio::time::timeout(FAREWELL, self.client.shutdown()).await, Ok(Ok(()))) {
            tracing::debug!("a replication connection was gone before it was closed");
            self.client.abort();
        }
    }
}

/// What the driver may be told of the connection is what the URL and the environment say to the other one.
fn config(name: &str, url: &str, names: &LogNames) -> Result<ReplicationConfig, sqlx::Error> {
    let application = format!("lienthong connector {name} (log)");
    let options = session::options(url, &application)?;
    let whole = options.to_url_lossy();
    let parameter =
        |key: &str| whole.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
    // Certificates that the environment holds itself are told as they stand: this driver wants files.
    let file = |key: &str| match parameter(key) {
        None => Ok(None),
        Some(text) => match text.strip_prefix("file: ") {
            Some(path) => Ok(Some(path.into())),
            None => Err(sqlx::Error::Configuration(format!("{key} is no file").into())),
        },
    };
    let mode = match options.get_ssl_mode() {
        PgSslMode::Disable => SslMode::Disable,
        PgSslMode::Allow | PgSslMode::Prefer => SslMode::Prefer,
        PgSslMode::Require => SslMode::Require,
        PgSslMode::VerifyCa => SslMode::VerifyCa,
        PgSslMode::VerifyFull => SslMode::VerifyFull,
    };
    let user = options.get_username();
    let mut config = ReplicationConfig::new(
        options.get_host(),
        user,
        whole.password().map(decoded).unwrap_or_default(),
        options.get_database().unwrap_or(user),
        quote(&names.slot),
        quote(&names.publication),
    );
    config.tls = TlsConfig {
        mode,
        ca_pem_path: file("sslrootcert")?,
        // Said aloud, or a host that is an address would not be compared with its certificate at all.
        sni_hostname: Some(options.get_host().to_owned()),
        client_cert_pem_path: file("sslcert")?,
        client_key_pem_path: file("sslkey")?,
    };
    if let Some(folder) = options.get_socket() {
        config.host = folder.to_string_lossy().into_owned();
        config.tls = TlsConfig::disabled();
    }
    let settings: Vec<String> = SETTINGS
        .iter()
        .chain(&[("client_min_messages", "error")])
        .map(|(key, value)| format!("-c {key}={}", value.replace(' ', "")))
        .collect();
    Ok(config
        .with_port(options.get_port())
        .with_application_name(application)
        .with_options(settings.join(" ")))
}

fn silent() -> PgWireError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Undoes `%41`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let pair = behind.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(byte) = pair.and_then(unhex) {
            bytes.extend(byte);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The source's error for what ended the stream. What is wrong with slot, publication or rights is found when the source is opened
/// again. The server's own words may quote a row, so only their code is used.
pub(super) fn told(name: &str, error: &PgWireError) -> SourceError {
    let reason = match error {
        PgWireError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            "replication connection: the server has been silent for too long".to_owned()
        }
        PgWireError::Io(error) => format!("replication connection: {}", error.kind()),
        PgWireError::Server(text) => match sqlstate(text) {
            Some("55006") => {
                return SourceError::Held { holder: "another reader of the replication slot".to_owned() };
            }
            Some(code) => format!("replication connection: SQLSTATE {code}"),
            None => "replication connection: the server refused".to_owned(),
        },
        PgWireError::Auth(_) => {
            "replication connection: the way to log in is none of SCRAM-SHA-256, password and trust, or was refused".to_owned()
        }
        PgWireError::Tls(_) => "replication connection: the TLS handshake failed".to_owned(),
        PgWireError::MessageTooLarge { .. } => "replication connection: a row is too large".to_owned(),
        _ => "replication connection: it broke in the middle of a message".to_owned(),
    };
    SourceError::Unreachable { source_name: name.to_owned(), reason }
}

/// The place that an event says the stream has come to, where it says nothing else.
pub(super) fn moves(event: &ReplicationEvent) -> Option<u64> {
    match event {
        ReplicationEvent::KeepAlive { wal_end, .. } => Some(wal_end.as_u64()),
        // Its place is its end.
        ReplicationEvent::Message { transactional: false, lsn, .. } => Some(lsn.as_u64()),
        _ => None,
    }
}

fn sqlstate(text: &str) -> Option<&str> {
    let code = text.rsplit_once("SQLSTATE ")?.1.get(..5)?;
    code.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_not_repeated() {
        let text = "invalid value \"001085730194\" (SQLSTATE 22P02)".to_owned();
        let shown = told("moj", &PgWireError::Server(text)).to_string();
        assert!(shown.contains("22P02") && !shown.contains("0010857"), "{shown}");
        let held = told("moj", &PgWireError::Server("slot is active (SQLSTATE 55006)".to_owned()));
        assert!(matches!(held, SourceError::Held { .. }));
    }

    #[test]
    fn an_address_says_the_same_to_both_connections() {
        let names = LogNames { slot: "s".to_owned(), publication: "P\"x".to_owned() };
        let url = "postgres://an:m%40t%20kh%25u@db.example:5433/moj?sslmode=verify-full&sslrootcert=/ca.pem";
        let config = config("moj", url, &names).unwrap();
        assert_eq!(
            (config.host.as_str(), config.port, config.database.as_str()),
            ("db.example", 5433, "moj")
        );
        assert_eq!((config.user.as_str(), config.password.as_str()), ("an", "m@t kh%u"));
        assert_eq!((config.tls.mode, config.tls.ca_pem_path), (SslMode::VerifyFull, Some("/ca.pem".into())));
        assert_eq!((config.slot.as_str(), config.publication.to_string().as_str()), ("\"s\"", "\"P\"\"x\""));
    }
}
