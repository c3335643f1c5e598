//! Making a connection: where the server is now, the way there, encryption, and who logs in.
//!
//! Names are resolved, files are read and Sentinels are asked anew for each connection, so that a server that moved and a secret that was
//! rotated are followed without a restart.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, ServerErrorKind,
    Value,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::reply::Reply;
use crate::endpoint::{Address, Endpoint, Login, Password, ReadFrom, Tls, Topology};
use crate::model::ErrorCause;

/// How long a new connection may take. Every use has a deadline of its own as well; this bound lets go of an attempt that nobody
/// waits for any more.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one Sentinel may take before the next is asked: two that are gone still leave time for a third.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest file with a password or a certificate.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why Redis could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct LinkError {
    /// The value of the `cause` label.
    pub(crate) cause: ErrorCause,
    message: String,
}

impl LinkError {
    fn new(cause: ErrorCause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }

    /// The server has become something else than what is to be read, as the old primary does in a failover.
    pub(crate) fn of_role(role: &str) -> Self {
        Self::new(
            ErrorCause::Server,
            format!("the server is a {role} now; the Sentinels are asked again"),
        )
    }

    /// There was no answer in time.
    pub(crate) fn late(what: impl Display) -> Self {
        Self::new(ErrorCause::Timeout, format!("{what}: no answer in time"))
    }

    /// No node of a cluster could be asked where the slots are; of the reasons, the first says of which kind.
    pub(super) fn of_nodes(problems: &[(ErrorCause, String)]) -> Self {
        let cause = problems.first().map_or(ErrorCause::Connection, |it| it.0);
        let told: Vec<&str> = problems.iter().map(|(_, told)| told.as_str()).collect();
        let told = told.join("; ");
        Self::new(
            cause,
            format!("no node tells where the slots of the cluster are: {told}"),
        )
    }

    /// An error at something that has a name: an address, or a file.
    fn at(what: impl Display, error: impl Display) -> Self {
        Self::new(ErrorCause::Connection, format!("{what}: {error}"))
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        let kind = error.kind();
        let cause = if kind == ErrorKind::AuthenticationFailed {
            ErrorCause::Authentication
        } else if kind == ErrorKind::Server(ServerErrorKind::NoPerm) {
            ErrorCause::Denied
        } else if matches!(kind, ErrorKind::Server(_) | ErrorKind::Extension) {
            ErrorCause::Server
        } else if matches!(kind, ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
            ErrorCause::Protocol
        } else if error.is_timeout() {
            ErrorCause::Timeout
        } else {
            ErrorCause::Connection
        };
        Self::new(cause, error.to_string())
    }
}

/// Connects and logs in.
///
/// # Errors
/// When there is no way, or Redis refuses. No message holds a secret.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<MultiplexedConnection, LinkError> {
    timeout(CONNECTION_TIMEOUT, connect_now(endpoint))
        .await
        .unwrap_or_else(|_| {
            let message = format!("{endpoint}: no connection within {CONNECTION_TIMEOUT:?}");
            Err(LinkError::new(ErrorCause::Timeout, message))
        })
}

async fn connect_now(endpoint: &Endpoint) -> Result<MultiplexedConnection, LinkError> {
    let tls = endpoint.tls.as_ref();
    match &endpoint.topology {
        Topology::Single(address) => open(address, tls, &endpoint.login, endpoint.database).await,
        Topology::Sentinel {
            sentinels,
            master,
            login,
        } => {
            let mut problems = Vec::new();
            for sentinel in sentinels {
                let asked = ask_sentinel(sentinel, tls, login, master, endpoint.read_from);
                match timeout(SENTINEL_TIMEOUT, asked).await {
                    Ok(Ok(address)) => {
                        let made = open(&address, tls, &endpoint.login, endpoint.database).await?;
                        check_role(made.clone(), &address, endpoint.read_from).await?;
                        return Ok(made);
                    }
                    Ok(Err(problem)) => problems.push(problem.message),
                    Err(_) => problems.push(format!("{sentinel}: no answer")),
                }
            }
            let told = problems.join("; ");
            let message = format!("no Sentinel tells where {master} is: {told}");
            Err(LinkError::new(ErrorCause::Connection, message))
        }
        Topology::Cluster(_) => Err(LinkError::at(
            endpoint,
            "its nodes are connected to one by one",
        )),
    }
}

/// Asks a Sentinel where the server is that is to be read.
async fn ask_sentinel(
    sentinel: &Address,
    tls: Option<&Tls>,
    login: &Login,
    master: &str,
    read_from: ReadFrom,
) -> Result<Address, LinkError> {
    let mut connection = open(sentinel, tls, login, 0).await?;
    let mut pipeline = Pipeline::new();
    let command = match read_from {
        ReadFrom::Primary => "GET-MASTER-ADDR-BY-NAME",
        ReadFrom::Replica => "REPLICAS",
    };
    pipeline.cmd("SENTINEL").arg(command).arg(master);
    let replies = connection.send_packed_commands(&pipeline, 0, 1).await?;
    let reply = replies.first();
    let found = match read_from {
        ReadFrom::Primary if matches!(reply, Some(Value::Nil)) => None,
        ReadFrom::Primary => {
            let texts = Reply::to("SENTINEL", reply)
                .texts()
                .map_err(|error| LinkError::at(sentinel, error))?;
            match texts.as_slice() {
                [Some(host), Some(port)] => tcp(host, port),
                _ => None,
            }
        }
        ReadFrom::Replica => match reply {
            Some(Value::Array(replicas)) => replicas.iter().find_map(healthy_replica),
            _ => None,
        },
    };
    let none = match read_from {
        ReadFrom::Primary => "it does not know the master of this name",
        ReadFrom::Replica => "it knows no replica that is up",
    };
    found.ok_or_else(|| LinkError::at(sentinel, none))
}

