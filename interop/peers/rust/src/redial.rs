//! TCP that dials from another port where its own is taken.
//!
//! rust-libp2p dials from its listen port, and takes that on every address of the machine: where somebody has it on one of them,
//! each dial fails, those of kad's searches as well.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent};
use libp2p::tcp::{Config, tokio::Transport as Tcp};

pub struct Redialing(Tcp);

impl Redialing {
    pub fn new(config: Config) -> Self {
        Self(Tcp::new(config))
    }
}

impl Transport for Redialing {
    type Output = <Tcp as Transport>::Output;
    type Error = io::Error;
    type ListenerUpgrade = <Tcp as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let usual = self.0.dial(address.clone(), options)?;
        let anew = self.0.dial(address, DialOpts { port_use: PortUse::New, ..options })?; // does nothing before it is waited for
        let dial = async move {
            match usual.await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => anew.await,
                outcome => outcome,
            }
        };
        Ok(dial.boxed())
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(context)
    }
}
