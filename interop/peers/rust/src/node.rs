//! One node: a swarm with a task of its own, to which everybody else gives jobs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, StreamExt};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport, upgrade::Version};
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, Message, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, Stream, StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, kad, mdns, noise, ping, quic, swarm, tcp, tls, yamux};
use libp2p_websocket as websocket;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::failure::{Failure, Outcome};
use crate::gossip_behaviour;
use crate::records::Store;
use crate::redial::Redialing;
use crate::request::Request;
use crate::streams::{self, Inbound};

pub const TRANSPORTS: [&str; 3] = ["tcp", "ws", "quic-v1"];
pub const SECURITY: [&str; 2] = ["noise", "tls"];
pub const ASK: StreamProtocol = StreamProtocol::new("/interop/json/1.0.0");
pub const MUXER: &str = "/yamux/1.0.0";
pub const KEY_TYPES: [&str; 3] = ["ed25519", "secp256k1", "ecdsa"]; // it makes no RSA keys, but knows peers that have them
pub const PEER_KEY_TYPES: [&str; 4] = ["ed25519", "secp256k1", "ecdsa", "rsa"];

const MANY_STREAMS: usize = 4096; // yamux wants a window of 256 KiB each to be had of the connection's GiB
const FOR_GOOD: Duration = Duration::from_secs(24 * 3600);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
const EVENTS: usize = 1 << 16; // for who waits for one of them, and is as fast as they come

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub streams: streams::Behaviour,
    pub identify: identify::Behaviour,
    pub ping: ping::Behaviour,
    pub requests: request_response::json::Behaviour<Value, Value>,
    pub gossip: Toggle<gossip_behaviour::Behaviour>,
    pub kad: Toggle<kad::Behaviour<Store>>,
    pub mdns: Toggle<mdns::tokio::Behaviour>,
}

/// What a node has besides streams, identify and ping.
#[derive(Default)]
pub struct Services {
    pub gossip: Option<gossip_behaviour::Behaviour>,
    pub kad: Option<kad::Behaviour<Store>>,
    pub mdns: Option<mdns::tokio::Behaviour>,
}

pub type Event = SwarmEvent<BehaviourEvent>;
type Job = Box<dyn FnOnce(&mut Swarm<Behaviour>) + Send>;

/// What the swarm has told of its peers.
#[derive(Default)]
struct Seen {
    connections: HashMap<PeerId, ConnectedPoint>, // the first of each
    identified: HashMap<PeerId, identify::Info>,
    discovered: Vec<(PeerId, Multiaddr)>, // by mDNS, and not expired
}

/// The configuration of a node, but for its services.
#[derive(Clone)]
pub struct Options {
    pub key: Keypair,
    pub listen: Vec<Multiaddr>,
    pub security: String,
    pub lifted: bool,
}

impl Options {
    /// The fields of `start`. Of secure channels and muxers it can be told one each: a list is for who chooses.
    pub fn of(request: &Request) -> Outcome<Self> {
        let listen = request.texts("listen").unwrap_or_default();
        Ok(Self {
            key: make_key(request.text("key_type", "ed25519"))?,
            listen: listen.iter().map(|each| crate::request::parse(each)).collect::<Outcome<_>>()?,
            security: only(request, "security", &SECURITY)?,
            lifted: only(request, "muxers", &[MUXER]).map(|_| request.text("limits", "none") != "default")?,
        })
    }
}

fn only(request: &Request, name: &str, known: &[&str]) -> Outcome<String> {
    let named = request.texts(name).unwrap_or_else(|| vec![known[0].to_owned()]);
    match named.as_slice() {
        [one] if known.contains(&one.as_str()) => Ok(one.clone()),
        _ => Err(Failure::bad_request(format!("{name} has to be one of {known:?}, not {named:?}"))),
    }
}

fn make_key(kind: &str) -> Outcome<Keypair> {
    match kind {
        "ed25519" => Ok(Keypair::generate_ed25519()),
        "secp256k1" => Ok(Keypair::generate_secp256k1()),
        "ecdsa" => Ok(Keypair::generate_ecdsa()),
        _ => Err(Failure::bad_request(format!("no key type {kind}"))),
    }
}

