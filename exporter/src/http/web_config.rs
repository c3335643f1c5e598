//! The file of `--web.config.file`, in the format of Prometheus' own programs: TLS, client certificates, basic auth, headers.
//!
//! Source of the format: <https://github.com/prometheus/exporter-toolkit/blob/v0.15.0/docs/web-configuration.md>. What a key there asks
//! for and we cannot do is an error, never passed over: a file that promises a check that nobody makes is worse than none.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::header::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::users::Users;
use crate::yaml_file::{Problem, YamlFile};

/// The headers that the format knows.
const HEADERS: [&str; 5] = [
    "Strict-Transport-Security",
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    tls_server_config: Option<Spanned<Tls>>,
    http_server_config: Http,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
    rate_limit: Option<Spanned<IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    cert: Option<String>,
    cert_file: Option<Spanned<String>>,
    key: Option<String>,
    key_file: Option<Spanned<String>>,
    client_auth_type: Option<Spanned<String>>,
    client_ca: Option<String>,
    client_ca_file: Option<Spanned<String>>,
    min_version: Option<Spanned<String>>,
    max_version: Option<Spanned<String>>,
    client_allowed_sans: Option<Spanned<IgnoredAny>>,
    cipher_suites: Option<Spanned<IgnoredAny>>,
    curve_preferences: Option<Spanned<IgnoredAny>>,
    prefer_server_cipher_suites: Option<Spanned<IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    http2: Option<Spanned<bool>>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

/// What the file asks for, ready to be used.
#[derive(Clone, Debug, Default)]
pub(super) struct WebConfig {
    /// How connections are encrypted; nothing if they are not.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Who may ask; nothing if everybody may.
    pub(super) users: Option<Arc<Users>>,
    /// Headers of every response.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The bytes of every file that this was made from, by which a change is seen.
    seen: Vec<Vec<u8>>,
}

/// Who has to show a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    Nobody,
    WhoeverHasOne,
    Everybody,
}

