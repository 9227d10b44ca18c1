//! HTTP over TLS to the registry: whom we trust, who we are, and why a handshake failed.

use std::path::Path;

use super::config::KafkaOptions;
use super::registry::unusable;
use crate::api::LogError;

/// A client that trusts what the options name, as the brokers' client does: with an authority given, that one alone.
pub(super) fn client(options: &KafkaOptions) -> Result<reqwest::ClientBuilder, LogError> {
    let mut builder = reqwest::Client::builder();
    let tls = options.tls.as_ref();
    if let Some(ca) = options.registry_ca.as_ref().or_else(|| tls.and_then(|tls| tls.ca.as_ref())) {
        let all = reqwest::Certificate::from_pem_bundle(&bytes(ca)?)
            .map_err(|_| unusable(&format!("the CA file {}", ca.display())))?;
        builder = builder.tls_certs_only(all);
    }
    if let Some((cert, key)) = tls.and_then(|tls| tls.cert.as_ref().zip(tls.key.as_ref())) {
        let mut pem = bytes(cert)?;
        pem.push(b'\n');
        pem.extend(bytes(key)?);
        let identity = reqwest::Identity::from_pem(&pem)
            .map_err(|_| unusable(&format!("the certificate {} or its key", cert.display())))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn bytes(path: &Path) -> Result<Vec<u8>, LogError> {
    std::fs::read(path).map_err(|error| unusable(&format!("{}: {error}", path.display())))
}

/// What TLS has against a connection; `None` when the failure is another one.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(words(found));
        }
        // An I/O error shows its inner error only by this way, not as its source.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    }
    None
}

fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            format!("its certificate is not trusted ({why}); fix: name the authority that signed it as `ca`")
        }
        rustls::Error::AlertReceived(why) => format!(
            "it does not accept our certificate ({why:?}); fix: give `cert` and `key` under `tls`, signed by an authority that it \
             trusts"
        ),
        other => format!("TLS: {other}"),
    }
}
