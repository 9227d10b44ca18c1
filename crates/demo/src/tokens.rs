//! Pseudonyms as the agreements promise them: an HMAC of the value under a key derived for one subscriber.

use std::path::Path;

use lienthong_contract::keys::HashKey;

use crate::error::DemoError;

/// A subscriber's pseudonym key under its purpose, derived from the site's subject key.
pub(crate) fn key(folder: &Path, subscriber: &str, purpose: &str) -> Result<HashKey, DemoError> {
    let path = folder.join("secrets/subject.key");
    let error = |reason| DemoError::File { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(&path).map_err(error)?;
    let digits = text.trim();
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let pair = digits.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = pair.ok_or_else(|| error(std::io::Error::from(std::io::ErrorKind::InvalidData)))?;
    }
    Ok(HashKey::new(bytes).derive(&format!("pseudonym/{subscriber}/{purpose}")))
}

/// Tells a text from a number with the same bytes.
const TEXT: u8 = 5;

/// The token of a text.
pub(crate) fn token(key: &HashKey, text: &str) -> String {
    let mut bytes = vec![TEXT];
    bytes.extend_from_slice(text.as_bytes());
    key.hash(&[&bytes]).hex()
}
