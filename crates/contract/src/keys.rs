//! Keyed hashes of subjects, and the sealing of values that must not be read where they lie.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;

type HmacSha256 = Hmac<Sha256>;

/// 16 bytes that stand for a key or subject in ledgers, receipts, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// Lower-case hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// A secret for keyed hashes. Derive one per use, so that hashes made for two uses cannot be joined.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key for one named use, such as `receipt/vss.insurance/civil_status`.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self(mac(&self.0, &[b"derive", purpose.as_bytes()]))
    }

    /// The hash of a tuple of parts; parts are length-prefixed, so that no two tuples run together.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> KeyHash {
        let full = mac(&self.0, parts);
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        KeyHash(short)
    }

    /// The secret itself, in hexadecimal, for whoever may have it.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex(&self.0)
    }

    /// Names the key without giving it away: 8 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&mac(&self.0, &[b"key id"])[..4])
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(***)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <HmacSha256 as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Seals values (XChaCha20-Poly1305) under a key that the place where they lie never holds.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Nonce and ciphertext; `context` must be given again to open.
    #[must_use]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 24];
        rand::rng().fill_bytes(&mut nonce);
        let cipher = XChaCha20Poly1305::new((&self.0).into());
        let sealed = cipher
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: context })
            .expect("encryption of an in-memory buffer does not fail");
        [nonce.as_slice(), &sealed].concat()
    }

    /// The plain bytes, or `None` when key, context or bytes are not the ones of sealing.
    #[must_use]
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(24)?;
        let cipher = XChaCha20Poly1305::new((&self.0).into());
        cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: body, aad: context }).ok()
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_do_not_run_together_and_uses_cannot_be_joined() {
        let key = HashKey::new([7; 32]);
        assert_ne!(key.hash(&[b"ab", b"c"]), key.hash(&[b"a", b"bc"]));
        assert_ne!(key.derive("a").hash(&[b"x"]), key.derive("b").hash(&[b"x"]));
        assert_eq!(format!("{key:?}"), "HashKey(***)");
    }

    #[test]
    fn sealed_bytes_open_only_under_their_key_and_context() {
        let key = SealKey::new([1; 32]);
        let sealed = key.seal(b"here", b"value");
        assert_eq!(key.open(b"here", &sealed).as_deref(), Some(b"value".as_slice()));
        assert_eq!(key.open(b"there", &sealed), None);
        assert_eq!(SealKey::new([2; 32]).open(b"here", &sealed), None);
        assert_eq!(key.open(b"here", &sealed[..10]), None);
    }
}
