//! Nodes with gossip, as many as the runner asks for, and what it has them do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use futures::future::try_join_all;
use libp2p::PeerId;
use libp2p::gossipsub::{Event, IdentTopic, MessageAcceptance};
use libp2p::swarm::{Stream, SwarmEvent};
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast, watch};

use crate::failure::{Failure, Outcome};
use crate::gossip_behaviour::{self, Behaviour, Counting, VERSIONS};
use crate::node::{self, BehaviourEvent, Node, Options, Services};
use crate::payload::{payload, piece};
use crate::request::Request;
use crate::served::SERVED;

const HEADER: usize = 8;
const LOOK_EVERY: Duration = Duration::from_millis(100); // between two looks at the scores

/// All of this process, by number.
#[derive(Default)]
pub struct GossipNodes {
    nodes: Mutex<Vec<Arc<GossipNode>>>,
}

impl GossipNodes {
    pub async fn operate(&self, request: &Request) -> Outcome {
        match request.text("op", "") {
            "gossip_start" => return self.start(request).await,
            "gossip_wait" => {
                self.wait_for_all(request.text("topic", ""), request.size("count", 0)).await?;
                return Ok(json!({}));
            }
            "gossip_received" => return Ok(self.received(request.text("topic", ""))),
            _ => {}
        }
        let node = self.get(request)?;
        match request.text("op", "") {
            "gossip_publish" => self.publish(&node, request).await,
            _ => node.operate(request).await,
        }
    }

    pub async fn stop(&self) {
        for node in self.all() {
            let _ = node.node.leave().await;
        }
    }

    fn all(&self) -> Vec<Arc<GossipNode>> {
        self.nodes.lock().unwrap().clone()
    }

    fn get(&self, request: &Request) -> Outcome<Arc<GossipNode>> {
        let number = request.size("node", 0);
        self.nodes.lock().unwrap().get(number).cloned().ok_or_else(|| Failure::bad_request(format!("no gossip node {number}")))
    }

    fn having(&self, topic: &str) -> Vec<(usize, Arc<Topic>)> {
        let nodes = self.all().into_iter().enumerate();
        nodes.filter_map(|(number, node)| Some((number, node.known(topic)?))).collect()
    }

    async fn start(&self, request: &Request) -> Outcome {
        let mut started = Vec::new();
        for _ in 0..request.number("count", 1).max(1) {
            let node = GossipNode::start(request).await?;
            let topic = request.text("topic", "");
            if !topic.is_empty() {
                node.subscribe(topic).await?;
            }
            let addresses: Vec<_> = node.node.addresses.iter().map(ToString::to_string).collect();
            let peer_id = node.node.peer_id.to_string();
            let mut nodes = self.nodes.lock().unwrap();
            started.push(json!({"node": nodes.len(), "peer_id": peer_id, "addresses": addresses}));
            nodes.push(node);
        }
        Ok(json!({"nodes": started}))
    }

    /// With `at_once`, never so many ahead of the slowest node here, and until all have all.
    async fn publish(&self, node: &GossipNode, request: &Request) -> Outcome {
        let (name, tag, size) = (request.text("topic", ""), request.number("tag", 0) as u32, request.size("size", HEADER));
        let (first, count, at_once) = (request.size("first", 0), request.size("count", 0), request.size("at_once", 0));
        let topic = node.subscribe(name).await?;
        let begin = Instant::now();
        for number in first..first + count {
            if at_once > 0 {
                self.wait_for_all(name, (number + 1).saturating_sub(at_once)).await?;
            }
            let (data, hash) = (make_message(tag, number as u32, size), IdentTopic::new(name).hash());
            let published = data.clone();
            node.gossip(move |gossip| gossip.publish(hash, published)).await?.map_err(|error| Failure::new("failed", error))?;
            topic.take(&data); // it delivers nothing of its own
        }
        if at_once > 0 {
            self.wait_for_all(name, first + count).await?;
        }
        Ok(json!({"seconds": begin.elapsed().as_secs_f64()}))
    }

    async fn wait_for_all(&self, topic: &str, count: usize) -> Outcome<()> {
        let topics = self.having(topic);
        try_join_all(topics.iter().map(|(_, topic)| topic.wait(count))).await?;
        Ok(())
    }

    fn received(&self, topic: &str) -> Value {
        let states: Vec<_> = self.having(topic).into_iter().map(|(number, topic)| topic.state(number)).collect();
        json!({"nodes": states})
    }
}

/// One node, its topics, and what it was told.
struct GossipNode {
    node: Node,
    spoken: Option<String>, // the one protocol that it speaks, if it is one
    slow: Duration,
    counting: Counting,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    lowest: Mutex<HashMap<PeerId, f64>>,
    said: Mutex<Vec<Stream>>, // is left open
}

