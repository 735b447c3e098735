// js-libp2p as a peer of the interop harness: a node steered by JSON lines on stdin and stdout.
//
// The control protocol is documented in interop/README.md. Requests run concurrently; answers carry the request's id.

import { createInterface } from 'node:readline'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { badRequest, Failure, failure, isMismatch } from './failures.js'
import { GOSSIP, stopGossip } from './gossip.js'
import { HeldStreams } from './held.js'
import { MDNS, stopMdns } from './mdns.js'
import { createNode, describe } from './node.js'
import { MANY, serveAll, serveEcho } from './served.js'
import * as transfers from './transfers.js'

const DEFAULT_TIMEOUT = 60
const held = new HeldStreams()
const identified = new Map() // by peer: what it said last
const idle = []
let started = null
let onIdentified = Promise.withResolvers()

function node () {
  if (started == null) {
    throw badRequest('not started')
  }
  return started
}

function connectionTo (peer) {
  const [connection] = node().getConnections(peerIdFromString(peer))
  if (connection == null) {
    throw new Failure('connection_closed', `no connection to ${peer}`)
  }
  return connection
}

function connectionFields (connection) {
  const isWebSocket = connection.remoteAddr.getComponents().some(({ name }) => name === 'ws' || name === 'wss')
  return {
    peer_id: connection.remotePeer.toString(),
    direction: connection.direction,
    transport: isWebSocket ? 'ws' : 'tcp',
    security: connection.encryption,
    muxer: connection.multiplexer,
    early_muxer: null
  }
}

async function start (request) {
  if (started != null) {
    throw badRequest('started already')
  }
  started = await createNode(request, request.listen ?? [])
  started.addEventListener('peer:identify', ({ detail }) => {
    identified.set(detail.peerId.toString(), detail)
    onIdentified.resolve()
    onIdentified = Promise.withResolvers()
  })
  await serveAll(started, held, request.limits !== 'default')
  return { peer_id: started.peerId.toString(), addresses: started.getMultiaddrs().map(String) }
}

async function stop () {
  await Promise.all([started, ...idle.splice(0)].map(each => each?.stop()))
  await stopGossip()
  await stopMdns()
  return {}
}

async function dial (from, address, signal) {
  try {
    return await from.dial(multiaddr(address), { signal })
  } catch (error) {
    if (error.name === 'UnexpectedPeerError' || error instanceof AggregateError || error.name === 'InvalidMultiaddrError') {
      throw error
    }
    const kind = isMismatch(error) ? 'peer_id_mismatch' : error.name === 'TimeoutError' ? 'timeout' : 'dial_failed'
    throw new Failure(kind, `${error.name}: ${error.message}`)
  }
}

async function connect (request, signal) {
  const begin = performance.now()
  const connection = await dial(node(), request.address, signal)
  return { seconds: (performance.now() - begin) / 1000, ...connectionFields(connection) }
}

async function identify (request, signal) {
  while (!identified.has(request.peer)) {
    await Promise.race([onIdentified.promise, aborted(signal)])
  }
  const said = identified.get(request.peer)
  const { protocols, addresses, peerRecordEnvelope } = await node().peerStore.get(peerIdFromString(request.peer))
  return {
    agent_version: said.agentVersion,
    protocol_version: said.protocolVersion,
    protocols,
    listen_addresses: (said.listenAddrs.length > 0 ? said.listenAddrs : addresses.map(each => each.multiaddr)).map(String),
    observed_address: said.observedAddr == null ? null : String(said.observedAddr),
    key_type: peerIdFromString(request.peer).type.toLowerCase(),
    signed_record: peerRecordEnvelope != null
  }
}

const aborted = signal => new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

async function ping (request, signal) {
  const seconds = []
  for (let count = 0; count < Math.max(request.count ?? 1, 1); count++) {
    const begin = performance.now() // its own figure is whole milliseconds
    await node().services.ping.ping(peerIdFromString(request.peer), { signal })
    seconds.push((performance.now() - begin) / 1000)
  }
  return { seconds }
}

async function open (request, signal) {
  const stream = await transfers.openStream(connectionTo(request.peer), request.protocol, signal)
  return { stream: held.add(stream, peerIdFromString(request.peer)), protocol: stream.protocol }
}

async function dials (request, signal) {
  return transfers.percentiles(await transfers.timed(request.count, async () => {
    const connection = await dial(node(), request.address, signal)
    await connection.close({ signal })
  }))
}

async function holdIdle (request, signal) {
  while (idle.length > request.count) {
    await idle.pop().stop()
  }
  while (idle.length < request.count) {
    const another = await createNode(request, [])
    idle.push(another)
    await dial(another, request.address, signal)
  }
  return { count: idle.length }
}

const OPERATIONS = {
  describe: async () => describe(),
  start,
  stop,
  handle: async ({ protocol }) => {
    await serveEcho(node(), protocol, { maxInboundStreams: MANY, maxOutboundStreams: MANY })
    return {}
  },
  connect,
  connection: async ({ peer }) => connectionFields(connectionTo(peer)),
  disconnect: async ({ peer }, signal) => {
    await node().hangUp(peerIdFromString(peer), { signal })
    return {}
  },
  peers: async () => ({ peers: node().getPeers().map(String) }),
  identify,
  ping,
  open,
  accept: held.accept,
  write: held.write,
  read: held.read,
  progress: held.progress,
  write_message: held.writeMessage,
  read_message: held.readMessage,
  close_write: held.closeWrite,
  close: held.close,
  reset: held.reset,
  dials,
  idle: holdIdle,
  ...GOSSIP,
  ...MDNS,
  memory: async () => {
    globalThis.gc?.()
    return { rss: process.memoryUsage.rss() }
  }
}
for (const [name, act] of Object.entries({
  echo: transfers.echo,
  streams: transfers.streams,
  perf: transfers.perf,
  messages: transfers.messages,
  round_trips: transfers.roundTrips,
  requests: transfers.requests
})) {
  OPERATIONS[name] = (request, signal) => {
    const connections = () => node().getConnections(peerIdFromString(request.peer))
    return act(connectionTo(request.peer), request, signal, connections)
  }
}

async function answer (request) {
  try {
    if (!Object.hasOwn(OPERATIONS, request.op)) {
      throw badRequest(`unknown operation ${request.op}`)
    }
    const signal = AbortSignal.timeout((request.timeout || DEFAULT_TIMEOUT) * 1000)
    const body = await Promise.race([OPERATIONS[request.op](request, signal), aborted(signal)])
    return { id: request.id, ok: true, ...body }
  } catch (error) {
    console.error(request.op, error)
    return { id: request.id ?? 0, ...failure(error) }
  }
}

const say = body => process.stdout.write(`${JSON.stringify(body)}\n`)

for await (const line of createInterface({ input: process.stdin })) {
  let request
  try {
    request = JSON.parse(line)
  } catch (error) {
    say({ id: 0, ...failure(badRequest(`not a request: ${error.message}`)) })
    continue
  }
  if (request.op === 'stop') {
    say(await answer(request))
    break
  }
  answer(request).then(say)
}
await stop()
process.exit(0)
