//! Transfers and measurements, the client's side.

use std::future::Future;
use std::time::Instant;

use futures::future::try_join_all;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::held::next_piece;
use crate::node::{Node, Options, Services};
use crate::payload::{Checksum, payload};
use crate::request::Request;
use crate::served::{ECHO, MESSAGES, PERF, PING, SERVED, read_all, write_zeros};
use crate::wire::length;

const BLOCK: usize = 65_536;
const PING_SIZE: usize = 32;

/// rust-libp2p pings when it likes, so this is its protocol, spoken on a stream from here.
pub async fn ping(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let mut stream = node.open(peer, PING).await?;
    let block = payload(0, PING_SIZE);
    let mut seconds = Vec::new();
    for _ in 0..request.number("count", 1) {
        let begin = Instant::now();
        exchange(&mut stream, &block).await?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    stream.close().await?;
    Ok(json!({"seconds": seconds}))
}

pub async fn echo(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let size = request.number("size", 0);
    let block = request.size("block", BLOCK).max(1);
    let begin = Instant::now();
    let (mut reader, mut writer) = node.open(peer, ECHO).await?.split();
    let writing = async {
        let mut sent = Checksum::default();
        while sent.size < size {
            let part = next_piece(sent.size, size, block);
            writer.write_all(part).await?;
            sent.update(part);
        }
        writer.close().await?;
        Ok::<_, Failure>(sent)
    };
    let reading = async {
        let mut received = Checksum::default();
        let mut buffer = vec![0; BLOCK];
        loop {
            match reader.read(&mut buffer).await? {
                0 => return Ok::<_, Failure>(received),
                count => received.update(&buffer[..count]),
            }
        }
    };
    let (sent, received) = futures::try_join!(writing, reading)?;
    Ok(json!({
        "sent": sent.size,
        "received": received.size,
        "sha256_sent": sent.hex(),
        "sha256_received": received.hex(),
        "seconds": begin.elapsed().as_secs_f64(),
    }))
}

/// Echo streams in rounds; in a round all are open and answered before any is closed.
pub async fn streams(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let (count, at_once) = (request.size("count", 1), request.size("at_once", 1).max(1));
    let block = payload(0, request.size("size", 0));
    let begin = Instant::now();
    let mut rounds = 0;
    for first in (0..count).step_by(at_once) {
        let open = try_join_all((first..count.min(first + at_once)).map(|_| async {
            let mut stream = node.open(peer, ECHO).await?;
            exchange(&mut stream, &block).await?;
            Ok::<_, Failure>(stream)
        }));
        try_join_all(open.await?.into_iter().map(finish)).await?;
        rounds += 1;
    }
    Ok(json!({"count": count, "rounds": rounds, "seconds": begin.elapsed().as_secs_f64()}))
}

async fn exchange(stream: &mut Stream, block: &[u8]) -> Outcome<()> {
    stream.write_all(block).await?;
    stream.flush().await?;
    Ok(stream.read_exact(&mut vec![0; block.len()]).await?)
}

async fn finish(mut stream: Stream) -> Outcome<()> {
    stream.close().await?;
    match read_all(&mut stream).await? {
        0 => Ok(()),
        more => Err(Failure::new("failed", format!("{more} bytes more than were sent"))),
    }
}

pub async fn perf(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let begin = Instant::now();
    let mut stream = node.open(peer, PERF).await?;
    stream.write_all(&request.number("download", 0).to_be_bytes()).await?;
    write_zeros(&mut stream, request.number("upload", 0)).await?;
    stream.close().await?;
    let received = read_all(&mut stream).await?;
    Ok(json!({"received": received, "seconds": begin.elapsed().as_secs_f64()}))
}

pub async fn messages(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let size = request.size("size", 0);
    let message = [length(size as u64), payload(0, size)].concat();
    let begin = Instant::now();
    let mut stream = node.open(peer, MESSAGES).await?;
    for _ in 0..request.number("count", 1) {
        stream.write_all(&message).await?;
    }
    stream.close().await?;
    let mut count = [0; 8];
    stream.read_exact(&mut count).await?;
    Ok(json!({"acknowledged": u64::from_be_bytes(count), "seconds": begin.elapsed().as_secs_f64()}))
}

pub async fn round_trips(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let block = payload(0, request.size("size", 0));
    let mut stream = node.open(peer, ECHO).await?;
    let mut times = Vec::new();
    for _ in 0..request.number("count", 1) {
        times.push(timed(exchange(&mut stream, &block)).await?);
    }
    stream.close().await?;
    Ok(percentiles(times))
}

pub async fn requests(node: &Node, peer: PeerId, request: &Request) -> Outcome {
    let block = payload(0, request.size("size", 0));
    let (count, at_once) = (request.size("count", 1), request.size("at_once", 1).max(1));
    let one = || async {
        let mut stream = node.open(peer, ECHO).await?;
        stream.write_all(&block).await?;
        stream.close().await?;
        stream.read_exact(&mut vec![0; block.len()]).await?;
        finish(stream).await
    };
    let begin = Instant::now();
    let times = try_join_all((0..at_once).map(|worker| async move {
        let mut times = Vec::new();
        for _ in 0..(count + worker) / at_once {
            times.push(timed(one()).await?); // those of all workers are `count`
        }
        Ok::<_, Failure>(times)
    }));
    let mut answer = percentiles(times.await?.concat());
    answer["seconds"] = json!(begin.elapsed().as_secs_f64());
    answer["connections"] = json!(node.run(move |swarm| swarm.network_info().connection_counters().num_established()).await?);
    Ok(answer)
}

pub async fn dials(node: &Node, request: &Request) -> Outcome {
    let address = request.address()?;
    let mut times = Vec::new();
    for _ in 0..request.number("count", 1) {
        let begin = Instant::now();
        let peer = node.connect(address.clone()).await?;
        times.push(begin.elapsed().as_secs_f64());
        node.disconnect(peer).await?;
    }
    Ok(percentiles(times))
}

/// That many connections, each from a node of its own.
pub async fn idle(request: &Request) -> Outcome<Vec<Node>> {
    let mut nodes = Vec::new();
    for _ in 0..request.number("count", 0) {
        let (node, inbound) = Node::start(Options::of(request)?, Services::default(), &SERVED).await?;
        drop(inbound);
        node.connect(request.address()?).await?;
        nodes.push(node);
    }
    Ok(nodes)
}

async fn timed(action: impl Future<Output = Outcome<()>>) -> Outcome<f64> {
    let begin = Instant::now();
    action.await?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Microseconds, of the sorted times at the rank below.
fn percentiles(mut times: Vec<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((share * times.len().saturating_sub(1) as f64) as usize).map(|seconds| seconds * 1e6);
    json!({"count": times.len(), "seconds": times.iter().sum::<f64>(), "p50_us": at(0.50), "p99_us": at(0.99)})
}
