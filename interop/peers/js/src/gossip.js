// Nodes with gossip, as many as the runner asks for, and what it has them do.

import { createHash } from 'node:crypto'
import { gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { write } from './bytes.js'
import { badRequest } from './failures.js'
import { createNode } from './node.js'
import { payload, PERIOD } from './payload.js'

const FLOODSUB = '/floodsub/1.0.0'
const VERSIONS = ['/meshsub/1.2.0', '/meshsub/1.1.0', '/meshsub/1.0.0', FLOODSUB]
const HEADER = 8
const ID_SIZE = 20
const SCORED_TOPIC = 'scored'
const LOWEST_EVERY = 100 // milliseconds between two looks at the scores

// Those of every implementation here: whoever does nothing wrong, and brings some messages, never falls below 0.
const SCORED = {
  topicWeight: 1,
  timeInMeshWeight: 0.01,
  timeInMeshQuantum: 1000,
  timeInMeshCap: 100,
  firstMessageDeliveriesWeight: 0.1,
  firstMessageDeliveriesDecay: 0.9,
  firstMessageDeliveriesCap: 10,
  meshMessageDeliveriesWeight: -1,
  meshMessageDeliveriesDecay: 0.9,
  meshMessageDeliveriesCap: 50,
  meshMessageDeliveriesThreshold: 2,
  meshMessageDeliveriesWindow: 2000,
  meshMessageDeliveriesActivation: 10_000,
  meshFailurePenaltyWeight: -1,
  meshFailurePenaltyDecay: 0.9,
  invalidMessageDeliveriesWeight: -10,
  invalidMessageDeliveriesDecay: 0.9
}
// js scores in any case, and counts peers on loopback as well unless told otherwise.
const LOCAL = { IPColocationFactorWhitelist: new Set(['127.0.0.1']) }
const SCORES = {
  ...LOCAL,
  topics: { [SCORED_TOPIC]: SCORED },
  topicScoreCap: 0,
  appSpecificWeight: 1,
  behaviourPenaltyWeight: -10,
  behaviourPenaltyThreshold: 0,
  behaviourPenaltyDecay: 0.99,
  decayInterval: 1000,
  decayToZero: 0.01,
  retainScore: 60_000
}
const THRESHOLDS = { gossipThreshold: -10, publishThreshold: -50, graylistThreshold: -80, acceptPXThreshold: 0, opportunisticGraftThreshold: 0 }

// The same for the same data, on every implementation: the defaults differ.
const contentId = message => createHash('sha256').update(message.data).digest().subarray(0, ID_SIZE)
// Author and number, as go has it: js has the author's key instead.
const authorId = message => Buffer.concat([message.from.toMultihash().bytes, eight(message.sequenceNumber)])
const sleep = seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000))

function eight (number) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(number)
  return bytes
}

function makeMessage (tag, number, size) {
  const header = Buffer.alloc(HEADER)
  header.writeUInt32BE(tag, 0)
  header.writeUInt32BE(number, 4)
  return Buffer.concat([header, payload(0, size - HEADER)])
}

function isRight (data) {
  for (let at = HEADER; at < data.byteLength; at += PERIOD) {
    const size = Math.min(PERIOD, data.byteLength - at)
    if (payload(at - HEADER, size).compare(data, at, at + size) !== 0) {
      return false
    }
  }
  return data.byteLength >= HEADER
}

function options (request) {
  const none = request.degree === 0 ? { D: 0, Dlo: 0, Dhi: 0, Dout: 0, Dscore: 0 } : {}
  const beat = request.heartbeat ? { heartbeatInterval: request.heartbeat * 1000 } : {}
  const ids = { '': request.unsigned ? undefined : authorId, content: contentId }
  if (!Object.hasOwn(ids, request.ids ?? '')) {
    throw badRequest(`unknown ids ${request.ids}`)
  }
  return {
    ...none,
    ...beat,
    floodPublish: false,
    emitSelf: true,
    doPX: request.exchange === true,
    allowPublishToZeroTopicPeers: true,
    globalSignaturePolicy: request.unsigned ? 'StrictNoSign' : 'StrictSign',
    msgIdFn: ids[request.ids ?? ''],
    scoreParams: request.scoring ? SCORES : LOCAL,
    scoreThresholds: request.scoring ? THRESHOLDS : { acceptPXThreshold: 0 }
  }
}