/// A running node; the last clone of it that is dropped ends it.
#[derive(Clone)]
pub struct Node {
    pub peer_id: PeerId,
    pub addresses: Vec<Multiaddr>, // each ends in /p2p/…
    pub security: String,
    jobs: mpsc::UnboundedSender<Job>,
    seen: Arc<Mutex<Seen>>,
    events: broadcast::Sender<Arc<Event>>,
}

impl Node {
    /// Begins to listen; returns when all addresses are known. Inbound streams of `protocols` come out of the receiver.
    pub async fn start(
        options: Options,
        services: Services,
        protocols: &[&'static str],
    ) -> Outcome<(Self, mpsc::UnboundedReceiver<Inbound>)> {
        let (streams, inbound) = streams::Behaviour::new(protocols);
        let peer_id = options.key.public().to_peer_id();
        let identify = identify::Config::new_with_signed_peer_record("interop/1.0.0".to_owned(), &options.key)
            .with_push_listen_addr_updates(true);
        let behaviour = Behaviour {
            streams,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
            requests: request_response::json::Behaviour::new([(ASK, ProtocolSupport::Full)], request_response::Config::default()),
            gossip: services.gossip.into(),
            kad: services.kad.into(),
            mdns: services.mdns.into(),
        };
        let mut config = swarm::Config::with_tokio_executor();
        if options.lifted {
            config = config.with_idle_connection_timeout(FOR_GOOD).with_max_negotiating_inbound_streams(MANY_STREAMS);
        }
        let mut swarm = Swarm::new(transport(&options)?, behaviour, peer_id, config);
        for address in &options.listen {
            swarm.listen_on(address.clone()).map_err(|error| Failure::new("failed", error))?;
        }
        let (jobs, job) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENTS);
        let mut node =
            Self { peer_id, addresses: vec![], security: options.security, jobs, seen: Arc::default(), events: events.clone() };
        let mut heard = node.events.subscribe();
        tokio::spawn(run(swarm, job, node.seen.clone(), events));
        while node.addresses.len() < options.listen.len() {
            match &*next(&mut heard).await? {
                SwarmEvent::NewListenAddr { address, .. } => {
                    node.addresses.push(address.clone().with_p2p(peer_id).unwrap_or_else(|address| address));
                }
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(Failure::new("failed", error)),
                _ => {}
            }
        }
        Ok((node, inbound))
    }

