//! HTTP as `verify` and `init` need it: one GET after another, bounded in time and in size, with secrets that are never shown.
//!
//! Redirects are not followed. The credentials of one server must not reach another, and where a redirect leads to a page for signing
//! in, its address says more than the page.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// How much of a body that is no answer is told.
const SHOWN_OF_A_BODY: usize = 120;

/// What is sent along with every request, and whom to trust. It has no `Debug`, because it holds secrets.
#[derive(Clone, Default)]
pub struct Credentials {
    headers: Vec<(HeaderName, HeaderValue)>,
    roots: Option<Vec<Certificate<'static>>>,
    client: Option<ClientCert>,
}

/// Why credentials cannot be used. Never with the credentials in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unusable {
    /// A header that HTTP does not take.
    #[error("line {line} is no header: write `Name: value`, in printable characters")]
    Header {
        /// The line, from 1.
        line: usize,
    },
    /// A token or a password with a character that no header takes.
    #[error("it holds a character that no HTTP header takes")]
    Secret,
    /// No certificate where one must be.
    #[error("it holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// No private key where one must be.
    #[error("it holds no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// PEM that is broken.
    #[error("it is broken PEM")]
    Pem,
}

impl Credentials {
    /// Sends a bearer token. Blanks and line breaks around it are dropped, as every client does with such a file.
    ///
    /// # Errors
    /// [`Unusable::Secret`].
    pub fn bearer(&mut self, token: &str) -> Result<(), Unusable> {
        self.secret("authorization", &format!("Bearer {}", token.trim()))
            .ok_or(Unusable::Secret)
    }

    /// Sends a user with a password. One line break at the end of the password is dropped.
    ///
    /// # Errors
    /// [`Unusable::Secret`].
    pub fn basic(&mut self, user: &str, password: &str) -> Result<(), Unusable> {
        let password = password.strip_suffix('\n').unwrap_or(password);
        let password = password.strip_suffix('\r').unwrap_or(password);
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.secret("authorization", &format!("Basic {pair}"))
            .ok_or(Unusable::Secret)
    }

    /// Sends headers, one a line: `X-Scope-OrgID: shop`. Blank lines and comments (`#`) are passed over.
    ///
    /// # Errors
    /// [`Unusable::Header`] with the first line that is none.
    pub fn headers(&mut self, text: &str) -> Result<(), Unusable> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || Unusable::Header { line: index + 1 };
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            self.secret(name.trim(), value.trim()).ok_or_else(wrong)?;
        }
        Ok(())
    }

    fn secret(&mut self, name: &str, value: &str) -> Option<()> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        Some(())
    }

    /// Trusts these authorities and no others.
    ///
    /// # Errors
    /// [`Unusable::NoCertificate`] or [`Unusable::Pem`].
    pub fn trust(&mut self, pem: &[u8]) -> Result<(), Unusable> {
        self.roots = Some(certificates(pem)?);
        Ok(())
    }

    /// Shows a certificate of its own to the server.
    ///
    /// # Errors
    /// [`Unusable::NoCertificate`], [`Unusable::NoKey`] or [`Unusable::Pem`].
    pub fn identify(&mut self, certificate: &[u8], key: &[u8]) -> Result<(), Unusable> {
        let chain = certificates(certificate)?;
        let key = items(key)?
            .into_iter()
            .find_map(|item| match item {
                PemItem::PrivateKey(key) => Some(key),
                PemItem::Certificate(_) | _ => None,
            })
            .ok_or(Unusable::NoKey)?;
        let key: PrivateKey<'static> = key;
        self.client = Some(ClientCert::new_with_certs(&chain, key));
        Ok(())
    }
}

fn items(pem: &[u8]) -> Result<Vec<PemItem<'static>>, Unusable> {
    // What is wrong with a private key is not told in more words than these.
    let items: Result<Vec<_>, _> = parse_pem(pem).collect();
    items.ok().ok_or(Unusable::Pem)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, Unusable> {
    let certificates: Vec<_> = items(pem)?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            PemItem::PrivateKey(_) | _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Unusable::NoCertificate);
    }
    Ok(certificates)
}

/// Asks by GET.
pub struct Client {
    agent: ureq::Agent,
    headers: Vec<(HeaderName, HeaderValue)>,
    limit: Duration,
    most_bytes: u64,
}

/// What a server answered, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body, as text; bytes that are none are replaced.
    pub body: String,
    /// Where a redirect leads, without its query, which may hold a secret.
    pub location: Option<String>,
}

impl Response {
    /// What was answered instead of what was expected, in a few words.
    pub fn summary(&self) -> String {
        let status = self.status;
        match (status, &self.location) {
            (300..=399, Some(location)) => format!(
                "status {status}, which leads to {location}; give that address if it is the server's own, and not a page for signing in"
            ),
            (401, _) => "status 401: it wants credentials, or others than these".to_owned(),
            (403, _) => "status 403: these credentials, or none, may not ask here".to_owned(),
            (404, _) => {
                "status 404: there is nothing at this path; is a path prefix missing?".to_owned()
            }
            _ => {
                let body = first_words(&self.body);
                if body.is_empty() {
                    format!("status {status} with an empty body")
                } else {
                    format!("status {status}: {body}")
                }
            }
        }
    }
}

/// The first line of a body, printable and short.
fn first_words(body: &str) -> String {
    let line = body.trim_start().lines().next().unwrap_or_default();
    let mut shown = String::new();
    for character in line.chars().take(SHOWN_OF_A_BODY) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if line.chars().nth(SHOWN_OF_A_BODY).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none that can be asked.
    #[error("this is not an HTTP address")]
    Address,
    /// The name of the host is not known here.
    #[error("the name `{host}` is not known here")]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// There was no whole answer in time.
    #[error("no answer within {}", humantime::format_duration(*.limit))]
    Timeout {
        /// The time.
        limit: Duration,
    },
    /// The answer is larger than anything that is asked for.
    #[error("the answer is larger than {} MiB", .most_bytes >> 20)]
    TooLarge {
        /// The bound in bytes.
        most_bytes: u64,
    },
    /// TLS could not be agreed on.
    #[error("TLS: {0}")]
    Tls(String),
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
}

