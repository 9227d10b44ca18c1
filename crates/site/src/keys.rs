//! The site's two keys: 32 bytes each, as hexadecimal.

use lienthong_contract::keys::{HashKey, SealKey};
use lienthong_schemas::Problem;

use crate::node::{Node, Place, Value};
use crate::reader::{Reader, Text};
use crate::secret::Unresolved;

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
