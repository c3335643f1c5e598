//! A private Redis Cluster.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::{free_port, wait_until};
use crate::redis::Redis;

const FORM_LIMIT: Duration = Duration::from_secs(20);

/// How far the port at which nodes speak to each other is from that of their clients.
const BUS: u16 = 10_000;

/// Several redis-servers that share the slots among them, each on a free port of the loopback address.
///
/// A node is given up after a second without answer, and the others serve on what they have.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    /// Ports at which nodes can be started.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn free_ports(count: usize) -> Result<Vec<u16>> {
        let mut ports = Vec::new();
        wait_until("ports for a cluster are free", FORM_LIMIT, || {
            let port = free_port()?;
            let bus = port.checked_add(BUS);
            let both = bus.is_some_and(|bus| TcpListener::bind((Ipv4Addr::LOCALHOST, bus)).is_ok());
            if both && !ports.contains(&port) {
                ports.push(port);
            }
            Ok((ports.len() == count).then_some(()))
        })?;
        Ok(ports)
    }

    /// Starts a cluster with so many primaries.
    ///
    /// # Errors
    /// When redis-server is not installed, or the nodes do not find together.
    pub fn start(primaries: usize) -> Result<Self> {
        Self::start_at(&Self::free_ports(primaries)?)
    }

    /// Starts a cluster with a primary at each of these ports.
    ///
    /// # Errors
    /// When redis-server is not installed, or the nodes do not find together.
    pub fn start_at(ports: &[u16]) -> Result<Self> {
        let nodes: Result<Vec<_>> = ports.iter().map(|port| node(*port)).collect();
        let cluster = Self { nodes: nodes? };
        let addresses: Vec<String> = ports.iter().map(|port| address(*port)).collect();
        manage(
            &[
                &["create".to_owned()],
                &addresses[..],
                &["--cluster-yes".to_owned()],
            ]
            .concat(),
        )?;
        cluster.wait_until_formed()?;
        Ok(cluster)
    }

    /// Starts one node more, as the replica of the primary with this index.
    ///
    /// # Errors
    /// When it does not come up, or does not catch up.
    pub fn add_replica_of(&mut self, primary: usize) -> Result<()> {
        let replica = node(*Self::free_ports(1)?.first().context("a port")?)?;
        let (of, id) = (self.node(primary)?, self.id(primary)?);
        let arguments = [
            "add-node",
            &address(replica.port()),
            &address(of.port()),
            "--cluster-slave",
            "--cluster-master-id",
            &id,
        ];
        manage(&arguments.map(str::to_owned))?;
        wait_until("the replica has caught up", FORM_LIMIT, || {
            let told = replica.run(&["INFO", "replication"])?;
            Ok(told.contains("master_link_status:up").then_some(()))
        })?;
        self.nodes.push(replica);
        self.wait_until_formed()
    }

    fn wait_until_formed(&self) -> Result<()> {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        wait_until("the cluster is formed", FORM_LIMIT, || {
            for node in &self.nodes {
                let told = node.run(&["CLUSTER", "INFO"])?;
                if !told.contains("cluster_state:ok") || !told.contains(&known) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Waits until every node that answers holds all slots to be served.
    ///
    /// # Errors
    /// When that does not come.
    pub fn wait_until_whole(&self) -> Result<()> {
        wait_until("the cluster is whole", FORM_LIMIT, || {
            let told = self
                .nodes
                .iter()
                .filter_map(|node| node.run(&["CLUSTER", "INFO"]).ok());
            let whole = |told: String| {
                told.contains("cluster_state:ok") && told.contains("cluster_slots_ok:16384")
            };
            let all: Vec<bool> = told.map(whole).collect();
            Ok((!all.is_empty() && !all.contains(&false)).then_some(()))
        })
    }

    /// The node with this index: the primaries in the order of their slots, then the replicas.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, index: usize) -> Result<&Redis> {
        self.nodes.get(index).context("no such node")
    }

    /// Every node.
    pub fn nodes(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// The id by which the nodes call the one with this index.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn id(&self, index: usize) -> Result<String> {
        self.node(index)?.run(&["CLUSTER", "MYID"])
    }

    /// Moves the slot of a key from the node that has it to another, a few keys at a time, and calls `between` after each step.
    ///
    /// # Errors
    /// When a node refuses, or `between` fails.
    pub fn move_slot(
        &self,
        key: &str,
        from: usize,
        to: usize,
        mut between: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let (source, target) = (self.node(from)?, self.node(to)?);
        let (source_id, target_id) = (self.id(from)?, self.id(to)?);
        let slot = source.run(&["CLUSTER", "KEYSLOT", key])?;
        target.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id])?;
        source.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id])?;
        between()?;
        let port = target.port().to_string();
        loop {
            let keys = source.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "3"])?;
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            source.run(&[&migrate, &keys[..]].concat())?;
            between()?;
        }
        for node in [target, source] {
            node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id])?;
        }
        Ok(())
    }

    /// The ports of the nodes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Redis::port).collect()
    }

    /// The URL that names every node.
    pub fn url(&self) -> String {
        Self::url_of(&self.ports())
    }

    /// The URL of a cluster with nodes at these ports.
    pub fn url_of(ports: &[u16]) -> String {
        let addresses: Vec<String> = ports.iter().map(|port| address(*port)).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }
}

fn node(port: u16) -> Result<Redis> {
    Redis::start_at(
        port,
        &[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--cluster-require-full-coverage",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ],
    )
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn manage(arguments: &[String]) -> Result<()> {
    let output = Command::new("redis-cli")
        .arg("--cluster")
        .args(arguments)
        .output()
        .context("redis-cli could not be started; `make tools` installs what is missing")?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{arguments:?}: {told}");
    Ok(())
}
