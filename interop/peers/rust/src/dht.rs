//! Nodes with a DHT, as many as the runner asks for, and what it has them do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::identity::Keypair;
use libp2p::kad::{self, GetProvidersOk, GetRecordOk, Mode, PutRecordError, QueryId, QueryResult, Quorum, Record, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::failure::{Failure, Outcome};
use crate::node::{Behaviour, BehaviourEvent, Event, Node, Options, Services, next};
use crate::payload::hex;
use crate::records::{self, Store, Validators};
use crate::request::Request;
use crate::wire;

const AMINO: &str = "/ipfs";
const SHA_256: [u8; 2] = [0x12, 32]; // of multihashes: the function, and the length of its digests
const IDENTIFY_PATIENCE: Duration = Duration::from_secs(5);

type Kad = kad::Behaviour<Store>;

/// One node with a DHT.
#[derive(Clone)]
struct DhtNode {
    node: Node,
    key: Keypair,
    validators: Validators,
    k: NonZeroUsize,
    routing: Arc<JoinHandle<()>>,
}

/// All of this process, by number.
#[derive(Default)]
pub struct Nodes {
    nodes: Mutex<BTreeMap<u64, DhtNode>>,
    count: AtomicU64,
}

impl Nodes {
    pub async fn operate(&self, request: &Request) -> Outcome {
        match request.text("op", "") {
            "dht_start" => return self.start(request).await,
            "dht_lookups" => return self.lookups(request.number("count", 0)).await,
            _ => {}
        }
        let number = request.number("node", 0);
        let node = self.nodes.lock().unwrap().get(&number).cloned();
        let node = node.ok_or_else(|| Failure::bad_request(format!("no node {number}")))?;
        match request.text("op", "") {
            "dht_stop" => {
                self.nodes.lock().unwrap().remove(&number);
                node.stop().await
            }
            "dht_connect" => node.node.connect(request.address()?).await.map(|_| json!({})),
            "dht_peers" => Ok(json!({"peers": texts(&node.peers().await?)})),
            "dht_refresh" => node.refresh().await,
            "dht_find_peer" => node.find_peer(request.peer()?).await,
            "dht_closest" => Ok(json!({"peers": texts(&node.closest(request.bytes("key")?).await?)})),
            "dht_record" => node.record(request),
            "dht_put" => node.put(request.bytes("key")?, request.bytes("value")?).await,
            "dht_get" => node.get(request.bytes("key")?).await,
            "dht_provide" => node.provide(content(request)?).await,
            "dht_find_providers" => node.find_providers(content(request)?, request.size("count", 0)).await,
            "dht_advertise" => node.provide(meeting_place(request)).await,
            "dht_discover" => node.find_providers(meeting_place(request), request.size("count", 0)).await,
            other => Err(Failure::bad_request(format!("no operation {other}"))),
        }
    }

    async fn start(&self, request: &Request) -> Outcome {
        let mut started = Vec::new();
        for _ in 0..request.number("count", 1).max(1) {
            let node = DhtNode::start(request).await?;
            let addresses: Vec<_> = node.node.addresses.iter().map(ToString::to_string).collect();
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            started.push(json!({"node": number, "peer_id": node.node.peer_id.to_string(), "addresses": addresses}));
            self.nodes.lock().unwrap().insert(number, node);
        }
        Ok(json!({"nodes": started}))
    }

    /// Looks for the peers nearest to random keys, from all nodes at once, each one lookup after the other.
    async fn lookups(&self, count: u64) -> Outcome {
        let left = Arc::new(AtomicI64::new(count as i64));
        let closer = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        let nodes: Vec<_> = self.nodes.lock().unwrap().values().cloned().collect();
        let looking = nodes.into_iter().map(|node| {
            let (left, closer) = (left.clone(), closer.clone());
            async move {
                while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                    let found = node.closest(PeerId::random().to_bytes()).await?;
                    closer.fetch_add(found.len(), Ordering::Relaxed);
                }
                Ok::<_, Failure>(())
            }
        });
        futures::future::try_join_all(looking).await?;
        let closer = closer.load(Ordering::Relaxed);
        Ok(json!({"count": count, "closer": closer, "seconds": begin.elapsed().as_secs_f64()}))
    }
}

