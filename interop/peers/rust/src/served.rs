//! The server's side of the operations.

use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::Stream;
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome};
use crate::held::Streams;
use crate::streams::Inbound;
use crate::wire::read_length;

pub const ECHO: &str = "/interop/echo/1.0.0";
pub const HOLD: &str = "/interop/hold/1.0.0";
pub const MESSAGES: &str = "/interop/messages/1.0.0";
pub const PERF: &str = "/perf/1.0.0";
pub const SERVED: [&str; 4] = [ECHO, HOLD, MESSAGES, PERF];
pub const PING: &str = "/ipfs/ping/1.0.0";

const BLOCK: usize = 65_536;
const MESSAGE_MAXIMUM: u64 = 64 << 20;

/// Serves whatever comes, each stream in a task of its own. Names that were added later are echoes.
pub async fn serve(mut inbound: mpsc::UnboundedReceiver<Inbound>, held: Arc<Streams>) {
    while let Some(Inbound { peer, protocol, stream }) = inbound.recv().await {
        if protocol.as_ref() == HOLD {
            held.arrived(held.keep(peer, HOLD, stream));
            continue;
        }
        tokio::spawn(async move {
            let served = match protocol.as_ref() {
                MESSAGES => count_messages(stream).await,
                PERF => perf(stream).await,
                _ => echo(stream).await,
            };
            if let Err(failure) = served {
                eprintln!("{protocol} of {peer}: {failure:?}"); // the stream is dropped, and so reset
            }
        });
    }
}

async fn echo(mut stream: Stream) -> Outcome<()> {
    let mut buffer = vec![0; BLOCK];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(stream.close().await?);
        }
        stream.write_all(&buffer[..count]).await?;
        stream.flush().await?;
    }
}

async fn count_messages(stream: Stream) -> Outcome<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = futures::io::BufReader::with_capacity(BLOCK, reader);
    let mut count = 0_u64;
    while let Some(size) = read_length(&mut reader).await? {
        if size > MESSAGE_MAXIMUM {
            return Err(Failure::new("failed", "message too large"));
        }
        let copied = futures::io::copy((&mut reader).take(size), &mut futures::io::sink()).await?;
        if copied < size {
            return Err(Failure::new("ended", "within a message"));
        }
        count += 1;
    }
    writer.write_all(&count.to_be_bytes()).await?;
    Ok(writer.close().await?)
}

async fn perf(mut stream: Stream) -> Outcome<()> {
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted).await?;
    read_all(&mut stream).await?;
    write_zeros(&mut stream, u64::from_be_bytes(wanted)).await?;
    Ok(stream.close().await?)
}

/// How much came up to the end.
pub async fn read_all(stream: &mut Stream) -> Outcome<u64> {
    let mut buffer = vec![0; 4 * BLOCK];
    let mut size = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(size),
            count => size += count as u64,
        }
    }
}

pub async fn write_zeros(stream: &mut Stream, mut size: u64) -> Outcome<()> {
    let block = vec![0; BLOCK];
    while size > 0 {
        let part = size.min(BLOCK as u64);
        stream.write_all(&block[..part as usize]).await?;
        size -= part;
    }
    Ok(())
}
