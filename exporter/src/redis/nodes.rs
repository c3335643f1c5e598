//! Who is asked about which queue: the one server there is, or the nodes of a Redis Cluster, each about the queues in its slots.
//!
//! Every node knows who has which slot, so all that are known are asked, and the first answer counts. They are asked anew with each
//! search for queues, and as soon as a node failed or said that a slot has moved. That word, `MOVED`, is also taken at once: the queue is asked
//! again there. `ASK`, which is said while the keys of a slot are on their way one by one, is not followed: neither node has all of
//! them, and a half of a queue would be told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::Pipeline;
use tokio::time::timeout;

use super::client::{AskError, Connections, Link};
use super::link_error::LinkError;
use super::reply::{Reply, ReplyError};
use super::slots::{SlotMap, slot_of};
use crate::endpoint::{Address, Endpoint, Topology};
use crate::model::{ErrorCause, QueueId};

/// How long the question where the slots are may take: as long as a connection, after which nobody else will answer.
const SLOTS_LIMIT: Duration = Duration::from_secs(5);

/// The nodes of a Redis.
#[derive(Debug)]
pub(crate) struct Nodes {
    kind: Kind,
    connections: Arc<Connections>,
}

#[derive(Debug)]
enum Kind {
    One(Arc<Link>),
    Cluster(Box<Cluster>),
}

#[derive(Debug)]
struct Cluster {
    /// What all nodes have in common.
    endpoint: Endpoint,
    seeds: Vec<Address>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing until a node has told.
    map: Option<SlotMap>,
    /// Whether something happened since that may have changed it.
    stale: bool,
    links: HashMap<Address, Arc<Link>>,
}

/// A node, and the queues that it is asked about.
#[derive(Debug)]
pub(crate) struct Share {
    /// Its number, which it keeps during one scrape.
    pub(crate) node: usize,
    /// The way to it.
    pub(crate) link: Arc<Link>,
    /// The indices of its queues, in rising order.
    pub(crate) queues: Vec<usize>,
}

/// Who is asked about which queue.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// Every node that has slots, whether or not it has queues.
    pub(crate) of_nodes: Vec<Share>,
    /// The indices of the queues that no node can be asked about, and why.
    pub(crate) of_nobody: Vec<(usize, ReplyError)>,
}