impl DhtNode {
    async fn start(request: &Request) -> Outcome<Self> {
        if request.flag("dual", false) {
            return Err(Failure::bad_request("a node has one DHT"));
        }
        let mode = match request.text("mode", "server") {
            "server" | "" => Mode::Server,
            "client" => Mode::Client,
            other => return Err(Failure::bad_request(format!("no mode {other}"))),
        };
        let mut options = Options::of(request)?;
        let seed = request.bytes("seed")?;
        if !seed.is_empty() {
            options.key = Keypair::ed25519_from_bytes(seed).map_err(Failure::bad_request)?;
        }
        let key = options.key.clone();
        let protocol = format!("{}/kad/1.0.0", Some(request.text("prefix", "")).filter(|it| !it.is_empty()).unwrap_or(AMINO));
        let protocol = StreamProtocol::try_from_owned(protocol).map_err(Failure::bad_request)?;
        let k = NonZeroUsize::new(request.size("k", 0)).unwrap_or(kad::K_VALUE);
        let mut config = kad::Config::new(protocol.clone());
        config.set_replication_factor(k).set_kbucket_size(k);
        let validators = Validators { numbered: request.texts("validators").unwrap_or_default() };
        let peer_id = key.public().to_peer_id();
        let mut behaviour = Kad::with_config(peer_id, Store::new(peer_id, validators.clone()), config);
        behaviour.set_mode(Some(mode));
        let services = Services { kad: Some(behaviour), ..Services::default() };
        let (node, _) = Node::start(options, services, &[]).await?;
        // What a provider record says of its node are addresses that are known to be good, by whatever means the application has.
        let addresses = node.addresses.clone();
        node.run(move |swarm| addresses.into_iter().for_each(|each| swarm.add_external_address(without_peer(each)))).await?;
        let routing = Arc::new(tokio::spawn(route(node.clone(), node.events(), protocol)));
        Ok(Self { node, key, validators, k, routing })
    }

    async fn stop(self) -> Outcome {
        self.routing.abort(); // it has a clone of the node
        self.node.leave().await.map(|()| json!({}))
    }

    async fn peers(&self) -> Outcome<Vec<PeerId>> {
        let in_table = |kad: &mut Kad| {
            kad.kbuckets().flat_map(|bucket| bucket.iter().map(|each| *each.node.key.preimage()).collect::<Vec<_>>()).collect()
        };
        self.node.run(move |swarm| in_table(kad_of(swarm))).await
    }

    /// Begins a query and passes on what comes of it, until it has ended.
    async fn query(
        &self,
        begin: impl FnOnce(&mut Kad) -> Outcome<QueryId> + Send + 'static,
        mut take: impl FnMut(&QueryResult) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut heard = self.node.events();
        let id = self.begin(begin).await?;
        loop {
            let event = next(&mut heard).await?;
            if let Some((result, is_last)) = progress(&event, id) {
                take(result)?;
                if is_last {
                    return Ok(());
                }
            }
        }
    }

    async fn begin(&self, begin: impl FnOnce(&mut Kad) -> Outcome<QueryId> + Send + 'static) -> Outcome<QueryId> {
        let begin = |swarm: &mut Swarm<Behaviour>| {
            let kad = kad_of(swarm);
            if kad.kbuckets().next().is_none() {
                return Err(Failure::new("no_peers", "the routing table is empty"));
            }
            begin(kad)
        };
        self.node.run(begin).await?
    }

    async fn refresh(&self) -> Outcome {
        let begin = |kad: &mut Kad| kad.bootstrap().map_err(|error| Failure::new("no_peers", error));
        self.query(begin, |_| Ok(())).await?;
        Ok(json!({}))
    }

    async fn closest(&self, key: Vec<u8>) -> Outcome<Vec<PeerId>> {
        let (k, mut found) = (self.k, Vec::new());
        let begin = move |kad: &mut Kad| Ok(kad.get_n_closest_peers(key, k));
        let take = |result: &QueryResult| match result {
            QueryResult::GetClosestPeers(Ok(closest)) => {
                found = closest.peers.iter().map(|each| each.peer_id).collect();
                Ok(())
            }
            other => Err(Failure::new("failed", format!("{other:?}"))),
        };
        self.query(begin, take).await?;
        Ok(found)
    }

