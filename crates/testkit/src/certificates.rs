//! Certificates that a test makes for itself: an authority of its own, and what it signs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// An authority whose key lives as long as the test.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(***)")
    }
}

/// A certificate with its key, in PEM.
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signed(***)")
    }
}

/// Where [`Authority::write`] has put things.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The signed certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one that nobody trusts yet.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for servers of this machine and for clients alike.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn sign(&self, name: &str) -> Result<Signed> {
        self.sign_for(name, &["localhost", "127.0.0.1"])
    }

    /// The same for a server that is known by these names or addresses and by no others.
    ///
    /// # Errors
    /// When the key cannot be made, or a name is none.
    pub fn sign_for(&self, name: &str, hosts: &[&str]) -> Result<Signed> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = named(name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Signed { certificate, key: key.serialize_pem() })
    }

    /// Signs for `name` and writes the three files that a client needs into a folder.
    ///
    /// # Errors
    /// When the key cannot be made or a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<Files> {
        let signed = self.sign(name)?;
        let write = |ending: &str, text: &str| {
            let path = folder.join(format!("{name}.{ending}"));
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            anyhow::Ok(path)
        };
        Ok(Files {
            ca: write("ca.pem", &self.certificate)?,
            cert: write("cert.pem", &signed.certificate)?,
            key: write("key.pem", &signed.key)?,
        })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