fn tcp(host: &[u8], port: &[u8]) -> Option<Address> {
    let host = String::from_utf8(host.to_vec()).ok()?;
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some(Address::Tcp { host, port })
}

/// The address of a replica that a Sentinel holds for up and connected to its primary.
fn healthy_replica(replica: &Value) -> Option<Address> {
    let fields = Reply::to("SENTINEL", Some(replica)).texts().ok()?;
    let field = |name: &str| {
        let pairs = fields.chunks_exact(2);
        let found = pairs.filter(|pair| pair.first() == Some(&Some(name.as_bytes())));
        found.map(|pair| pair.last().copied().flatten()).next()?
    };
    let flags = String::from_utf8_lossy(field("flags")?).into_owned();
    let down = ["s_down", "o_down", "disconnected"];
    let up = !flags.split(',').any(|flag| down.contains(&flag));
    let linked = field("master-link-status") == Some(b"ok".as_slice());
    if up && linked {
        tcp(field("ip")?, field("port")?)
    } else {
        None
    }
}

/// Refuses a server that is not what the Sentinel said: during a failover the old primary is named for a moment longer.
async fn check_role(
    mut connection: MultiplexedConnection,
    address: &Address,
    read_from: ReadFrom,
) -> Result<(), LinkError> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("INFO").arg("replication");
    let replies = connection.send_packed_commands(&pipeline, 0, 1).await?;
    let info = Reply::to("INFO", replies.first())
        .text()
        .map_err(|error| LinkError::at(address, error))?
        .unwrap_or_default();
    let expected = match read_from {
        ReadFrom::Primary => "role:master",
        ReadFrom::Replica => "role:slave",
    };
    let is_it = String::from_utf8_lossy(info)
        .lines()
        .any(|line| line.trim() == expected);
    if is_it {
        Ok(())
    } else {
        let message =
            format!("{address}: the Sentinel names it, and it is not what it should be yet");
        Err(LinkError::new(ErrorCause::Server, message))
    }
}

/// A connection to one server, logged in.
async fn open(
    address: &Address,
    tls: Option<&Tls>,
    login: &Login,
    database: u32,
) -> Result<MultiplexedConnection, LinkError> {
    let mut info = RedisConnectionInfo::default().set_db(i64::from(database));
    if let Some(user) = &login.user {
        info = info.set_username(user);
    }
    if let Some(password) = password(&login.password)? {
        info = info.set_password(password);
    }
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(|error| LinkError::at(address, error))?;
            // Pipelines are written whole; there is nothing to wait for.
            let _ = stream.set_nodelay(true);
            match tls {
                None => log_in(&info, stream).await,
                Some(tls) => {
                    let name = tls.server_name.as_deref().unwrap_or(host);
                    let name = ServerName::try_from(name.to_owned())
                        .map_err(|error| LinkError::at(name, error))?;
                    let stream = TlsConnector::from(Arc::new(client_config(tls)?))
                        .connect(name, stream)
                        .await
                        .map_err(|error| LinkError::at(format!("{address}: TLS"), error))?;
                    log_in(&info, stream).await
                }
            }
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| LinkError::at(address, error))?;
            log_in(&info, stream).await
        }
    }
}

pub(super) async fn log_in(
    info: &RedisConnectionInfo,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<MultiplexedConnection, LinkError> {
    // Each use sets its own deadline; the library's default of half a second would cut large batches short.
    let settings = AsyncConnectionConfig::new().set_response_timeout(None);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(info, stream, settings).await?;
    tokio::spawn(driver);
    Ok(connection)
}

fn password(password: &Password) -> Result<Option<String>, LinkError> {
    match password {
        Password::None => Ok(None),
        Password::Text(text) => Ok(Some(text.clone())),
        Password::File(path) => {
            let text = String::from_utf8(read(path)?)
                .map_err(|error| LinkError::at(path.display(), error.utf8_error()))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LinkError> {
    let bytes = std::fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE_BYTES), &mut bytes)?;
        Ok(bytes)
    });
    bytes.map_err(|error| LinkError::at(path.display(), error))
}

fn client_config(tls: &Tls) -> Result<ClientConfig, LinkError> {
    let roots = match &tls.ca_file {
        None => system_roots()?,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots
                    .add(authority)
                    .map_err(|error| LinkError::at(path.display(), error))?;
            }
            Arc::new(roots)
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| LinkError::at("TLS", error))?
        .with_root_certificates(roots);
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let private = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| LinkError::at(key.display(), error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|error| LinkError::at(certificate.display(), error))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let all = all.map_err(|error| LinkError::at(path.display(), error))?;
    if all.is_empty() {
        return Err(LinkError::at(
            path.display(),
            "there is no certificate in it",
        ));
    }
    Ok(all)
}

/// The authorities that the system trusts, read once: there are more than a hundred of them.
fn system_roots() -> Result<Arc<RootCertStore>, LinkError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let message = "the system has no authorities to trust; install ca-certificates, or name a ca_file in a --config.file";
        return Err(LinkError::new(ErrorCause::Connection, message));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}