impl Client {
    /// A client with bounds on the time of a request, answer included, and on the size of an answer.
    pub fn new(credentials: &Credentials, limit: Duration, most_bytes: u64) -> Self {
        let roots = match &credentials.roots {
            Some(roots) => RootCerts::new_with_certs(roots),
            None => RootCerts::WebPki,
        };
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .client_cert(credentials.client.clone())
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .tls_config(tls)
            .build();
        Self {
            agent: ureq::Agent::new_with_config(config),
            headers: credentials.headers.clone(),
            limit,
            most_bytes,
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// When there is no whole answer within the bounds.
    pub fn get(&self, url: &str) -> Result<Response, Error> {
        let Ok(uri) = url.parse::<Uri>() else {
            return Err(Error::Address);
        };
        let host = uri.host().unwrap_or_default().to_owned();
        let mut request = self.agent.get(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // What stands on this machine is not asked through a proxy, as in every other client.
        if is_here(&host) {
            request = request.config().proxy(None).build();
        }
        let mut response = request.call().map_err(|error| self.error(error, &host))?;
        let location = response.headers().get("location");
        let location = location
            .and_then(|location| location.to_str().ok())
            .map(|location| {
                location
                    .split(['?', '#'])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
        let body = response
            .body_mut()
            .with_config()
            .limit(self.most_bytes)
            .read_to_vec()
            .map_err(|error| self.error(error, &host))?;
        Ok(Response {
            status: response.status().as_u16(),
            body: String::from_utf8(body)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            location,
        })
    }

    fn error(&self, error: ureq::Error, host: &str) -> Error {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "an error of any other kind is told in its own words"
        )]
        match error {
            ureq::Error::HostNotFound => Error::UnknownHost {
                host: host.to_owned(),
            },
            ureq::Error::Timeout(_) => Error::Timeout { limit: self.limit },
            ureq::Error::BodyExceedsLimit(_) => Error::TooLarge {
                most_bytes: self.most_bytes,
            },
            ureq::Error::Rustls(error) => Error::Tls(tls(&error.to_string())),
            ureq::Error::Tls(error) => Error::Tls(error.to_owned()),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Error::Address,
            // A failed handshake, or a name that is not known, arrives as a fault of the stream.
            ureq::Error::Io(error) => {
                let text = error.to_string();
                if text.contains("certificate") || text.contains("CertificateError") {
                    Error::Tls(tls(&text))
                } else if text.contains("failed to lookup address") {
                    Error::UnknownHost {
                        host: host.to_owned(),
                    }
                } else if error.kind() == std::io::ErrorKind::TimedOut {
                    Error::Timeout { limit: self.limit }
                } else {
                    Error::Connection(text)
                }
            }
            error => Error::Connection(error.to_string()),
        }
    }
}

fn tls(text: &str) -> String {
    if text.contains("UnknownIssuer") {
        format!("{text}; give the authority that signed it by `--ca-file`")
    } else {
        text.to_owned()
    }
}

fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Every byte that is not plainly harmless in a URL's query, escaped; a blank is `+`, as Go's `url.QueryEscape` and so KEDA write it.
pub fn percent_encode(text: &str) -> String {
    use fmt::Write as _;
    let mut encoded = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            // Writing to a String cannot fail.
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped_as_go_does() {
        assert_eq!(
            percent_encode("a{b=\"c\"} + ä~"),
            "a%7Bb%3D%22c%22%7D+%2B+%C3%A4~"
        );
    }

    #[test]
    fn a_header_that_is_none_is_told_by_its_line_and_not_by_its_text() {
        let mut credentials = Credentials::default();
        let wrong = credentials.headers("# tenant\nX-Scope-OrgID: shop\n\nhunter2\n");
        assert_eq!(wrong, Err(Unusable::Header { line: 4 }));
        assert_eq!(
            credentials.headers("A: b\u{1}"),
            Err(Unusable::Header { line: 1 })
        );
        assert!(!Unusable::Header { line: 4 }.to_string().contains("hunter2"));
    }

    #[test]
    fn what_is_no_pem_is_told() {
        let mut credentials = Credentials::default();
        assert_eq!(credentials.trust(b"hello"), Err(Unusable::NoCertificate));
        assert_eq!(credentials.identify(b"", b""), Err(Unusable::NoCertificate));
        let broken = b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n";
        assert_eq!(credentials.trust(broken), Err(Unusable::Pem));
    }

    #[test]
    fn an_answer_is_told_in_a_few_words() {
        let response = |status, body: &str, location: Option<&str>| Response {
            status,
            body: body.to_owned(),
            location: location.map(ToOwned::to_owned),
        };
        for (response, expected) in [
            (response(500, "", None), "status 500 with an empty body"),
            (
                response(200, "\n<html>\u{1b}[0m\nmore", None),
                "status 200: <html>\\u{1b}[0m",
            ),
            (
                response(401, "secret", None),
                "status 401: it wants credentials, or others than these",
            ),
        ] {
            assert_eq!(response.summary(), expected);
        }
        let long = response(502, &"x".repeat(500), None).summary();
        assert_eq!(long.len(), "status 502: ".len() + SHOWN_OF_A_BODY + 3);
        let login = response(302, "", Some("https://login.example/")).summary();
        assert!(
            login.contains("leads to https://login.example/;"),
            "{login}"
        );
    }
}
