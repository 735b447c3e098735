// The server's side of the operations.

import { Reader, varint, write } from './bytes.js'
import { Failure } from './failures.js'

export const ECHO = '/interop/echo/1.0.0'
export const HOLD = '/interop/hold/1.0.0'
export const MESSAGES = '/interop/messages/1.0.0'
export const PERF = '/perf/1.0.0'
export const BLOCK = 65_536

const MESSAGE_MAXIMUM = 64 << 20
export const MANY = 100_000
const NO_LIMITS = { maxInboundStreams: MANY, maxOutboundStreams: MANY }

// Closes the stream after a handler that went well, and resets it after any other.
const serve = handler => async stream => {
  try {
    await handler(stream, new Reader(stream))
    await stream.close()
  } catch (error) {
    console.error('handler of', stream.protocol, error)
    stream.abort(error)
  }
}

export async function echo (stream, reader) {
  for (let part; (part = await reader.read(BLOCK)) != null;) {
    await write(stream, part)
  }
}

async function countMessages (stream, reader) {
  let count = 0n
  for (let size; (size = await reader.varint()) != null; count++) {
    if (size > MESSAGE_MAXIMUM) {
      throw new Failure('failed', 'message too large')
    }
    for (let part; size > 0; size -= part.byteLength) {
      part = await reader.read(size)
      if (part == null) {
        throw new Failure('ended', 'the stream ended within a message')
      }
    }
  }
  await write(stream, eightBytes(count))
}

async function perf (stream, reader) {
  const wanted = Number((await reader.exactly(8)).readBigUInt64BE())
  while (await reader.read(4 * BLOCK) != null) { /* thrown away */ }
  await zeros(stream, wanted)
}

export function eightBytes (value) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

export async function zeros (stream, size, signal) {
  const block = Buffer.alloc(BLOCK)
  for (; size > 0; size -= BLOCK) {
    await write(stream, block.subarray(0, Math.min(size, BLOCK)), signal)
  }
}

export async function serveEcho (node, protocol, limits) {
  await node.handle(protocol, serve(echo), limits)
}

export async function serveAll (node, held, lifted) {
  const limits = lifted ? NO_LIMITS : {}
  await serveEcho(node, ECHO, limits)
  await node.handle(MESSAGES, serve(countMessages), limits)
  await node.handle(PERF, serve(perf), limits)
  await node.handle(HOLD, (stream, connection) => held.arrived(stream, connection), limits)
}