impl WebConfig {
    /// Reads the file and those that it names.
    ///
    /// # Errors
    /// When one of them cannot be used. The message names the file and the place, and shows no secret.
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::of(&YamlFile::open(path)?)
    }

    /// Reads the files that this one names.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub(super) fn of(file: &YamlFile) -> Result<Self> {
        let mut config = Self {
            seen: vec![file.text().as_bytes().to_vec()],
            ..Self::default()
        };
        let parsed: File = file.parse()?;
        if let Some(place) = &parsed.rate_limit {
            return Err(unsupported(file, place, "rate_limit").into());
        }
        if let Some(http2) = parsed.http_server_config.http2.filter(|http2| http2.value) {
            let help =
                "leave it out, or write `http2: false`; Prometheus scrapes over HTTP/1.1 as well";
            return Err(file.wrong_at(&http2, "HTTP/2 is not served", help).into());
        }
        config.headers = headers(file, parsed.http_server_config.headers)?;
        config.users = users(file, parsed.basic_auth_users)?.map(Arc::new);
        if let Some(tls) = &parsed.tls_server_config {
            config.tls = Some(Arc::new(config.read_tls(file, tls)?));
        }
        Ok(config)
    }

    /// Whether it was made from the same files with the same content.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.seen == other.seen
    }

    fn read_tls(&mut self, file: &YamlFile, place: &Spanned<Tls>) -> Result<ServerConfig> {
        let tls = &place.value;
        for (value, key) in [
            (&tls.client_allowed_sans, "client_allowed_sans"),
            (&tls.cipher_suites, "cipher_suites"),
            (&tls.curve_preferences, "curve_preferences"),
            (
                &tls.prefer_server_cipher_suites,
                "prefer_server_cipher_suites",
            ),
        ] {
            if let Some(value) = value {
                return Err(unsupported(file, value, key).into());
            }
        }
        let has_certificate = tls.cert.is_some() || tls.cert_file.is_some();
        let has_key = tls.key.is_some() || tls.key_file.is_some();
        if !has_certificate || !has_key {
            let help = "write `cert_file` and `key_file`";
            return Err(file
                .wrong_at(place, "a certificate and its key are needed", help)
                .into());
        }
        let certificate = self.pem(file, tls.cert.as_deref(), tls.cert_file.as_ref())?;
        let key = self.pem(file, tls.key.as_deref(), tls.key_file.as_ref())?;
        let client_ca = self.pem(file, tls.client_ca.as_deref(), tls.client_ca_file.as_ref())?;
        let auth = client_auth(file, tls, client_ca.is_some())?;
        let versions = versions(file, tls)?;

        let chain = certificates(&certificate.unwrap_or_default())
            .context("the certificate of tls_server_config")?;
        let key = PrivateKeyDer::from_pem_slice(&key.unwrap_or_default())
            .context("the key of tls_server_config")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)?;
        let builder = if auth == ClientAuth::Nobody {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for authority in certificates(&client_ca.unwrap_or_default()).context("client_ca")? {
                roots.add(authority).context("client_ca")?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if auth == ClientAuth::WhoeverHasOne {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            builder.with_client_cert_verifier(verifier.build().context("client_ca")?)
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .context("the certificate and the key of tls_server_config do not fit")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// What stands in the file itself, or in the file that it names.
    fn pem(
        &mut self,
        file: &YamlFile,
        inline: Option<&str>,
        named: Option<&Spanned<String>>,
    ) -> Result<Option<Vec<u8>>> {
        match (inline, named) {
            (Some(_), Some(named)) => Err(file
                .wrong_at(
                    named,
                    "it is given twice, here and as a text",
                    "keep one of the two",
                )
                .into()),
            (Some(text), None) => Ok(Some(text.as_bytes().to_vec())),
            (None, Some(named)) => {
                let path = file.neighbour(&named.value);
                let bytes = std::fs::read(&path).map_err(|error| {
                    file.wrong_at(
                        named,
                        format!("{}: {error}", path.display()),
                        "relative names begin at the folder of this file",
                    )
                })?;
                self.seen.push(bytes.clone());
                Ok(Some(bytes))
            }
            (None, None) => Ok(None),
        }
    }
}

fn unsupported<T>(file: &YamlFile, place: &Spanned<T>, key: &str) -> Problem {
    file.wrong_at(
        place,
        format!("`{key}` is not supported"),
        "leave it out; bullmq-exporter would not do what it asks for",
    )
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    anyhow::ensure!(!all.is_empty(), "there is no certificate in it");
    Ok(all)
}

fn client_auth(file: &YamlFile, tls: &Tls, has_ca: bool) -> Result<ClientAuth, Problem> {
    let Some(place) = &tls.client_auth_type else {
        // A CA without a type would check nobody: the toolkit refuses it as well.
        return match (has_ca, &tls.client_ca_file) {
            (true, Some(named)) => Err(file.wrong_at(
                named,
                "a client CA without a client auth type checks nobody",
                "add `client_auth_type: RequireAndVerifyClientCert`",
            )),
            _ => Ok(ClientAuth::Nobody),
        };
    };
    let auth = match place.value.as_str() {
        "NoClientCert" | "" => ClientAuth::Nobody,
        "VerifyClientCertIfGiven" => ClientAuth::WhoeverHasOne,
        "RequireAndVerifyClientCert" => ClientAuth::Everybody,
        "RequestClientCert" | "RequireAnyClientCert" => {
            return Err(file.wrong_at(
                place,
                "a certificate that nobody verifies is not asked for",
                "write `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`",
            ));
        }
        _ => {
            return Err(file.wrong_at(
                place,
                "this client auth type is not known",
                "write `NoClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`",
            ));
        }
    };
    match (auth, has_ca) {
        (ClientAuth::Nobody, true) => Err(file.wrong_at(
            place,
            "a client CA is given, and no client is checked by it",
            "write `RequireAndVerifyClientCert`, or leave the CA out",
        )),
        (ClientAuth::WhoeverHasOne | ClientAuth::Everybody, false) => Err(file.wrong_at(
            place,
            "clients cannot be verified without a CA",
            "add `client_ca_file`",
        )),
        (auth, _) => Ok(auth),
    }
}

fn versions(file: &YamlFile, tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>, Problem> {
    let number = |place: &Option<Spanned<String>>, default: u8| match place {
        None => Ok(default),
        Some(place) => match place.value.as_str() {
            "TLS12" => Ok(2),
            "TLS13" => Ok(3),
            "TLS10" | "TLS11" => Err(file.wrong_at(
                place,
                "TLS before 1.2 is broken and not spoken",
                "write `TLS12` or `TLS13`",
            )),
            _ => Err(file.wrong_at(
                place,
                "this version of TLS is not known",
                "write `TLS12` or `TLS13`",
            )),
        },
    };
    match (number(&tls.min_version, 2)?, number(&tls.max_version, 3)?) {
        (3, 2) => {
            let place = tls.max_version.as_ref().or(tls.min_version.as_ref());
            match place {
                Some(place) => Err(file.wrong_at(
                    place,
                    "`max_version` is below `min_version`",
                    "raise it, or leave it out",
                )),
                None => Ok(vec![&version::TLS13]),
            }
        }
        (3, _) => Ok(vec![&version::TLS13]),
        (_, 2) => Ok(vec![&version::TLS12]),
        _ => Ok(vec![&version::TLS12, &version::TLS13]),
    }
}

fn headers(
    file: &YamlFile,
    written: Option<BTreeMap<String, Spanned<String>>>,
) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    for (name, value) in written.unwrap_or_default() {
        if !HEADERS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&name))
        {
            let known = HEADERS.join(", ");
            return Err(file
                .wrong_at(
                    &value,
                    format!("the header `{name}` cannot be set"),
                    format!("these can: {known}"),
                )
                .into());
        }
        let Ok(text) = HeaderValue::from_str(&value.value) else {
            let help = "use printable characters of ASCII";
            return Err(file
                .wrong_at(&value, format!("this is no value of `{name}`"), help)
                .into());
        };
        headers.push((HeaderName::from_bytes(name.as_bytes())?, text));
    }
    Ok(headers)
}

