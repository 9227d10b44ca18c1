//! The schema registry, through its Confluent API. Subjects are `<topic>-<record full name>`.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use lienthong_schemas::shown_reason;
use reqwest::{Method, StatusCode};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, perform_sr_call, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SrCall, SuppliedSchema};

use super::config::{KafkaLogin, KafkaOptions};
use super::tls;
use crate::api::LogError;

const TIMEOUT: Duration = Duration::from_secs(10);
const LEVEL: &str = "BACKWARD_TRANSITIVE";
/// Codes of the registry have five digits, the last two its own; what is more may be a value.
const MOST_CODE: u32 = 99_999;
const REGISTER: &str = "run `lienthong schema register`";

/// Client and cache. Ids and texts never change, so that the cache needs no end; refusals are never kept.
pub(super) struct Registry {
    url: String,
    prefix: String,
    login: Option<KafkaLogin>,
    settings: SrSettings,
    /// For what the other client lacks: a subject's compatibility level and its versions.
    http: reqwest::Client,
    ids: Mutex<HashMap<(String, String), u32>>,
    texts: Mutex<HashMap<u32, Arc<str>>>,
}

impl Registry {
    /// Makes the client; asks nothing yet.
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, LogError> {
        install_crypto();
        let http = tls::client(options)?.timeout(TIMEOUT).build().map_err(|_| unusable("its client"))?;
        let mut settings = SrSettings::new_builder(options.registry.clone());
        settings.set_timeout(TIMEOUT);
        if let Some(login) = &options.registry_login {
            settings.set_basic_authorization(&login.username, Some(&login.password));
        }
        let settings = settings.build_with(tls::client(options)?).map_err(|error| unusable(&error.error))?;
        Ok(Self {
            url: options.registry.clone(),
            prefix: options.prefix.clone(),
            login: options.registry_login.clone(),
            settings,
            http,
            ids: Mutex::default(),
            texts: Mutex::default(),
        })
    }

    /// Looks an id up; never registers.
    pub(super) async fn id(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        let key = (self.subject(topic, full_name), schema.to_owned());
        if let Some(id) = lock(&self.ids).get(&key) {
            return Ok(*id);
        }
        let body = serde_json::json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        let answer = perform_sr_call(&self.settings, SrCall::PostForVersion(&key.0, &body)).await;
        let id = answer.map_err(|error| self.error(&error, &key.0, Asked::Id))?.id;
        let id = id.ok_or_else(|| LogError::RegistryDown(format!("its answer about {} has no id", key.0)))?;
        lock(&self.ids).insert(key, id);
        Ok(id)
    }

    /// The text of a schema.
    pub(super) async fn text(&self, id: u32) -> Result<Arc<str>, LogError> {
        if let Some(text) = lock(&self.texts).get(&id) {
            return Ok(Arc::clone(text));
        }
        let answer = get_schema_by_id(id, &self.settings).await;
        let found = answer.map_err(|error| self.error(&error, &format!("id {id}"), Asked::Text))?;
        let text: Arc<str> = found.schema.into();
        lock(&self.texts).insert(id, Arc::clone(&text));
        Ok(text)
    }

