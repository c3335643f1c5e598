//! Making a connection: where the server is now, the way there, encryption, and who logs in.
//!
//! Names are resolved, files are read and Sentinels are asked anew for each connection, so that a server that moved and a secret that was
//! rotated are followed without a restart.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::{Pipeline, RedisError, Value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::link_error::LinkError;
use super::reply::Reply;
use crate::endpoint::{Address, Endpoint, Login, Password, ReadFrom, Tls, Topology};
use crate::model::ErrorCause;

/// How long a new connection may take. Every use has a deadline of its own as well; this bound lets go of an attempt that nobody
/// waits for any more.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one Sentinel may take before the next is asked: two that are gone still leave time for a third.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);
/// How the exporter is called in CLIENT LIST, as the library of its connection.
const LIBRARY: &str = "bullmq-exporter";
/// What Redis before version 6 says to a user and a password.
const TOO_MANY_ARGUMENTS: &str = "wrong number of arguments for 'auth' command";
/// The largest file with a password or a certificate.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects and logs in.
///
/// # Errors
/// When there is no way, or Redis refuses. No message holds a secret.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<Connection, LinkError> {
    timeout(CONNECTION_TIMEOUT, connect_now(endpoint))
        .await
        .unwrap_or_else(|_| {
            let message = format!("{endpoint}: no connection within {CONNECTION_TIMEOUT:?}");
            Err(LinkError::new(ErrorCause::Timeout, message))
        })
}

async fn connect_now(endpoint: &Endpoint) -> Result<Connection, LinkError> {
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
    let replies = connection.send(&pipeline).await?;
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
    mut connection: Connection,
    address: &Address,
    read_from: ReadFrom,
) -> Result<(), LinkError> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("INFO").arg("replication");
    let replies = connection.send(&pipeline).await?;
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
) -> Result<Connection, LinkError> {
    let password = password(&login.password)?;
    let user = login.user.as_deref();
    let connection = Connection::over(stream_to(address, tls).await?);
    log_in(connection, user, password.as_deref(), database).await
}

/// The way to a server.
async fn stream_to(address: &Address, tls: Option<&Tls>) -> Result<Box<dyn Stream>, LinkError> {
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(|error| LinkError::at(address, error))?;
            // Pipelines are written whole; there is nothing to wait for.
            let _ = stream.set_nodelay(true);
            match tls {
                None => Ok(Box::new(stream)),
                Some(tls) => {
                    let name = tls.server_name.as_deref().unwrap_or(host);
                    let name = ServerName::try_from(name.to_owned())
                        .map_err(|error| LinkError::at(name, error))?;
                    let stream = TlsConnector::from(Arc::new(client_config(tls)?))
                        .connect(name, stream)
                        .await
                        .map_err(|error| LinkError::at(format!("{address}: TLS"), error))?;
                    Ok(Box::new(stream))
                }
            }
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| LinkError::at(address, error))?;
            Ok(Box::new(stream))
        }
    }
}

/// Says who asks, and about which database.
async fn log_in(
    mut connection: Connection,
    user: Option<&str>,
    password: Option<&str>,
    database: u32,
) -> Result<Connection, LinkError> {
    if let Some(password) = password {
        let refused = match authenticate(&mut connection, user, password).await? {
            // Redis before version 6 knows no users.
            Some(refused) if user.is_some() && refused.contains(TOO_MANY_ARGUMENTS) => {
                authenticate(&mut connection, None, password).await?
            }
            refused => refused,
        };
        if let Some(refused) = refused {
            return Err(LinkError::new(ErrorCause::Authentication, refused));
        }
    }
    let mut pipeline = Pipeline::new();
    for (attribute, value) in [
        ("LIB-NAME", LIBRARY),
        ("LIB-VER", env!("CARGO_PKG_VERSION")),
    ] {
        pipeline
            .cmd("CLIENT")
            .arg("SETINFO")
            .arg(attribute)
            .arg(value);
    }
    if database != 0 {
        pipeline.cmd("SELECT").arg(database);
    }
    let replies = connection.send(&pipeline).await?;
    // What CLIENT SETINFO answers is no matter: it is for people who look at CLIENT LIST, and Redis has it from 7.2 on.
    if let Some(Value::ServerError(error)) = replies.get(2) {
        let refused = RedisError::from(error.clone());
        let LinkError { cause, message } = LinkError::from(refused);
        let message = format!("the database {database} cannot be used: {message}");
        return Err(LinkError::new(cause, message));
    }
    Ok(connection)
}

/// Logs in, and returns what is refused, if it is. Redis' words name the user, never the password.
async fn authenticate(
    connection: &mut Connection,
    user: Option<&str>,
    password: &str,
) -> Result<Option<String>, LinkError> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("AUTH").arg(user).arg(password);
    let replies = connection.send(&pipeline).await?;
    Ok(match replies.first() {
        Some(Value::ServerError(error)) => Some(error.to_string()),
        _ => None,
    })
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