    /// What the job returns, which is done in the swarm's task.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut Swarm<Behaviour>) -> T + Send + 'static) -> Outcome<T> {
        let (reply, answer) = oneshot::channel();
        let done = Box::new(move |swarm: &mut Swarm<Behaviour>| drop(reply.send(job(swarm))));
        self.jobs.send(done).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    /// All that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    pub async fn connect(&self, address: Multiaddr) -> Outcome<PeerId> {
        let Some(Protocol::P2p(peer)) = address.iter().last() else {
            return Err(Failure::bad_request(format!("{address} does not say who is there")));
        };
        let mut heard = self.events();
        let options = DialOpts::peer_id(peer).addresses(vec![address]).condition(PeerCondition::Disconnected).build();
        let dialed = options.connection_id();
        let is_new = self
            .run(move |swarm| match swarm.is_connected(&peer) {
                true => Ok(false),
                false => swarm.dial(options).map(|()| true),
            })
            .await?
            .map_err(|error| Failure::from(&error))?;
        while is_new {
            match &*next(&mut heard).await? {
                SwarmEvent::ConnectionEstablished { connection_id, .. } if *connection_id == dialed => break,
                SwarmEvent::OutgoingConnectionError { connection_id, error, .. } if *connection_id == dialed => {
                    return Err(Failure::from(error));
                }
                _ => {}
            }
        }
        Ok(peer)
    }

    /// Closes every connection to the peer, and returns when they are closed.
    pub async fn disconnect(&self, peer: PeerId) -> Outcome<()> {
        let mut heard = self.events();
        let mut is_there = self.run(move |swarm| swarm.disconnect_peer_id(peer).is_ok()).await?;
        while is_there {
            if let SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } = &*next(&mut heard).await? {
                is_there = *peer_id != peer;
            }
        }
        Ok(())
    }

    /// Says goodbye to everybody: a swarm that is only dropped tells nobody.
    pub async fn leave(&self) -> Outcome<()> {
        for peer in self.run(|swarm| swarm.connected_peers().copied().collect::<Vec<_>>()).await? {
            self.disconnect(peer).await?;
        }
        Ok(())
    }

    /// Whom mDNS has found, and where.
    pub fn discovered(&self) -> Vec<(PeerId, Multiaddr)> {
        self.seen.lock().unwrap().discovered.clone()
    }

    pub async fn peers(&self) -> Outcome<Vec<String>> {
        self.run(|swarm| swarm.connected_peers().map(PeerId::to_string).collect()).await
    }

    pub fn connection(&self, peer: PeerId) -> Outcome {
        let seen = self.seen.lock().unwrap();
        let point = seen.connections.get(&peer).ok_or_else(|| Failure::new("connection_closed", "not connected"))?;
        let is_on = |wanted: fn(&Protocol<'_>) -> bool| point.get_remote_address().iter().any(|part| wanted(&part));
        let is_quic = is_on(|part| matches!(part, Protocol::QuicV1));
        let transport = match () {
            () if is_quic => "quic-v1",
            () if is_on(|part| matches!(part, Protocol::Ws(_))) => "ws",
            () => "tcp",
        };
        Ok(json!({
            "peer_id": peer.to_string(),
            "direction": if matches!(point.to_endpoint(), Endpoint::Dialer) { "outbound" } else { "inbound" },
            "transport": transport,
            "security": if is_quic { "" } else { self.security_id() },
            "muxer": if is_quic { "" } else { MUXER },
            "early_muxer": false,
        }))
    }

    fn security_id(&self) -> &'static str {
        if self.security == "tls" { "/tls/1.0.0" } else { "/noise" }
    }

    pub async fn identify(&self, peer: PeerId) -> Outcome {
        let mut heard = self.events();
        loop {
            if let Some(info) = self.seen.lock().unwrap().identified.get(&peer) {
                return Ok(describe(info));
            }
            next(&mut heard).await?;
        }
    }

    pub async fn open(&self, peer: PeerId, protocol: &str) -> Outcome<Stream> {
        let protocol = StreamProtocol::try_from_owned(protocol.to_owned()).map_err(Failure::bad_request)?;
        let (reply, opened) = oneshot::channel();
        self.run(move |swarm| swarm.behaviour_mut().streams.open(peer, protocol, reply)).await?;
        opened.await.map_err(|_| Failure::new("connection_closed", "the connection is gone"))?
    }

    /// What the peer answers, by rust's own codec of requests in JSON.
    pub async fn ask(&self, peer: PeerId, question: Value) -> Outcome<Value> {
        use request_response::Event as Came;
        let mut heard = self.events();
        let asked = self.run(move |swarm| swarm.behaviour_mut().requests.send_request(&peer, question)).await?;
        loop {
            match &*next(&mut heard).await? {
                SwarmEvent::Behaviour(BehaviourEvent::Requests(Came::Message {
                    message: Message::Response { request_id, response },
                    ..
                })) if *request_id == asked => return Ok(response.clone()),
                SwarmEvent::Behaviour(BehaviourEvent::Requests(Came::OutboundFailure { request_id, error, .. }))
                    if *request_id == asked =>
                {
                    return Err(Failure::new("failed", error));
                }
                _ => {}
            }
        }
    }

    pub async fn serve(&self, protocol: StreamProtocol) -> Outcome<()> {
        self.run(move |swarm| swarm.behaviour_mut().streams.serve(protocol)).await
    }
}

fn stopped() -> Failure {
    Failure::new("failed", "the node has stopped")
}

