//! Streams that the runner steers, one step at a time, from both ends of the wire.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::PeerId;
use libp2p::swarm::Stream;
use serde_json::json;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, mpsc, watch};

use crate::failure::{Failure, Outcome};
use crate::payload::{Checksum, payload, piece};
use crate::request::Request;
use crate::wire::{read_length, write_length};

const BLOCK: usize = 65_536;

/// One stream. Its halves are taken away where it is reset: that is how rust-libp2p does it.
struct Held {
    peer: PeerId,
    protocol: String,
    reader: AsyncMutex<Option<ReadHalf<Stream>>>,
    writer: AsyncMutex<Option<WriteHalf<Stream>>>,
    written: AtomicU64,
    read: AtomicU64,
    is_closed: AtomicBool, // by this side, for writing
    gone: watch::Sender<bool>,
}

/// All streams of a process; `accept` takes those that came in, in order.
pub struct Streams {
    held: Mutex<HashMap<u64, Arc<Held>>>,
    arrived: mpsc::UnboundedSender<u64>,
    waiting: AsyncMutex<mpsc::UnboundedReceiver<u64>>,
    last: AtomicU64,
}

impl Default for Streams {
    fn default() -> Self {
        let (arrived, waiting) = mpsc::unbounded_channel();
        Self { held: Mutex::default(), arrived, waiting: AsyncMutex::new(waiting), last: AtomicU64::new(0) }
    }
}

impl Streams {
    /// Keeps a stream and gives it a number.
    pub fn keep(&self, peer: PeerId, protocol: &str, stream: Stream) -> u64 {
        let (reader, writer) = stream.split();
        let held = Held {
            peer,
            protocol: protocol.to_owned(),
            reader: AsyncMutex::new(Some(reader)),
            writer: AsyncMutex::new(Some(writer)),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            gone: watch::Sender::new(false),
        };
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.held.lock().unwrap().insert(number, Arc::new(held));
        number
    }

    pub fn arrived(&self, number: u64) {
        let _ = self.arrived.send(number);
    }

    pub async fn accept(&self) -> Outcome {
        let number = self.waiting.lock().await.recv().await.unwrap_or_default();
        let held = self.get(number)?;
        Ok(json!({"stream": number, "peer": held.peer.to_string(), "protocol": held.protocol}))
    }

    fn get(&self, number: u64) -> Outcome<Arc<Held>> {
        let held = self.held.lock().unwrap().get(&number).cloned();
        held.ok_or_else(|| Failure::bad_request(format!("no stream {number}")))
    }

    /// The operation on the stream that it names, given up where the stream is reset meanwhile.
    pub async fn operate(&self, request: &Request) -> Outcome {
        let held = self.get(request.number("stream", 0))?;
        let mut gone = held.gone.subscribe();
        match request.text("op", "") {
            "progress" => Ok(json!({"written": held.written.load(Ordering::Relaxed), "read": held.read.load(Ordering::Relaxed)})),
            "reset" => held.reset().await,
            _ => tokio::select! {
                done = held.step(request) => done,
                _ = gone.wait_for(|is_gone| *is_gone) => Err(closed()),
            },
        }
    }
}

fn closed() -> Failure {
    Failure::new("closed", "this side has closed it")
}

impl Held {
    async fn step(&self, request: &Request) -> Outcome {
        let size = request.number("size", 0);
        let block = request.size("block", BLOCK).max(1);
        match request.text("op", "") {
            "write" => self.write(size, block).await,
            "read" => self.take(size, block).await,
            "write_message" => {
                write_length(self.writer().await?.as_mut().ok_or_else(closed)?, size)
                    .await
                    .map_err(|error| self.explain(error))?;
                self.write(size, block).await
            }
            "read_message" => {
                let size = read_length(self.reader.lock().await.as_mut().ok_or_else(closed)?).await?;
                self.take(size.ok_or_else(|| Failure::new("ended", "no message came"))?, block).await
            }
            "close_write" => self.close_write().await,
            "close" => {
                self.close_write().await?;
                drop(self.reader.lock().await.take());
                drop(self.writer.lock().await.take());
                Ok(json!({}))
            }
            other => Err(Failure::bad_request(format!("no operation {other}"))),
        }
    }

    async fn writer(&self) -> Outcome<MutexGuard<'_, Option<WriteHalf<Stream>>>> {
        let writer = self.writer.lock().await;
        if self.is_closed.load(Ordering::Relaxed) { Err(closed()) } else { Ok(writer) }
    }

    fn explain(&self, error: std::io::Error) -> Failure {
        if self.is_closed.load(Ordering::Relaxed) { closed() } else { error.into() }
    }

    async fn write(&self, size: u64, block: usize) -> Outcome {
        let mut writer = self.writer().await?;
        let writer = writer.as_mut().ok_or_else(closed)?;
        let mut left = size;
        let mut at = self.written.load(Ordering::Relaxed);
        while left > 0 {
            let part = payload(at, block.min(usize::try_from(left).unwrap_or(usize::MAX)));
            let mut rest = &part[..];
            while !rest.is_empty() {
                let taken = writer.write(rest).await.map_err(|error| self.explain(error))?;
                rest = &rest[taken..];
                at = self.written.fetch_add(taken as u64, Ordering::Relaxed) + taken as u64;
            }
            left -= part.len() as u64;
        }
        writer.flush().await.map_err(|error| self.explain(error))?;
        Ok(json!({"written": at}))
    }

    async fn take(&self, size: u64, block: usize) -> Outcome {
        let mut reader = self.reader.lock().await;
        let reader = reader.as_mut().ok_or_else(closed)?;
        let mut sum = Checksum::default();
        let mut buffer = vec![0; block];
        let mut ended = false;
        while sum.size < size && !ended {
            let wanted = block.min(usize::try_from(size - sum.size).unwrap_or(usize::MAX));
            let count = reader.read(&mut buffer[..wanted]).await?;
            ended = count == 0;
            sum.update(&buffer[..count]);
            self.read.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(json!({"size": sum.size, "sha256": sum.hex(), "ended": ended}))
    }

    async fn close_write(&self) -> Outcome {
        if let Some(writer) = self.writer.lock().await.as_mut()
            && !self.is_closed.swap(true, Ordering::Relaxed)
        {
            writer.close().await?;
        }
        Ok(json!({}))
    }

    /// rust-libp2p resets a stream that is dropped before it was closed.
    async fn reset(&self) -> Outcome {
        self.is_closed.store(true, Ordering::Relaxed);
        self.gone.send_replace(true);
        drop(self.reader.lock().await.take());
        drop(self.writer.lock().await.take());
        Ok(json!({}))
    }
}

/// As many bytes of the payload as there are in one piece.
pub fn next_piece(sent: u64, size: u64, block: usize) -> &'static [u8] {
    piece(sent, block.min(usize::try_from(size - sent).unwrap_or(usize::MAX)))
}
