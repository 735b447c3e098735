//! rust-libp2p as a peer of the interop harness: requests on stdin, answers on stdout, as interop/README.md has them.

mod dht;
mod failure;
mod gossip;
mod gossip_behaviour;
mod held;
mod mdns;
mod node;
mod payload;
mod records;
mod redial;
mod request;
mod served;
mod streams;
mod transfers;
mod wire;

use std::sync::Arc;

use libp2p::swarm::StreamProtocol;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, mpsc};

use failure::{Failure, Outcome};
use gossip::GossipNodes;
use held::Streams;
use node::{KEY_TYPES, MUXER, Node, Options, PEER_KEY_TYPES, SECURITY, Services, TRANSPORTS};
use request::Request;

/// The node of `start`, its streams, the nodes of `idle`, and those with gossip.
#[derive(Default)]
struct Peer {
    node: Mutex<Option<Node>>,
    streams: Arc<Streams>,
    idle: Mutex<Vec<Node>>,
    gossip: GossipNodes,
    dht: dht::Nodes,
    mdns: mdns::Nodes,
}

#[tokio::main]
async fn main() {
    let peer = Arc::new(Peer::default());
    let (say, answers) = mpsc::unbounded_channel();
    let writing = tokio::spawn(write(answers));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request = match serde_json::from_str::<Value>(&line) {
            Ok(Value::Object(fields)) => Request(fields),
            _ => {
                let _ = say.send(with_id(0, Failure::bad_request("not a request").answer()));
                continue;
            }
        };
        let is_last = request.text("op", "") == "stop";
        let (peer, say) = (peer.clone(), say.clone());
        let answering = tokio::spawn(async move {
            let _ = say.send(answer(&peer, &request).await);
        });
        if is_last {
            let _ = answering.await;
            break;
        }
    }
    peer.stop().await;
    drop(say);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), writing).await; // operations may still be under way
    std::process::exit(0);
}

