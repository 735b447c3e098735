//! Nodes with mDNS, as many as the runner asks for, and whom they find.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use libp2p::mdns::{Config, tokio::Behaviour};
use libp2p::{Multiaddr, PeerId};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::node::{Node, Options, Services};
use crate::request::Request;

const SERVICE: &str = "_p2p._udp"; // the only name that it has

/// All of this process, by number.
#[derive(Default)]
pub struct Nodes {
    nodes: Mutex<BTreeMap<u64, Node>>,
    count: AtomicU64,
}

impl Nodes {
    pub async fn operate(&self, request: &Request) -> Outcome {
        if request.text("op", "") == "mdns_start" {
            return self.start(request).await;
        }
        let number = request.number("node", 0);
        let node = self.nodes.lock().unwrap().get(&number).cloned();
        let node = node.ok_or_else(|| Failure::bad_request(format!("no node {number}")))?;
        match request.text("op", "") {
            "mdns_stop" => {
                self.nodes.lock().unwrap().remove(&number);
                node.leave().await.map(|()| json!({}))
            }
            "mdns_found" => Ok(json!({"found": found(&node)})),
            "mdns_connect" => {
                let peer = request.peer()?;
                let place = node.discovered().into_iter().find(|(each, _)| *each == peer);
                let (_, address) = place.ok_or_else(|| Failure::bad_request(format!("{peer} was not found")))?;
                node.connect(address).await.map(|_| json!({}))
            }
            other => Err(Failure::bad_request(format!("no operation {other}"))),
        }
    }

    async fn start(&self, request: &Request) -> Outcome {
        if !["", SERVICE].contains(&request.text("service", "")) {
            return Err(Failure::bad_request(format!("no service but {SERVICE}")));
        }
        let options = Options::of(request)?;
        let mdns = Behaviour::new(Config::default(), options.key.public().to_peer_id());
        let services = Services { mdns: Some(mdns.map_err(|error| Failure::new("failed", error))?), ..Services::default() };
        let (node, _) = Node::start(options, services, &[]).await?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        let body = json!({"node": number, "peer_id": node.peer_id.to_string(), "addresses": addresses});
        self.nodes.lock().unwrap().insert(number, node);
        Ok(body)
    }
}

fn found(node: &Node) -> Vec<Value> {
    let each = |(peer, address): (PeerId, Multiaddr)| json!({"peer_id": peer.to_string(), "addresses": [address.to_string()]});
    node.discovered().into_iter().map(each).collect()
}