impl GossipNode {
    async fn start(request: &Request) -> Outcome<Arc<Self>> {
        let options = Options::of(request)?;
        let counting = Counting::default();
        let gossip = gossip_behaviour::make(request, &options.key, counting.clone())?;
        let (node, _) = Node::start(options, Services { gossip: Some(gossip), ..Services::default() }, &SERVED).await?;
        let heard = node.events();
        let node = Arc::new(Self {
            node,
            spoken: request.texts("protocols").and_then(|names| names.first().cloned()),
            slow: request.seconds("slow", 0.0),
            counting,
            topics: Mutex::default(),
            lowest: Mutex::default(),
            said: Mutex::default(),
        });
        tokio::spawn(node.clone().listen(heard));
        if request.flag("scoring", false) {
            tokio::spawn(node.clone().watch());
        }
        Ok(node)
    }

    async fn operate(&self, request: &Request) -> Outcome {
        let name = request.text("topic", "");
        match request.text("op", "") {
            "gossip_connect" => {
                for address in request.texts("addresses").unwrap_or_default() {
                    self.node.connect(crate::request::parse(&address)?).await?;
                }
                Ok(json!({}))
            }
            "gossip_connected" => Ok(json!({"peers": self.node.peers().await?})),
            "gossip_reset" => Err(Failure::bad_request("gossipsub keeps its streams to itself")),
            "gossip_subscribe" => self.subscribe(name).await.map(|_| json!({})),
            "gossip_unsubscribe" => {
                let topic = IdentTopic::new(name);
                self.gossip(move |gossip| gossip.unsubscribe(&topic)).await?;
                Ok(json!({}))
            }
            "gossip_peers" => self.peers(name).await,
            "gossip_say" => self.say(request).await,
            "gossip_scores" => self.scores().await,
            "gossip_counts" => {
                let bytes = self.counting.bytes.load(std::sync::atomic::Ordering::Relaxed);
                Ok(json!({"bytes": bytes, "ihave": null, "iwant": null, "idontwant": null}))
            }
            other => Err(Failure::bad_request(format!("no operation {other}"))),
        }
    }

    /// What the job returns, which is done with the gossip of the node.
    async fn gossip<T: Send + 'static>(&self, job: impl FnOnce(&mut Behaviour) -> T + Send + 'static) -> Outcome<T> {
        let done = self.node.run(move |swarm| swarm.behaviour_mut().gossip.as_mut().map(job)).await?;
        done.ok_or_else(|| Failure::bad_request("a node without gossip"))
    }

    /// Counts the messages of its topics, once they are validated.
    async fn listen(self: Arc<Self>, mut heard: broadcast::Receiver<Arc<node::Event>>) {
        loop {
            let event = match node::next(&mut heard).await {
                Ok(event) => event,
                Err(failure) => {
                    eprintln!("gossip node {}: {failure:?}", self.node.peer_id); // some are missing then
                    continue;
                }
            };
            if !matches!(&*event, SwarmEvent::Behaviour(BehaviourEvent::Gossip(Event::Message { .. }))) {
                continue;
            }
            if self.slow.is_zero() {
                self.take(&event);
                continue;
            }
            let node = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(node.slow).await;
                node.accept(&event).await;
                node.take(&event);
            });
        }
    }

    fn take(&self, event: &node::Event) {
        if let SwarmEvent::Behaviour(BehaviourEvent::Gossip(Event::Message { message, .. })) = event
            && let Some(topic) = self.known(message.topic.as_str())
        {
            topic.take(&message.data);
        }
    }

    async fn accept(&self, event: &node::Event) {
        if let SwarmEvent::Behaviour(BehaviourEvent::Gossip(Event::Message { propagation_source, message_id, .. })) = event {
            let (id, sender) = (message_id.clone(), *propagation_source);
            let _ =
                self.gossip(move |gossip| gossip.report_message_validation_result(&id, &sender, MessageAcceptance::Accept)).await;
        }
    }

    fn known(&self, topic: &str) -> Option<Arc<Topic>> {
        self.topics.lock().unwrap().get(topic).cloned()
    }

    /// Joins a topic, unless that is done already.
    async fn subscribe(&self, name: &str) -> Outcome<Arc<Topic>> {
        if let Some(topic) = self.known(name) {
            return Ok(topic);
        }
        let topic = self.topics.lock().unwrap().entry(name.to_owned()).or_default().clone();
        let wanted = IdentTopic::new(name);
        self.gossip(move |gossip| gossip.subscribe(&wanted)).await?.map_err(|error| Failure::new("failed", error))?;
        Ok(topic)
    }

    async fn peers(&self, name: &str) -> Outcome {
        let (topic, spoken) = (IdentTopic::new(name).hash(), self.spoken.clone());
        self.gossip(move |gossip| {
            let wanting = gossip.all_peers().filter(|(_, topics)| topics.contains(&&topic));
            let subscribers: Vec<_> = wanting.map(|(peer, _)| peer.to_string()).collect();
            let mesh: Vec<_> = gossip.mesh_peers(&topic).map(ToString::to_string).collect();
            let spoken = |kind: &str| spoken.clone().or_else(|| protocol(kind).map(str::to_owned));
            let kinds = gossip.peer_protocol().map(|(peer, kind)| (peer.to_string(), json!(spoken(kind.as_static_ref()))));
            let protocols: Map<_, _> = kinds.collect();
            json!({"subscribers": subscribers, "mesh": mesh, "protocols": protocols})
        })
        .await
    }

    /// On a stream of its own, past the node's gossip.
    async fn say(&self, request: &Request) -> Outcome {
        let mut stream = self.node.open(request.peer()?, request.text("protocol", "")).await?;
        stream.write_all(&request.bytes("value")?).await?;
        stream.flush().await?;
        self.said.lock().unwrap().push(stream);
        Ok(json!({}))
    }

    async fn watch(self: Arc<Self>) {
        while self.look().await.is_ok() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The scores of those it knows, and of those it has known.
    async fn look(&self) -> Outcome<HashMap<PeerId, f64>> {
        let mut known: HashSet<_> = self.lowest.lock().unwrap().keys().copied().collect();
        let scores: HashMap<_, _> = self
            .gossip(move |gossip| {
                known.extend(gossip.all_peers().map(|(peer, _)| *peer));
                known.into_iter().filter_map(|peer| Some((peer, gossip.peer_score(&peer)?))).collect()
            })
            .await?;
        let mut lowest = self.lowest.lock().unwrap();
        for (peer, score) in &scores {
            let before = lowest.entry(*peer).or_default();
            *before = before.min(*score);
        }
        Ok(scores)
    }

    /// It tells what it thinks of a peer, but not why.
    async fn scores(&self) -> Outcome {
        let scores: Map<_, _> = self.look().await?.into_iter().map(|(peer, score)| (peer.to_string(), json!(score))).collect();
        let grudge = |lowest: &f64| json!({"lowest": lowest, "invalid": null, "behaviour": null});
        let lowest = self.lowest.lock().unwrap();
        let held: Map<_, _> = lowest.iter().map(|(peer, lowest)| (peer.to_string(), grudge(lowest))).collect();
        Ok(json!({"scores": scores, "held": held}))
    }
}

