//! The site's two keys: 32 bytes each, as hexadecimal.

use std::path::{Path, PathBuf};

use lienthong_contract::keys::{HashKey, SealKey};
use lienthong_schemas::Problem;

use crate::node::{self, Node, Place, Value};
use crate::reader::{Reader, Text};
use crate::secret::Unresolved;
use crate::site::FILE;

/// Where `lienthong keys new` writes them.
const DEFAULTS: [(&str, &str); 2] =
    [("subject", "${file:secrets/subject.key}"), ("seal", "${file:secrets/seal.key}")];

/// What hashes and seals.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Hashes of subjects, keys and record numbers; derive one per use.
    pub subject: HashKey,
    /// Sealing of values that must not be read where they lie.
    pub seal: SealKey,
}

/// The files that a site's keys stand in, subject first. Where `lienthong.yaml` names a key in another way than by a file, or cannot
/// be read yet, the file is the one that is expected without it.
#[must_use]
pub fn key_files(folder: &Path) -> [PathBuf; 2] {
    let root = std::fs::read_to_string(folder.join(FILE)).ok().and_then(|text| node::parse(&text).ok());
    let keys = root.as_ref().and_then(|root| entry(root, "keys"));
    DEFAULTS.map(|(name, default)| {
        let named = match keys.and_then(|keys| entry(keys, name)).map(|node| &node.value) {
            Some(Value::Text(text)) => file_of(text),
            _ => None,
        };
        folder.join(named.or_else(|| file_of(default)).unwrap_or_default())
    })
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
        _ => None,
    }
}

fn file_of(reference: &str) -> Option<&str> {
    reference.strip_prefix("${file:")?.strip_suffix('}')
}

/// Reads `keys`. Files that are not there yet are no mistake of the site: the inner error is told when a command needs the keys.
pub(crate) fn keys(reader: &mut Reader<'_>, node: Option<&Node>, at: Place) -> Option<Result<Keys, Problem>> {
    let map = match node {
        Some(node) => Some(reader.map(node, "`keys`", &["subject", "seal"])?),
        None => None,
    };
    let mut found = Vec::new();
    let mut missing = None;
    for (name, default) in DEFAULTS {
        let own = map.as_ref().and_then(|map| map.get(name));
        let fallback = Node { at, value: Value::Text(default.to_owned()) };
        let node = own.unwrap_or(&fallback);
        match reader.try_text(node, name)? {
            Ok(text) => found.push(bytes(reader, &text, name)),
            Err(Unresolved { message, missing_file: true, .. }) => {
                let fix = "run `lienthong keys new`";
                missing.get_or_insert_with(|| Problem::new(&reader.file, node.at, message, fix));
            }
            Err(Unresolved { message, fix, .. }) => {
                reader.problem(node.at, message, fix);
                found.push(None);
            }
        }
    }
    match (missing, found.as_slice()) {
        (Some(problem), _) => Some(Err(problem)),
        (None, [Some(subject), Some(seal)]) => {
            Some(Ok(Keys { subject: HashKey::new(*subject), seal: SealKey::new(*seal) }))
        }
        _ => None,
    }
}

fn bytes(reader: &mut Reader<'_>, text: &Text, name: &str) -> Option<[u8; 32]> {
    let hex = text.value.trim();
    let mut key = [0; 32];
    let fits = hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    if fits {
        for (byte, index) in key.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&hex[index..index + 2], 16).unwrap_or_default();
        }
        return Some(key);
    }
    let message = format!("the key `{name}` is not 64 hexadecimal digits");
    reader.problem(text.at, message, "move the file away and run `lienthong keys new`");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_where_the_site_looks_for_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let expected = |subject: &str, seal: &str| [folder.path().join(subject), folder.path().join(seal)];
        assert_eq!(key_files(folder.path()), expected("secrets/subject.key", "secrets/seal.key"));
        let yaml = "site: a\nkeys: {subject: \"${file:k/one}\", seal: \"${env:SEAL}\"}\n";
        std::fs::write(folder.path().join(FILE), yaml).expect("written");
        assert_eq!(key_files(folder.path()), expected("k/one", "secrets/seal.key"));
    }
}