    /// Every version of a subject, oldest first.
    pub(super) async fn versions(&self, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, LogError> {
        let subject = self.subject(topic, full_name);
        let Some(numbers) = self.get::<Vec<u32>>(&format!("subjects/{subject}/versions"), &subject).await?
        else {
            return Ok(Vec::new());
        };
        let mut texts = Vec::with_capacity(numbers.len());
        for number in numbers {
            // A version that was deleted between the two questions no longer counts.
            let path = format!("subjects/{subject}/versions/{number}");
            texts.extend(self.get::<Version>(&path, &subject).await?.map(|version| version.schema.into()));
        }
        Ok(texts)
    }

    /// What the registry answers; `None` when it has no such thing.
    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        subject: &str,
    ) -> Result<Option<T>, LogError> {
        let sent = self.request(Method::GET, path).send().await;
        let answer = sent.map_err(|error| self.down(&error))?;
        match answer.status() {
            status if status.is_success() => answer.json().await.map(Some).map_err(|_| {
                LogError::RegistryDown(format!("its answer about {subject} is not what its API promises"))
            }),
            StatusCode::NOT_FOUND => Ok(None),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(self.refused(status.as_u16(), &format!("look up {subject}")))
            }
            status => Err(LogError::RegistryDown(format!("{subject}: it answers {status}"))),
        }
    }

    /// A question of our own, with our name and password where there are some.
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/{path}", self.url));
        match &self.login {
            Some(login) => request.basic_auth(&login.username, Some(&login.password)),
            None => request,
        }
    }

    /// Registers a schema; the same text again gives the same id. The subject's level is set first, so that even its
    /// second version is held to it.
    pub(super) async fn register(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        let subject = self.subject(topic, full_name);
        self.set_level(&subject).await?;
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        let answer = post_schema(&self.settings, subject.clone(), supplied).await;
        let id = answer.map_err(|error| self.error(&error, &subject, Asked::Register))?.id;
        lock(&self.ids).insert((subject, schema.to_owned()), id);
        Ok(id)
    }

    async fn set_level(&self, subject: &str) -> Result<(), LogError> {
        let body = serde_json::json!({ "compatibility": LEVEL });
        let sent = self.request(Method::PUT, &format!("config/{subject}")).json(&body).send().await;
        let status = sent.map_err(|error| self.down(&error))?.status();
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.refused(status.as_u16(), &format!("configure {subject}")))
            }
            status => Err(LogError::RegistryDown(format!(
                "{subject}: it answers {status} when asked for compatibility {LEVEL}"
            ))),
        }
    }

    fn subject(&self, topic: &str, full_name: &str) -> String {
        format!("{}{topic}-{full_name}", self.prefix)
    }

    fn down(&self, error: &reqwest::Error) -> LogError {
        // The library's text holds the whole URL; what TLS says holds no value.
        let told = tls::reason(error);
        let kind = match &told {
            Some(reason) => reason.as_str(),
            None if error.is_timeout() => "no answer in time",
            None if error.is_connect() => "no connection",
            None if error.is_decode() => "its answer is not what its API promises",
            None => "the connection broke",
        };
        LogError::RegistryDown(format!("{}: {kind}", host(&self.url)))
    }

    fn refused(&self, status: u16, what: &str) -> LogError {
        let host = host(&self.url);
        LogError::Refused(match (status, &self.login) {
            (401, None) => format!(
                "the schema registry at {host} asks for name and password; fix: give `username` and `password` under `registry`"
            ),
            (401, Some(_)) => format!(
                "the schema registry at {host} does not accept the password; fix: correct `username` and `password` under \
                 `registry`"
            ),
            _ => format!("the schema registry at {host} does not let us {what}"),
        })
    }

    fn error(&self, error: &SRCError, what: &str, asked: Asked) -> LogError {
        if let Some(cause) = error.source().and_then(|source| source.downcast_ref::<reqwest::Error>()) {
            return self.down(cause);
        }
        let Some(raw) = error.source().and_then(|source| source.downcast_ref::<RawError>()) else {
            // The library's text holds the whole schema that was sent.
            return LogError::RegistryDown(format!(
                "{}: its answer about {what} is not what its API promises",
                host(&self.url)
            ));
        };
        let refusal = |problem: String, fix: &str| LogError::Schema { problem, fix: fix.into() };
        // A gateway's answers have no code of the registry's; their status stands in the text only.
        let own = (1..=MOST_CODE).contains(&raw.error_code);
        let code = if own { i64::from(raw.error_code) } else { status(&error.error) };
        match (code, asked) {
            (401 | 40101, _) => self.refused(401, what),
            (403 | 40301, _) => self.refused(403, &format!("{} {what}", asked.verb())),
            (404 | 40400..=40499, Asked::Text) => refusal(
                format!("no schema has the {what}"),
                "the record was written against another registry, or the registry was replaced",
            ),
            (404 | 40400..=40499, Asked::Register) => refusal(
                format!("{} has no place to register {what}", host(&self.url)),
                "write the path of its Confluent API behind the registry's address, such as /apis/ccompat/v7",
            ),
            (404 | 40400..=40499, Asked::Id) => {
                refusal(format!("this version of the schema is not registered under {what}"), REGISTER)
            }
            (409, _) => refusal(
                format!(
                    "the new version of {what} cannot read what was written before: {}",
                    shown_reason(&raw.message)
                ),
                "keep former fields readable, give new ones a default, or begin a new event type",
            ),
            (400..=499 | 42200..=42299, _) => refusal(
                format!("the registry does not take the schema of {what}: {}", shown_reason(&raw.message)),
                "run `lienthong schema check`",
            ),
            (code, _) => LogError::RegistryDown(format!("{}: it answers {code}", host(&self.url))),
        }
    }
}

/// What the registry tells of one version.
#[derive(serde::Deserialize)]
struct Version {
    schema: String,
}

#[derive(Clone, Copy)]
enum Asked {
    Id,
    Text,
    Register,
}

impl Asked {
    fn verb(self) -> &'static str {
        match self {
            Self::Id | Self::Text => "look up",
            Self::Register => "register",
        }
    }
}

/// The first number of a text such as `.. failed with status 401 Unauthorized`; 0 without one.
fn status(text: &str) -> i64 {
    let digits = |word: &&str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    text.split(' ').find(digits).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn unusable(what: &str) -> LogError {
    LogError::Options {
        problem: format!("the schema registry's client cannot use {what}"),
        fix: "correct `log` in lienthong.yaml, and see that the files it names can be read".into(),
    }
}

/// Without user, password and path.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // First behind the last `@`: a password may hold a slash.
    let behind = rest.rsplit('@').next().unwrap_or_default();
    behind.split(['/', '?']).next().unwrap_or_default()
}

/// The HTTP client panics when nobody has chosen a crypto provider; whoever chose one before keeps it.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        assert_eq!(host("http://u:p@registry:8081/apis/ccompat/v7"), "registry:8081");
        assert_eq!(host("registry:8081"), "registry:8081");
        assert_eq!(host("https://u:p/w?@registry:8081/v7"), "registry:8081");
    }

    #[tokio::test]
    async fn a_registry_that_is_down_is_told_apart_from_a_missing_schema() {
        let registry =
            Registry::new(&KafkaOptions::new("a:1", "http://u:secret@127.0.0.1:9")).expect("client");
        for error in [
            registry.id("lt.a.live", "x.Y", "{}").await.expect_err("down"),
            registry.text(1).await.map(|_| 0).expect_err("down"),
            registry.register("lt.a.live", "x.Y", "{}").await.expect_err("down"),
        ] {
            assert!(matches!(error, LogError::RegistryDown(_)), "{error:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