/// What happens next. One that is too slow for all that happens has missed something, and says so.
pub async fn next(heard: &mut broadcast::Receiver<Arc<Event>>) -> Outcome<Arc<Event>> {
    heard.recv().await.map_err(|error| Failure::new("failed", error))
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    seen: Arc<Mutex<Seen>>,
    events: broadcast::Sender<Arc<Event>>,
) {
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => job(&mut swarm),
                None => return,
            },
            event = swarm.select_next_some() => {
                if let Some(event) = answered(&mut swarm, event) {
                    observe(&mut seen.lock().unwrap(), &event);
                    let _ = events.send(Arc::new(event)); // there need not be anybody who waits
                }
            }
        }
    }
}

/// Requests get their answer here: it goes with the event, which then is none of anybody's.
fn answered(swarm: &mut Swarm<Behaviour>, event: Event) -> Option<Event> {
    use request_response::Event::Message as Came;
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Requests(Came { message: Message::Request { request, channel, .. }, .. })) => {
            let _ = swarm.behaviour_mut().requests.send_response(channel, json!({"answer to": request})); // who asked may be gone
            None
        }
        event => Some(event),
    }
}

fn observe(seen: &mut Seen, event: &Event) {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
            seen.connections.entry(*peer_id).or_insert_with(|| endpoint.clone());
        }
        SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
            seen.connections.remove(peer_id);
            seen.identified.remove(peer_id);
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
            seen.identified.insert(*peer_id, info.clone());
        }
        SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(new))) => seen.discovered.extend(new.iter().cloned()),
        SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Expired(old))) => {
            seen.discovered.retain(|each| !old.contains(each));
        }
        _ => {}
    }
}

fn describe(info: &identify::Info) -> Value {
    let texts = |addresses: &[Multiaddr]| addresses.iter().map(Multiaddr::to_string).collect::<Vec<_>>();
    json!({
        "agent_version": info.agent_version,
        "protocol_version": info.protocol_version,
        "protocols": info.protocols.iter().map(StreamProtocol::to_string).collect::<Vec<_>>(),
        "listen_addresses": texts(&info.listen_addrs),
        "observed_address": info.observed_addr.to_string(),
        "key_type": info.public_key.key_type().to_string().to_lowercase(),
        "signed_record": info.signed_peer_record.is_some().then_some(true), // of the specification's domain it takes none
    })
}

/// TCP, WebSocket and QUIC; the first two with the one secure channel that was asked for, and yamux.
fn transport(options: &Options) -> Outcome<Boxed<(PeerId, StreamMuxerBox)>> {
    let tcp = || Redialing::new(tcp::Config::new().nodelay(true));
    let socket = websocket::Config::new(tcp()).or_transport(tcp());
    let quic = quic::tokio::Transport::new(quic::Config::new(&options.key));
    Ok(secured(socket, options)?
        .or_transport(quic.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))))
        .map(|either, _| either.into_inner())
        .boxed())
}

fn secured<T>(transport: T, options: &Options) -> Outcome<Boxed<(PeerId, StreamMuxerBox)>>
where
    T: Transport<Output: AsyncRead + AsyncWrite + Send + Unpin + 'static, Error: Send + Sync, Dial: Send, ListenerUpgrade: Send>
        + Send
        + Unpin
        + 'static,
{
    let mut muxer = yamux::Config::default();
    if options.lifted {
        muxer.set_max_num_streams(MANY_STREAMS);
    }
    let upgraded = transport.upgrade(Version::V1Lazy);
    let failed = |error: &dyn std::fmt::Display| Failure::new("failed", error);
    Ok(match options.security.as_str() {
        "tls" => {
            let channel = tls::Config::new(&options.key).map_err(|error| failed(&error))?;
            upgraded.authenticate(channel).multiplex(muxer).timeout(HANDSHAKE_TIMEOUT).boxed()
        }
        _ => {
            let channel = noise::Config::new(&options.key).map_err(|error| failed(&error))?;
            upgraded.authenticate(channel).multiplex(muxer).timeout(HANDSHAKE_TIMEOUT).boxed()
        }
    })
}