function versions (request) {
  const unknown = (request.protocols ?? []).filter(each => !VERSIONS.includes(each))
  if (unknown.length > 0) {
    throw badRequest(`no protocol ${unknown}`)
  }
  return request.protocols?.length > 0 ? request.protocols : VERSIONS
}

// One node, its topics, and all that it was told.
class GossipNode {
  topics = new Map() // by name: how often each message came
  #held = {} // by peer: what it had against it at any time
  #counts = { bytes: 0, ihave: 0, iwant: 0, idontwant: 0 }

  async start (request) {
    this.slow = request.slow ?? 0
    const services = {
      gossip: components => {
        const service = gossipsub(options(request))(components)
        service.protocols = versions(request)
        return service
      }
    }
    this.node = await createNode(request, request.listen ?? [], services)
    this.gossip = this.node.services.gossip
    this.#trace()
    this.gossip.addEventListener('message', ({ detail }) => this.topics.get(detail.topic)?.take(detail.data))
    this.timer = setInterval(() => this.#look(), LOWEST_EVERY)
    return this
  }

  async stop () {
    clearInterval(this.timer)
    await this.node.stop()
  }

  #trace () {
    const handle = this.gossip.handleReceivedRpc.bind(this.gossip)
    const total = lists => (lists ?? []).reduce((sum, each) => sum + (each.messageIDs?.length ?? 0), 0)
    this.gossip.handleReceivedRpc = async (from, rpc) => {
      this.#counts.bytes += (rpc.messages ?? []).reduce((sum, each) => sum + each.data.byteLength, 0)
      this.#counts.ihave += total(rpc.control?.ihave)
      this.#counts.iwant += total(rpc.control?.iwant)
      this.#counts.idontwant += total(rpc.control?.idontwant)
      return handle(from, rpc)
    }
  }

  #look () {
    for (const [peer, { behaviourPenalty, topics }] of Object.entries(this.gossip.dumpPeerScoreStats())) {
      const held = this.#held[peer] ??= { lowest: 0, invalid: 0, behaviour: 0 }
      held.lowest = Math.min(held.lowest, this.gossip.getScore(peer))
      held.behaviour = Math.max(held.behaviour, behaviourPenalty)
      held.invalid = Math.max(held.invalid, ...Object.values(topics).map(each => each.invalidMessageDeliveries))
    }
  }

  topic (name) {
    let topic = this.topics.get(name)
    if (topic == null) {
      topic = new Topic()
      this.topics.set(name, topic)
      if (this.slow > 0) {
        this.gossip.topicValidators.set(name, () => sleep(this.slow).then(() => TopicValidatorResult.Accept))
      }
      this.gossip.subscribe(name)
    }
    return topic
  }

  peers (name) {
    return {
      subscribers: this.gossip.getSubscribers(name).map(String),
      mesh: this.gossip.getMeshPeers(name),
      protocols: Object.fromEntries(Array.from(this.gossip.streamsOutbound, ([peer, stream]) => [peer, stream.protocol]))
    }
  }

  scores () {
    const scores = Object.fromEntries(this.gossip.getPeers().map(peer => [String(peer), this.gossip.getScore(String(peer))]))
    return { scores, held: this.#held }
  }

  counts () {
    return this.#counts
  }

  reset () {
    const streams = this.node.getConnections().flatMap(each => each.streams).filter(({ protocol }) => VERSIONS.includes(protocol))
    streams.forEach(each => each.abort(new Error('asked to by the runner')))
    return { count: streams.length }
  }
}

