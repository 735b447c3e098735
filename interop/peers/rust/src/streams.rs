//! Streams for who asks for them: opened one by one, accepted without a limit.
//!
//! libp2p-stream does nearly that, but drops inbound streams that come faster than they are taken, as some scenarios have it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

use crate::failure::{Failure, Outcome};

/// A stream that another peer has opened.
pub struct Inbound {
    pub peer: PeerId,
    pub protocol: StreamProtocol,
    pub stream: Stream,
}

type Protocols = Arc<Mutex<Vec<StreamProtocol>>>;

/// What is asked of a connection: a stream of that protocol, or one more look at what is served.
#[derive(Debug)]
pub enum Wish {
    Open { protocol: StreamProtocol, reply: oneshot::Sender<Outcome<Stream>> },
    Look,
}

pub struct Behaviour {
    protocols: Protocols,
    inbound: mpsc::UnboundedSender<Inbound>,
    wishes: VecDeque<(PeerId, NotifyHandler, Wish)>,
    connections: Vec<(PeerId, ConnectionId)>,
    waker: Option<Waker>,
}

impl Behaviour {
    pub fn new(protocols: &[&'static str]) -> (Self, mpsc::UnboundedReceiver<Inbound>) {
        let (inbound, accepted) = mpsc::unbounded_channel();
        let protocols = protocols.iter().map(|each| StreamProtocol::new(each)).collect();
        let protocols = Arc::new(Mutex::new(protocols));
        (Self { protocols, inbound, wishes: VecDeque::new(), connections: Vec::new(), waker: None }, accepted)
    }

    /// A stream on the oldest connection to the peer; `reply` hears of it.
    pub fn open(&mut self, peer: PeerId, protocol: StreamProtocol, reply: oneshot::Sender<Outcome<Stream>>) {
        match self.connections.iter().find(|(each, _)| *each == peer) {
            Some(&(_, connection)) => self.wish(peer, NotifyHandler::One(connection), Wish::Open { protocol, reply }),
            None => drop(reply.send(Err(Failure::new("connection_closed", "not connected")))),
        }
    }

    /// Serves one protocol more, on connections that are there already, too.
    pub fn serve(&mut self, protocol: StreamProtocol) {
        self.protocols.lock().unwrap().push(protocol);
        for (peer, connection) in self.connections.clone() {
            self.wish(peer, NotifyHandler::One(connection), Wish::Look);
        }
    }

    fn wish(&mut self, peer: PeerId, of: NotifyHandler, wish: Wish) {
        self.wishes.push_back((peer, of, wish));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, peer: PeerId) -> Handler {
        let (protocols, inbound) = (self.protocols.clone(), self.inbound.clone());
        Handler { peer, protocols, inbound, wanted: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = ();

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(of) => self.connections.push((of.peer_id, of.connection_id)),
            FromSwarm::ConnectionClosed(of) => self.connections.retain(|(_, each)| *each != of.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<(), THandlerInEvent<Self>>> {
        if let Some((peer_id, handler, event)) = self.wishes.pop_front() {
            return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event });
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The streams of one connection.
pub struct Handler {
    peer: PeerId,
    protocols: Protocols,
    inbound: mpsc::UnboundedSender<Inbound>,
    wanted: VecDeque<(StreamProtocol, oneshot::Sender<Outcome<Stream>>)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Wish;
    type ToBehaviour = Infallible;
    type InboundProtocol = Any;
    type OutboundProtocol = Any;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Outcome<Stream>>;

    fn listen_protocol(&self) -> SubstreamProtocol<Any> {
        SubstreamProtocol::new(Any(self.protocols.lock().unwrap().clone()), ())
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Any, Self::OutboundOpenInfo, Infallible>> {
        match self.wanted.pop_front() {
            Some((protocol, reply)) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Any(vec![protocol]), reply),
            }),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Wish) {
        match event {
            Wish::Open { protocol, reply } => self.wanted.push_back((protocol, reply)),
            Wish::Look => {} // the connection asks for the protocols whenever it was woken
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Any, Any, (), Self::OutboundOpenInfo>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: (stream, protocol), .. }) => {
                let _ = self.inbound.send(Inbound { peer: self.peer, protocol, stream });
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: (stream, _), info }) => {
                let _ = info.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let kind = match &error {
                    StreamUpgradeError::NegotiationFailed => "unsupported_protocol",
                    StreamUpgradeError::Timeout => "timeout",
                    StreamUpgradeError::Io(_) => "connection_closed",
                    StreamUpgradeError::Apply(never) => match *never {},
                };
                let _ = info.send(Err(Failure::new(kind, error)));
            }
            _ => {}
        }
    }
}

/// Any of some protocols; the stream is handed over as it is.
pub struct Any(Vec<StreamProtocol>);

impl UpgradeInfo for Any {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Any {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Any {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