    /// There is no call for it. A search for the peers nearest to an id asks the one who has it, where somebody knows it; one who
    /// is no server does not answer, and is met all the same.
    async fn find_peer(&self, peer: PeerId) -> Outcome {
        self.closest(peer.to_bytes()).await?;
        match self.listening(peer).await? {
            Some(addresses) => Ok(json!({"addresses": texts(&addresses)})),
            None => Err(Failure::new("not_found", format!("nobody knows {peer}"))),
        }
    }

    /// Where one who is connected listens, by its own word.
    async fn listening(&self, peer: PeerId) -> Outcome<Option<Vec<Multiaddr>>> {
        if !self.node.run(move |swarm| swarm.is_connected(&peer)).await? {
            return Ok(None);
        }
        match tokio::time::timeout(IDENTIFY_PATIENCE, self.node.identify(peer)).await {
            Ok(known) => {
                let listed = known?["listen_addresses"].as_array().cloned().unwrap_or_default();
                Ok(Some(listed.iter().filter_map(|each| each.as_str()?.parse().ok()).collect()))
            }
            Err(_) => Ok(None),
        }
    }

    fn record(&self, request: &Request) -> Outcome {
        let (path, sequence) = (request.text("path", ""), request.number("sequence", 0));
        let (key, value) = records::own(&self.key, request.text("namespace", ""), path, sequence)?;
        Ok(json!({"key": hex(&key), "value": hex(&value)}))
    }

    /// At all of the nearest, as far as they take it: one of them is enough.
    async fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Outcome {
        let begin = |kad: &mut Kad| {
            let refused = |_| Failure::new("failed", "no value that this node keeps itself");
            kad.put_record(Record::new(key, value), Quorum::All).map_err(refused)
        };
        let take = |result: &QueryResult| match result {
            QueryResult::PutRecord(Ok(_)) => Ok(()),
            QueryResult::PutRecord(Err(PutRecordError::QuorumFailed { success, .. })) if !success.is_empty() => Ok(()),
            other => Err(Failure::new("failed", format!("{other:?}"))),
        };
        self.query(begin, take).await?;
        Ok(json!({}))
    }

    /// The best of all that are found, the node's own included: kad leaves the choice to its application.
    async fn get(&self, key: Vec<u8>) -> Outcome {
        let mut best = None;
        let wanted = RecordKey::from(key.clone());
        let take = |result: &QueryResult| {
            if let QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) = result
                && let Some(rank) = self.validators.rank(&key, &found.record.value)
            {
                best = best.take().max(Some((rank, found.record.value.clone())));
            }
            Ok(())
        };
        self.query(|kad| Ok(kad.get_record(wanted)), take).await?;
        let (_, value) = best.ok_or_else(|| Failure::new("not_found", "nobody has a valid value"))?;
        Ok(json!({"value": hex(&value)}))
    }

    async fn provide(&self, key: RecordKey) -> Outcome {
        let begin = |kad: &mut Kad| kad.start_providing(key).map_err(|error| Failure::new("failed", error));
        let take = |result: &QueryResult| match result {
            QueryResult::StartProviding(Err(error)) => Err(Failure::new("failed", error)),
            _ => Ok(()),
        };
        self.query(begin, take).await?;
        Ok(json!({}))
    }

    /// Kad tells who provides, and keeps where they are to itself: they can be dialed as long as the search lasts. So each is
    /// dialed when it is found, and its places are those where it was tried; or by its own word, where it is connected.
    async fn find_providers(&self, key: RecordKey, count: usize) -> Outcome {
        let mut heard = self.node.events();
        let id = self.begin(|kad| Ok(kad.get_providers(key))).await?;
        let mut search = Search::default();
        while !search.is_over() {
            let event = next(&mut heard).await?;
            search.observe(&event);
            let Some((result, is_last)) = progress(&event, id) else { continue };
            if let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) = result {
                for &provider in providers.iter().filter(|&&each| each != self.node.peer_id) {
                    if (count == 0 || search.found.len() < count) && search.found.insert(provider) {
                        search.dialing.extend(self.node.run(move |swarm| dial(swarm, provider)).await?);
                    }
                }
                if count > 0 && search.found.len() >= count {
                    self.node.run(move |swarm| kad_of(swarm).query_mut(&id).iter_mut().for_each(kad::QueryMut::finish)).await?;
                }
            }
            search.is_done |= is_last;
        }
        let mut found = Vec::new();
        for provider in &search.found {
            let tried = search.places.remove(provider).unwrap_or_default();
            let places = self.listening(*provider).await?.unwrap_or(tried);
            found.push(json!({"peer_id": provider.to_string(), "addresses": texts(&places)}));
        }
        Ok(json!({"found": found}))
    }
}