// What has come of a topic.
class Topic {
  seen = new Map()
  repeated = 0
  wrong = 0
  #wake = () => {}

  take (data) {
    if (!isRight(data)) {
      this.wrong++
      return
    }
    const key = Buffer.from(data.buffer, data.byteOffset, HEADER).readBigUInt64BE()
    const count = (this.seen.get(key) ?? 0) + 1
    this.seen.set(key, count)
    this.repeated += count > 1 ? 1 : 0
    const wake = this.#wake
    this.#wake = () => {}
    wake()
  }

  async wait (count) {
    while (this.seen.size < count) {
      const before = this.#wake
      await new Promise(resolve => {
        this.#wake = () => {
          before()
          resolve()
        }
      })
    }
  }

  state (node) {
    const tags = {}
    for (const key of this.seen.keys()) {
      const tag = key >> 32n
      tags[tag] = (tags[tag] ?? 0) + 1
    }
    return { node, messages: this.seen.size, tags, repeated: this.repeated, wrong: this.wrong }
  }
}

const nodes = []

function nodeOf (request) {
  const node = nodes[request.node ?? 0]
  if (node == null) {
    throw badRequest(`no gossip node ${request.node}`)
  }
  return node
}

async function start (request) {
  const started = []
  for (let count = 0; count < Math.max(request.count ?? 1, 1); count++) {
    const node = await new GossipNode().start(request)
    nodes.push(node)
    if (request.topic) {
      node.topic(request.topic)
    }
    const { peerId } = node.node
    started.push({ node: nodes.length - 1, peer_id: String(peerId), addresses: node.node.getMultiaddrs().map(String) })
  }
  return { nodes: started }
}

async function connect (request, signal) {
  for (const address of request.addresses) {
    await nodeOf(request).node.dial(multiaddr(address), { signal })
  }
  return {}
}

const having = name => nodes.flatMap(each => each.topics.get(name) ?? [])
const waitForAll = (name, count) => Promise.all(having(name).map(topic => topic.wait(count)))

async function publish (request) {
  const node = nodeOf(request)
  const { topic, tag, first = 0, count, size, at_once: atOnce = 0 } = request
  const begin = performance.now()
  for (let number = first; number < first + count; number++) {
    if (atOnce > 0) {
      await waitForAll(topic, number - atOnce + 1)
    }
    await node.gossip.publish(topic, makeMessage(tag, number, size))
  }
  if (atOnce > 0) {
    await waitForAll(topic, first + count)
  }
  return { seconds: (performance.now() - begin) / 1000 }
}

// On a stream of its own, past the node's gossip.
async function say (request, signal) {
  const stream = await nodeOf(request).node.dialProtocol(peerIdFromString(request.peer), request.protocol, { signal })
  await write(stream, Buffer.from(request.value, 'hex'), signal)
  return {}
}

export const stopGossip = () => Promise.all(nodes.splice(0).map(each => each.stop()))

export const GOSSIP = {
  gossip_start: start,
  gossip_connect: connect,
  gossip_connected: async request => ({ peers: nodeOf(request).node.getPeers().map(String) }),
  gossip_reset: async request => nodeOf(request).reset(),
  gossip_subscribe: async request => {
    nodeOf(request).topic(request.topic)
    return {}
  },
  gossip_unsubscribe: async request => {
    nodeOf(request).gossip.unsubscribe(request.topic)
    return {}
  },
  gossip_peers: async request => nodeOf(request).peers(request.topic),
  gossip_publish: publish,
  gossip_say: say,
  gossip_wait: async request => {
    await waitForAll(request.topic, request.count)
    return {}
  },
  gossip_received: async request => ({
    nodes: nodes.flatMap((each, number) => each.topics.get(request.topic)?.state(number) ?? [])
  }),
  gossip_scores: async request => nodeOf(request).scores(),
  gossip_counts: async request => nodeOf(request).counts()
}