async fn write(mut answers: mpsc::UnboundedReceiver<Value>) {
    let mut output = tokio::io::stdout();
    while let Some(answer) = answers.recv().await {
        let line = format!("{answer}\n");
        if output.write_all(line.as_bytes()).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

fn with_id(id: u64, mut body: Value) -> Value {
    body["id"] = json!(id);
    body
}

async fn answer(peer: &Peer, request: &Request) -> Value {
    let late = || Err(Failure::new("timeout", "not done in time"));
    let outcome = tokio::time::timeout(request.deadline(), peer.operate(request)).await.unwrap_or_else(|_| late());
    let body = match outcome {
        Ok(mut body) => {
            body["ok"] = json!(true);
            body
        }
        Err(failure) => {
            eprintln!("{}: {failure:?}", request.text("op", "?"));
            failure.answer()
        }
    };
    with_id(request.number("id", 0), body)
}

fn describe() -> Value {
    json!({
        "implementation": "rust-libp2p",
        "version": locked_version(),
        "runtime": "tokio",
        "transports": TRANSPORTS,
        "security": SECURITY,
        "muxers": [MUXER],
        "key_types": KEY_TYPES,
        "peer_key_types": PEER_KEY_TYPES,
        "early_muxer": false,
        "reset_codes": false,
        "resets_are_ends": true,
        "no_resets": ["quic-v1"], // who drops a stream ends it there
        "services": ["dht", "gossip", "json", "mdns"],
        "gossip_versions": gossip_behaviour::VERSIONS,
        "gossip_alone": gossip_behaviour::ALONE,
        "gossip_keeps_unsent": false,
        "gossip_resets": false,
        "gossip_notices_resets": false,
        "gossip_exchange": false,
        "gossip_topics_named_once": true,
        "gossip_streams_share": true,
        "dht_dual": false,
        "dht_tells_clients": false,
        "mdns_hosts": false,
        "mdns_loopback": false,
        "mdns_names": false,
        "mdns_needs_additional": true,
    })
}

/// The version of libp2p that this was built with.
fn locked_version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split("name = \"libp2p\"\nversion = \"").nth(1);
    entry.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

impl Peer {
    async fn node(&self) -> Outcome<Node> {
        self.node.lock().await.clone().ok_or_else(|| Failure::bad_request("not started"))
    }

    async fn start(&self, request: &Request) -> Outcome {
        let (node, inbound) = Node::start(Options::of(request)?, Services::default(), &served::SERVED).await?;
        tokio::spawn(served::serve(inbound, self.streams.clone()));
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        let body = json!({"peer_id": node.peer_id.to_string(), "addresses": addresses});
        *self.node.lock().await = Some(node);
        Ok(body)
    }

    async fn stop(&self) {
        self.idle.lock().await.clear();
        self.gossip.stop().await;
        if let Some(node) = self.node.lock().await.take() {
            let _ = node.leave().await;
        }
    }

    async fn open(&self, request: &Request) -> Outcome {
        let peer = request.peer()?;
        let protocol = request.text("protocol", "");
        let stream = self.node().await?.open(peer, protocol).await?;
        Ok(json!({"stream": self.streams.keep(peer, protocol, stream), "protocol": protocol}))
    }

    async fn handle(&self, request: &Request) -> Outcome {
        let protocol = StreamProtocol::try_from_owned(request.text("protocol", "").to_owned()).map_err(Failure::bad_request)?;
        self.node().await?.serve(protocol).await?;
        Ok(json!({}))
    }

    async fn hold_idle(&self, request: &Request) -> Outcome {
        let nodes = transfers::idle(request).await?;
        let count = nodes.len();
        let mut idle = self.idle.lock().await;
        for node in idle.drain(..) {
            node.leave().await?;
        }
        idle.extend(nodes);
        Ok(json!({"count": count}))
    }

    async fn operate(&self, request: &Request) -> Outcome {
        match request.text("op", "") {
            "describe" => Ok(describe()),
            "start" => self.start(request).await,
            "stop" => {
                self.stop().await;
                Ok(json!({}))
            }
            "handle" => self.handle(request).await,
            "accept" => self.streams.accept().await,
            "open" => self.open(request).await,
            "write" | "read" | "write_message" | "read_message" | "progress" | "close_write" | "close" | "reset" => {
                self.streams.operate(request).await
            }
            "idle" => self.hold_idle(request).await,
            "memory" => Ok(json!({"rss": resident()})),
            operation if operation.starts_with("gossip_") => self.gossip.operate(request).await,
            operation if operation.starts_with("dht_") => self.dht.operate(request).await,
            operation if operation.starts_with("mdns_") => self.mdns.operate(request).await,
            _ => self.with_node(request, &self.node().await?).await,
        }
    }

    async fn with_node(&self, request: &Request, node: &Node) -> Outcome {
        match request.text("op", "") {
            "connect" => {
                let begin = std::time::Instant::now();
                let peer = node.connect(request.address()?).await?;
                let seconds = begin.elapsed().as_secs_f64();
                let mut body = node.connection(peer)?;
                body["seconds"] = json!(seconds);
                Ok(body)
            }
            "connection" => node.connection(request.peer()?),
            "disconnect" => node.disconnect(request.peer()?).await.map(|()| json!({})),
            "peers" => Ok(json!({"peers": node.peers().await?})),
            "identify" => node.identify(request.peer()?).await,
            "ping" => transfers::ping(node, request.peer()?, request).await,
            "echo" => transfers::echo(node, request.peer()?, request).await,
            "streams" => transfers::streams(node, request.peer()?, request).await,
            "perf" => transfers::perf(node, request.peer()?, request).await,
            "messages" => transfers::messages(node, request.peer()?, request).await,
            "round_trips" => transfers::round_trips(node, request.peer()?, request).await,
            "requests" => transfers::requests(node, request.peer()?, request).await,
            "ask" => {
                let question = request.0.get("question").cloned().unwrap_or_default();
                Ok(json!({"answer": node.ask(request.peer()?, question).await?}))
            }
            "dials" => transfers::dials(node, request).await,
            other => Err(Failure::bad_request(format!("no operation {other}"))),
        }
    }
}
