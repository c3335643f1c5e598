//! Where a Redis is and how to log in: what the configuration says and a connection needs.
//!
//! Passwords and keys may be named by file. They are then read anew for each connection, so that they can be rotated without a restart.

use std::fmt;
use std::path::PathBuf;

/// A Redis server, or several that are one to their clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is found.
    pub topology: Topology,
    /// How connections are encrypted; nothing if they are not.
    pub tls: Option<Tls>,
    /// How to log in.
    pub login: Login,
    /// The number of the database.
    pub database: u32,
    /// Which server is read, where there are several.
    pub read_from: ReadFrom,
}

/// How a Redis is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// It is one server with an address of its own.
    Single(Address),
    /// Sentinels tell where it is now: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.
    Sentinel {
        /// The Sentinels, asked in this order.
        sentinels: Vec<Address>,
        /// The name under which they watch it.
        master: String,
        /// How to log in to the Sentinels, which have users of their own.
        login: Login,
    },
    /// The nodes of a Redis Cluster share the keys among them, and each of them tells how:
    /// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>. These are some of them, asked first.
    Cluster(Vec<Address>),
}

/// The address of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host, by name or number, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A user and its password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user; nothing means Redis' own `default`.
    pub user: Option<String>,
    /// The password.
    pub password: Password,
}

/// A password, or where it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Password {
    /// None is needed.
    #[default]
    None,
    /// This one.
    Text(String),
    /// The content of a file, without the end of its last line.
    File(PathBuf),
}

/// How a connection is encrypted. Files are in the PEM format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that are trusted; nothing means those of the system.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must have; nothing means that of its host.
    pub server_name: Option<String>,
}

/// Which server is read, where there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The one that takes writes.
    #[default]
    Primary,
    /// One that follows it, and may be a moment behind.
    Replica,
}

impl Endpoint {
    /// One that no test reaches.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self {
            topology: Topology::Single(Address::Unix("/nowhere".into())),
            tls: None,
            login: Login::default(),
            database: 0,
            read_from: ReadFrom::Primary,
        }
    }

    /// Whether a server of this role, `primary` or `replica`, may be read. One server is read whatever it is; among several the role
    /// says which.
    pub fn may_read(&self, role: &str) -> bool {
        match (&self.topology, self.read_from) {
            // A node of a cluster that is no primary any more refuses what is asked of its queues, and says which one is.
            (Topology::Single(_) | Topology::Cluster(_), _) => true,
            (Topology::Sentinel { .. }, ReadFrom::Primary) => role == "primary",
            (Topology::Sentinel { .. }, ReadFrom::Replica) => role == "replica",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.topology {
            Topology::Single(address) => write!(f, "{address}")?,
            Topology::Sentinel {
                sentinels, master, ..
            } => {
                write!(f, "{master} by the Sentinels {}", joined(sentinels))?;
            }
            Topology::Cluster(nodes) => write!(f, "the cluster of {}", joined(nodes))?,
        }
        write!(f, "/{}", self.database)
    }
}

fn joined(addresses: &[Address]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(",")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => f.write_str("Text(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
