// Nodes with mDNS, as many as the runner asks for, and whom they find.

import { mdns } from '@libp2p/mdns'
import { badRequest } from './failures.js'
import { createNode } from './node.js'

const INTERVAL = 4000 // milliseconds from one question to the next, so that one that is lost costs no more than with others

const nodes = []

function nodeOf ({ node = 0 }) {
  if (nodes[node] == null) {
    throw badRequest(`no node ${node}`)
  }
  return nodes[node]
}

async function start (request) {
  const found = new Map() // by peer: where
  const make = mdns({ serviceTag: `${request.service || '_p2p._udp'}.local`, interval: INTERVAL })
  const discovery = components => {
    const service = make(components) // its own event: that of the node comes once, also for who has connected before
    service.addEventListener('peer', ({ detail }) => found.set(detail.id.toString(), detail))
    return service
  }
  const node = await createNode(request, request.listen ?? [], {}, [discovery])
  nodes.push({ node, found })
  return { node: nodes.length - 1, peer_id: node.peerId.toString(), addresses: node.getMultiaddrs().map(String) }
}

export async function stopMdns () {
  await Promise.all(nodes.splice(0).map(each => each?.node.stop()))
}

export const MDNS = {
  mdns_start: start,
  mdns_stop: async request => {
    await nodeOf(request).node.stop()
    nodes[request.node ?? 0] = null
    return {}
  },
  mdns_found: async request => ({
    found: Array.from(nodeOf(request).found.values(), ({ id, multiaddrs }) => ({ peer_id: id.toString(), addresses: multiaddrs.map(String) }))
  }),
  mdns_connect: async (request, signal) => {
    const { node, found } = nodeOf(request)
    if (!found.has(request.peer)) {
      throw badRequest(`${request.peer} was not found`)
    }
    await node.dial(found.get(request.peer).multiaddrs, { signal })
    return {}
  }
}
