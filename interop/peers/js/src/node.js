// What a node of this peer is made of.

import { readFileSync } from 'node:fs'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify, identifyPush } from '@libp2p/identify'
import { mplex } from '@libp2p/mplex'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { badRequest } from './failures.js'
import { MANY } from './served.js'

const SECURITY = { noise: noise(), tls: tls() }
// By itself js lets a window grow to 16 MiB but resets a stream with 4 MiB that its reader, who pauses, has not taken.
const streamOptions = { maxStreamWindowSize: 1 << 20 }
const MANY_STREAMS = { maxInboundStreams: MANY, maxOutboundStreams: MANY }
// By itself js ends a connection of mplex on which more than five streams are opened in a second.
const MUXERS = {
  '/yamux/1.0.0': lifted => yamux({ streamOptions, ...(lifted ? MANY_STREAMS : {}) }),
  '/mplex/6.7.0': lifted => mplex(lifted ? { disconnectThreshold: MANY } : {})
}
const KEY_TYPES = { ed25519: 'Ed25519', secp256k1: 'secp256k1', rsa: 'RSA' }

export function describe () {
  const { version } = JSON.parse(readFileSync(new URL('../node_modules/libp2p/package.json', import.meta.url)))
  return {
    implementation: 'js-libp2p',
    version,
    runtime: `Node ${process.versions.node}`,
    transports: ['tcp', 'ws'],
    security: Object.keys(SECURITY),
    muxers: Object.keys(MUXERS),
    key_types: Object.keys(KEY_TYPES),
    peer_key_types: Object.keys(KEY_TYPES),
    early_muxer: true,
    early_muxer_off: false,
    reset_codes: false,
    services: ['gossip', 'mdns'],
    mdns_hosts: false,
    gossip_topics_end_with_streams: true,
    mdns_additional: false,
    gossip_versions: ['/meshsub/1.2.0', '/meshsub/1.1.0', '/meshsub/1.0.0', '/floodsub/1.0.0'],
    leaves_open: ['ws'] // it closes an aborted WebSocket with a code that its own API refuses
  }
}

const chosen = (table, names, what) => names.map(name => {
  if (!Object.hasOwn(table, name)) {
    throw badRequest(`no ${what} ${name}`)
  }
  return table[name]
})

// js limits inbound connections to five in a second from one host, and pending ones to ten.
const MANY_CONNECTIONS = { maxConnections: MANY, inboundConnectionThreshold: MANY, maxIncomingPendingConnections: MANY }

export async function createNode (request, listen, services = {}, peerDiscovery = []) {
  if (request.early_muxer === false) {
    throw badRequest('js-libp2p always names its muxers in the handshake')
  }
  const [type] = chosen(KEY_TYPES, [request.key_type ?? 'ed25519'], 'key type')
  const lifted = request.limits !== 'default'
  return createLibp2p({
    privateKey: await generateKeyPair(type),
    addresses: { listen },
    transports: [tcp(), webSockets()],
    connectionEncrypters: chosen(SECURITY, request.security ?? ['noise'], 'secure channel'),
    streamMuxers: chosen(MUXERS, request.muxers ?? ['/yamux/1.0.0'], 'muxer').map(make => make(lifted)),
    connectionGater: { denyDialMultiaddr: () => false },
    connectionManager: lifted ? MANY_CONNECTIONS : {},
    peerDiscovery,
    services: { identify: identify(), identifyPush: identifyPush(), ping: ping(), ...services }
  })
}