/// A search for providers, and the dials that come of it.
#[derive(Default)]
struct Search {
    is_done: bool,
    found: HashSet<PeerId>,
    dialing: HashSet<ConnectionId>,
    places: HashMap<PeerId, Vec<Multiaddr>>,
}

impl Search {
    fn is_over(&self) -> bool {
        self.is_done && self.dialing.is_empty()
    }

    fn observe(&mut self, event: &Event) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.dialing.remove(connection_id);
                if let ConnectedPoint::Dialer { address, .. } = endpoint {
                    self.places.entry(*peer_id).or_default().push(address.clone());
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error, .. } => {
                self.dialing.remove(connection_id);
                if let (Some(peer), DialError::Transport(tried)) = (peer_id, error) {
                    self.places.entry(*peer).or_default().extend(tried.iter().map(|(address, _)| address.clone()));
                }
            }
            _ => {}
        }
    }
}

/// Dials one where behaviours know it to be; none where it is connected, or nobody knows.
fn dial(swarm: &mut Swarm<Behaviour>, peer: PeerId) -> Option<ConnectionId> {
    let options = DialOpts::peer_id(peer).condition(PeerCondition::Disconnected).build();
    let connection = options.connection_id();
    swarm.dial(options).is_ok().then_some(connection)
}

/// Takes servers into the routing table, at the addresses of identify: kad learns by itself only of those whom it has dialed.
async fn route(node: Node, mut heard: broadcast::Receiver<Arc<Event>>, protocol: StreamProtocol) {
    while let Ok(event) = next(&mut heard).await {
        let SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) = &*event else {
            continue;
        };
        if info.protocols.contains(&protocol) {
            let (peer, addresses) = (*peer_id, info.listen_addrs.clone());
            let add = move |swarm: &mut Swarm<Behaviour>| {
                for address in addresses {
                    kad_of(swarm).add_address(&peer, address);
                }
            };
            if node.run(add).await.is_err() {
                return;
            }
        }
    }
}

fn kad_of(swarm: &mut Swarm<Behaviour>) -> &mut Kad {
    swarm.behaviour_mut().kad.as_mut().expect("every node here has a DHT")
}

/// What an event tells of a query, and whether it is the last.
fn progress(event: &Event, query: QueryId) -> Option<(&QueryResult, bool)> {
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed { id, result, step, .. })) => {
            (*id == query).then_some((result, step.last))
        }
        _ => None,
    }
}

fn without_peer(address: Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

/// Where those meet who advertise a name, as go-libp2p has it: as if they had the text of it.
fn meeting_place(request: &Request) -> RecordKey {
    let digest = Sha256::digest(request.text("namespace", ""));
    RecordKey::from([&SHA_256[..], &digest[..]].concat())
}

/// The multihash of a CID, in version 1 and base32.
fn content(request: &Request) -> Outcome<RecordKey> {
    let text = request.text("cid", "");
    let multihash = || {
        let decoded = base32(text.strip_prefix('b')?)?;
        let mut rest = &decoded[..];
        wire::take_length(&mut rest).filter(|&version| version == 1)?;
        wire::take_length(&mut rest)?; // what kind of content it is
        Some(RecordKey::from(rest.to_vec()))
    };
    multihash().ok_or_else(|| Failure::bad_request(format!("no CID in base32: {text:?}")))
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'a'..=b'z' => letter - b'a',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

fn texts(items: &[impl ToString]) -> Value {
    items.iter().map(ToString::to_string).collect()
}
