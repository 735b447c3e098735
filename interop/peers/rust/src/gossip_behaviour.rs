//! rust-libp2p's gossip, made the way the runner wants it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libp2p::gossipsub::{
    self, ConfigBuilder, DataTransform, IdentTopic, IdentityTransform, Message, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, RawMessage, TopicHash, TopicScoreParams, ValidationMode, Version,
};
use libp2p::identity::Keypair;
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Outcome};
use crate::request::Request;

const FLOODSUB: &str = "/floodsub/1.0.0";
/// Those that it can be told to speak alone; floodsub it speaks only beside them.
pub const ALONE: [&str; 4] = ["/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0"];
pub const VERSIONS: [&str; 5] = [ALONE[0], ALONE[1], ALONE[2], ALONE[3], FLOODSUB];

const SCORED_TOPIC: &str = "scored";
const ID_SIZE: usize = 20;
const LARGEST_RPC: usize = (1 << 20) + 65_536; // it holds what has come of the next RPC against the limit, too
const PATIENCE: Duration = Duration::from_secs(60); // for messages that wait for their stream; by itself 1 s
const SECOND: Duration = Duration::from_secs(1);
const EXCHANGED: usize = 16; // peers that are named to one that is pruned

pub type Behaviour = gossipsub::Behaviour<Counting>;

/// Counts the data of all messages that come, again or not: of RPCs it is told nothing.
#[derive(Clone, Default)]
pub struct Counting {
    pub bytes: Arc<AtomicU64>,
}

impl DataTransform for Counting {
    fn inbound_transform(&self, message: RawMessage) -> std::io::Result<Message> {
        self.bytes.fetch_add(message.data.len() as u64, Ordering::Relaxed);
        IdentityTransform.inbound_transform(message)
    }

    fn outbound_transform(&self, topic: &TopicHash, data: Vec<u8>) -> std::io::Result<Vec<u8>> {
        IdentityTransform.outbound_transform(topic, data)
    }
}

/// What `gossip_start` says of gossip.
pub fn make(request: &Request, key: &Keypair, counting: Counting) -> Outcome<Behaviour> {
    let mut config = ConfigBuilder::default();
    config
        .max_transmit_size(LARGEST_RPC)
        .flood_publish(false)
        .heartbeat_initial_delay(Duration::ZERO)
        .publish_queue_duration(PATIENCE)
        .forward_queue_duration(PATIENCE);
    set_protocols(&mut config, request)?;
    match request.text("ids", "") {
        "" if request.flag("unsigned", false) => return Err(Failure::bad_request("without authors ids must be of the content")),
        "" => config.message_id_fn(author_id),
        "content" => config.message_id_fn(content_id),
        other => return Err(Failure::bad_request(format!("unknown ids {other:?}"))),
    };
    let authenticity = match request.flag("unsigned", false) {
        true => {
            config.validation_mode(ValidationMode::Anonymous);
            MessageAuthenticity::Anonymous
        }
        false => MessageAuthenticity::Signed(key.clone()),
    };
    if request.0.contains_key("degree") && request.number("degree", 1) == 0 {
        // It grafts nobody, but takes who grafts it: what it publishes it remembers only if it was sent to somebody.
        config.mesh_n(0).mesh_n_low(0).mesh_outbound_min(0);
    }
    let beat = request.seconds("heartbeat", 0.0);
    if !beat.is_zero() {
        config.heartbeat_interval(beat);
    }
    if request.flag("exchange", false) {
        config.do_px().prune_peers(EXCHANGED);
    }
    if !request.seconds("slow", 0.0).is_zero() {
        config.validate_messages();
    }
    let config = config.build().map_err(Failure::bad_request)?;
    let mut behaviour = Behaviour::new_with_transform(authenticity, config, counting).map_err(Failure::bad_request)?;
    if request.flag("scoring", false) {
        behaviour.with_peer_score(score_params(), thresholds()).map_err(Failure::bad_request)?;
    }
    Ok(behaviour)
}

/// All, or one alone, which it can be given any name for: then it behaves as 1.1 does, or 1.0.
fn set_protocols(config: &mut ConfigBuilder, request: &Request) -> Outcome<()> {
    match request.texts("protocols").unwrap_or_default().as_slice() {
        [] => config.support_floodsub(),
        [one] if ALONE.contains(&one.as_str()) => {
            let version = if one.ends_with("/1.0.0") { Version::V1_0 } else { Version::V1_1 };
            config.protocol_id(one.clone(), version)
        }
        other => return Err(Failure::bad_request(format!("cannot speak {other:?} and nothing else"))),
    };
    Ok(())
}

/// Author and number, as go has it: rust has them as text instead.
fn author_id(message: &Message) -> MessageId {
    let author = message.source.map(|peer| peer.to_bytes()).unwrap_or_default();
    MessageId([author, message.sequence_number.unwrap_or_default().to_be_bytes().to_vec()].concat())
}

/// The same for the same data, on every implementation: the defaults differ.
fn content_id(message: &Message) -> MessageId {
    MessageId(Sha256::digest(&message.data)[..ID_SIZE].to_vec())
}

/// Those of every implementation here: whoever does nothing wrong, and brings some messages, never falls below 0.
fn score_params() -> PeerScoreParams {
    let scored = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: SECOND,
        time_in_mesh_cap: 100.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: 0.9,
        first_message_deliveries_cap: 10.0,
        mesh_message_deliveries_weight: -1.0,
        mesh_message_deliveries_decay: 0.9,
        mesh_message_deliveries_cap: 50.0,
        mesh_message_deliveries_threshold: 2.0,
        mesh_message_deliveries_window: 2 * SECOND,
        mesh_message_deliveries_activation: 10 * SECOND,
        mesh_failure_penalty_weight: -1.0,
        mesh_failure_penalty_decay: 0.9,
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: 0.9,
    };
    PeerScoreParams {
        topics: HashMap::from([(IdentTopic::new(SCORED_TOPIC).hash(), scored)]),
        topic_score_cap: 0.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: -5.0,
        ip_colocation_factor_threshold: 10.0,
        ip_colocation_factor_whitelist: HashSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST)]), // go exempts loopback, too
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 0.0,
        behaviour_penalty_decay: 0.99,
        decay_interval: SECOND,
        decay_to_zero: 0.01,
        retain_score: 60 * SECOND,
        slow_peer_weight: 0.0, // only rust has it
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -10.0,
        publish_threshold: -50.0,
        graylist_threshold: -80.0,
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.0,
    }
}
