//! From a site's log address to an engine.

use std::sync::Arc;

use lienthong_log::Log;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::kafka::{KafkaLog, KafkaLogin, KafkaOptions, KafkaSasl, KafkaTls};
use lienthong_site::{KafkaAddress, LogAddress, Login};

use crate::exit::Failure;

/// Opens the engine; an embedded file is created when it is missing.
pub(crate) fn open(address: &LogAddress) -> Result<Arc<dyn Log>, Failure> {
    match address {
        LogAddress::Embedded(path) => {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)?;
            }
            Ok(Arc::new(EmbeddedLog::open(path)?))
        }
        LogAddress::Kafka(address) => Ok(Arc::new(KafkaLog::connect(options(address))?)),
    }
}

fn options(address: &KafkaAddress) -> KafkaOptions {
    let mut options = KafkaOptions::new(&address.brokers, &address.registry);
    options.prefix = address.prefix.clone().unwrap_or_default();
    options.replication = address.replication;
    options.tls = address.tls.as_ref().map(|tls| {
        let (cert, key) = tls.client.clone().unzip();
        KafkaTls { ca: tls.ca.clone(), cert, key }
    });
    options.sasl = address
        .sasl
        .as_ref()
        .map(|sasl| KafkaSasl { mechanism: sasl.mechanism.as_str().to_owned(), login: login(&sasl.login) });
    options.registry_login = address.registry_login.as_ref().map(login);
    options.registry_ca = address.registry_ca.clone();
    options
}

fn login(login: &Login) -> KafkaLogin {
    KafkaLogin { username: login.username.expose().to_owned(), password: login.password.expose().to_owned() }
}