fn users(
    file: &YamlFile,
    written: Option<BTreeMap<String, Spanned<String>>>,
) -> Result<Option<Users>> {
    let Some(written) = written.filter(|users| !users.is_empty()) else {
        return Ok(None);
    };
    let mut users = Users::default();
    for (name, hash) in written {
        if !users.add(&name, &hash.value) {
            let help = "write a hash of bcrypt, as `htpasswd -nBC 10 '' | tr -d ':'` makes it; never the password itself";
            let message = format!("the password of `{name}` is no hash of bcrypt");
            return Err(file.wrong_at(&hash, message, help).into());
        }
    }
    Ok(Some(users))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_key_that_promises_what_is_not_done_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        for (text, expected) in [
            ("rate_limit: {burst: 1}\n", "`rate_limit` is not supported"),
            (
                "http_server_config: {http2: true}\n",
                "HTTP/2 is not served",
            ),
            (
                "http_server_config: {headers: {Server: x}}\n",
                "the header `Server` cannot be set",
            ),
            (
                "tls_server_config: {cert_file: c}\n",
                "a certificate and its key are needed",
            ),
            (
                "tls_server_config: {cert: c, key: k, client_auth_type: RequireAnyClientCert}\n",
                "a certificate that nobody verifies is not asked for",
            ),
            (
                "tls_server_config: {cert: c, key: k, client_auth_type: RequireAndVerifyClientCert}\n",
                "clients cannot be verified without a CA",
            ),
            (
                "tls_server_config: {cert: c, key: k, client_ca: x, client_auth_type: NoClientCert}\n",
                "no client is checked by it",
            ),
            (
                "tls_server_config: {cert: c, key: k, min_version: TLS11}\n",
                "TLS before 1.2 is broken",
            ),
            (
                "tls_server_config: {cert: c, key: k, min_version: TLS13, max_version: TLS12}\n",
                "`max_version` is below `min_version`",
            ),
            (
                "tls_server_config: {cert: c, key: k, cipher_suites: []}\n",
                "`cipher_suites` is not supported",
            ),
            (
                "tls_server_config: {cert: c, key: k, client_allowed_sans: [a]}\n",
                "`client_allowed_sans` is not supported",
            ),
            (
                "basic_auth_users: {a: hunter2}\n",
                "the password of `a` is no hash of bcrypt",
            ),
            (
                "basic_auth_user: {a: hunter2}\n",
                "unknown field `basic_auth_user`",
            ),
            (
                "tls_server_config: {cert: c, cert_file: d, key: k}\n",
                "it is given twice",
            ),
            (
                "tls_server_config: {cert_file: missing.pem, key: k}\n",
                "missing.pem: No such file",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let told = format!("{:#}", WebConfig::read(&path).unwrap_err());
            assert!(told.contains(expected), "{text}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, "# nothing yet\n").unwrap();
        let config = WebConfig::read(&path).unwrap();
        assert!(config.tls.is_none() && config.users.is_none() && config.headers.is_empty());
    }
}
