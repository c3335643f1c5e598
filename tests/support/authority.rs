//! Certificates for the tests of TLS.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority that nobody else trusts.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new([])?;
        // OpenSSL takes a certificate whose issuer has its own name for its own issuer.
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    /// Writes a certificate for a host as `<name>.pem`, and its key as `<name>.key`.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn issue(&self, folder: &Path, name: &str, host: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.0)?;
        fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes its own certificate.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, self.0.pem())?)
    }
}

/// A folder with the certificates of a Redis behind mutual TLS and of its clients: the authority of all of them in `ca.pem`, and
/// `server.pem` with `server.key` for the host `redis.shop`.
#[derive(Debug)]
pub struct RedisCertificates {
    authority: Authority,
    folder: TempDir,
}

impl RedisCertificates {
    /// Those of the server. A client has none yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new()?;
        authority.write(&folder.path().join("ca.pem"))?;
        authority.issue(folder.path(), "server", "redis.shop")?;
        Ok(Self { authority, folder })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes, as `<name>.pem` and `<name>.key`, a certificate of a client that the server lets in.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn known_client(&self, name: &str) -> Result<()> {
        self.authority.issue(self.folder(), name, "exporter")
    }

    /// The same of a client that the server does not know, because another authority signed it.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn unknown_client(&self, name: &str) -> Result<()> {
        Authority::new()?.issue(self.folder(), name, "exporter")
    }

    /// The arguments of a redis-server that speaks TLS at this port.
    pub fn arguments(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.folder().join(name).display().to_string();
        [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", file("server.pem")),
            ("--tls-key-file", file("server.key")),
            ("--tls-ca-cert-file", file("ca.pem")),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }
}