/// The protocol whose name in words that is.
fn protocol(kind: &str) -> Option<&'static str> {
    match kind.strip_prefix("Gossipsub v") {
        Some(version) => VERSIONS.into_iter().find(|name| name.starts_with(&format!("/meshsub/{version}."))),
        None => VERSIONS.into_iter().find(|name| kind == "Floodsub" && name.starts_with("/floodsub/")),
    }
}

/// Tag, number, and the pattern.
fn make_message(tag: u32, number: u32, size: usize) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &number.to_be_bytes(), &payload(0, size.saturating_sub(HEADER))].concat()
}

/// Tag and number of a message, if the rest is the pattern.
fn key_of(data: &[u8]) -> Option<(u32, u32)> {
    let (tag, rest) = data.split_first_chunk::<4>()?;
    let (number, mut rest) = rest.split_first_chunk::<4>()?;
    let mut at = 0;
    while !rest.is_empty() {
        let expected = piece(at, rest.len());
        rest = rest.strip_prefix(expected)?;
        at += expected.len() as u64;
    }
    Some((u32::from_be_bytes(*tag), u32::from_be_bytes(*number)))
}

/// What has come of a topic: how often each message, and how many different ones.
#[derive(Default)]
struct Topic {
    tally: Mutex<Tally>,
    different: watch::Sender<usize>,
}

#[derive(Default)]
struct Tally {
    counts: HashMap<(u32, u32), u64>,
    repeated: u64,
    wrong: u64,
}

impl Topic {
    fn take(&self, data: &[u8]) {
        let mut tally = self.tally.lock().unwrap();
        let Some(key) = key_of(data) else {
            tally.wrong += 1;
            return;
        };
        let count = tally.counts.entry(key).or_default();
        *count += 1;
        tally.repeated += u64::from(*count > 1);
        self.different.send_replace(tally.counts.len());
    }

    async fn wait(&self, count: usize) -> Outcome<()> {
        let waited = self.different.subscribe().wait_for(|have| *have >= count).await.map(|_| ());
        waited.map_err(|error| Failure::new("failed", error))
    }

    fn state(&self, node: usize) -> Value {
        let tally = self.tally.lock().unwrap();
        let mut tags = HashMap::<String, u64>::new();
        for (tag, _) in tally.counts.keys() {
            *tags.entry(tag.to_string()).or_default() += 1;
        }
        json!({"node": node, "messages": tally.counts.len(), "tags": tags, "repeated": tally.repeated, "wrong": tally.wrong})
    }
}