impl Nodes {
    /// The nodes of a Redis that has not been asked anything yet.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let connections = Arc::<Connections>::default();
        let kind = if let Topology::Cluster(seeds) = &endpoint.topology {
            Kind::Cluster(Box::new(Cluster {
                seeds: seeds.clone(),
                endpoint,
                state: Mutex::default(),
            }))
        } else {
            let link = Link::counted(endpoint, Arc::clone(&connections));
            Kind::One(Arc::new(link))
        };
        Self { kind, connections }
    }

    /// Whether there may be several, among which queues move.
    pub(crate) const fn are_several(&self) -> bool {
        matches!(self.kind, Kind::Cluster(_))
    }

    /// Learns which node has which slot, if something may have changed or `anyway`.
    ///
    /// # Errors
    /// When no node tells.
    pub(crate) async fn locate(&self, anyway: bool) -> Result<(), LinkError> {
        let Kind::Cluster(cluster) = &self.kind else {
            return Ok(());
        };
        let current = {
            let state = cluster.state();
            state.map.is_some() && !state.stale
        };
        if current && !anyway {
            return Ok(());
        }
        let links = cluster.known(&self.connections);
        let mut asked: FuturesUnordered<_> = links.iter().map(ask_slots).collect();
        let mut problems: Vec<(ErrorCause, String)> = Vec::new();
        let first = async {
            while let Some(answer) = asked.next().await {
                match answer {
                    Ok(map) => return Some(map),
                    Err((address, problem)) => {
                        problems.push((problem.cause(), format!("{address}: {problem}")));
                    }
                }
            }
            None
        };
        match timeout(SLOTS_LIMIT, first).await {
            Ok(Some(map)) => {
                cluster.take(map);
                Ok(())
            }
            Ok(None) => Err(LinkError::of_nodes(&problems)),
            Err(_) => {
                for (_, link) in &links {
                    link.discard();
                }
                Err(LinkError::late(&cluster.endpoint))
            }
        }
    }

    /// Who is asked about those of the queues with these indices.
    pub(crate) fn shares(
        &self,
        queues: &[QueueId],
        chosen: impl IntoIterator<Item = usize>,
    ) -> Shares {
        let cluster = match &self.kind {
            Kind::One(link) => {
                let share = Share {
                    node: 0,
                    link: Arc::clone(link),
                    queues: chosen.into_iter().collect(),
                };
                return Shares {
                    of_nodes: vec![share],
                    of_nobody: Vec::new(),
                };
            }
            Kind::Cluster(cluster) => cluster,
        };
        let mut state = cluster.state();
        let nodes = state
            .map
            .as_ref()
            .map_or_else(Vec::new, |map| map.nodes().to_vec());
        let mut shares = Shares::default();
        for (node, address) in nodes.into_iter().enumerate() {
            shares.of_nodes.push(Share {
                node,
                link: cluster.link(&mut state, address, &self.connections),
                queues: Vec::new(),
            });
        }
        for index in chosen {
            let Some(slot) = queues.get(index).and_then(slot_of) else {
                shares.of_nobody.push((index, ReplyError::Spread));
                continue;
            };
            let owner = state.map.as_ref().and_then(|map| map.owner(slot));
            match owner.and_then(|node| shares.of_nodes.get_mut(node)) {
                Some(share) => share.queues.push(index),
                None => shares.of_nobody.push((index, ReplyError::Homeless)),
            }
        }
        shares
    }

    /// Takes a node's word that a slot has moved: what stood behind `MOVED`.
    pub(crate) fn take_moved(&self, moved: &str, asked: usize) {
        if let Kind::Cluster(cluster) = &self.kind {
            let mut state = cluster.state();
            state.stale = true;
            if let Some(map) = &mut state.map {
                map.take_moved(moved, asked);
            }
        }
    }

    /// Something failed: where the slots are is asked anew before the next use.
    pub(crate) fn doubt(&self) {
        if let Kind::Cluster(cluster) = &self.kind {
            cluster.state().stale = true;
        }
    }

    /// How many connections have been made.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.made()
    }

    /// Waits until more connections have been made than this number.
    pub(crate) async fn connected_after(&self, number: u64) {
        self.connections.more_than(number).await;
    }
}

impl Cluster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to a node.
    fn link(
        &self,
        state: &mut State,
        address: Address,
        connections: &Arc<Connections>,
    ) -> Arc<Link> {
        let made = |address: &Address| {
            let endpoint = Endpoint {
                topology: Topology::Single(address.clone()),
                ..self.endpoint.clone()
            };
            Arc::new(Link::counted(endpoint, Arc::clone(connections)))
        };
        if let Some(link) = state.links.get(&address) {
            return Arc::clone(link);
        }
        let link = made(&address);
        state.links.insert(address, Arc::clone(&link));
        link
    }

    /// The nodes that can be asked where the slots are: the primaries as they were last, and those that are configured.
    fn known(&self, connections: &Arc<Connections>) -> Vec<(Address, Arc<Link>)> {
        let mut state = self.state();
        let last = state
            .map
            .as_ref()
            .map_or_else(Vec::new, |map| map.nodes().to_vec());
        let mut known = Vec::new();
        for address in last.into_iter().chain(self.seeds.iter().cloned()) {
            if !known.iter().any(|(other, _)| *other == address) {
                let link = self.link(&mut state, address.clone(), connections);
                known.push((address, link));
            }
        }
        known
    }

    fn take(&self, map: SlotMap) {
        let mut state = self.state();
        let of_use =
            |address: &Address| map.nodes().contains(address) || self.seeds.contains(address);
        state.links.retain(|address, _| of_use(address));
        state.map = Some(map);
        state.stale = false;
    }
}

/// Asks one node where the slots are.
async fn ask_slots(
    (address, link): &(Address, Arc<Link>),
) -> Result<SlotMap, (&Address, AskError)> {
    let ask = async || {
        let mut connection = link.connection().await?;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("CLUSTER").arg("SLOTS");
        let replies = connection.send(&pipeline).await?;
        let reply = Reply::to("CLUSTER SLOTS", replies.first());
        Ok::<_, AskError>(SlotMap::read(reply, address)?)
    };
    let answer = match ask().await {
        // A connection that was kept may have been cut in the meantime; a new one may serve.
        Err(AskError::Link(_)) => {
            link.discard();
            ask().await
        }
        answer => answer,
    };
    answer.map_err(|problem| (address, problem))
}
