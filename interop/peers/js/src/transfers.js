// Transfers and measurements, the client's side.

import { Reader, varint, write } from './bytes.js'
import { badRequest, Failure } from './failures.js'
import { blockOf } from './held.js'
import { Checksum, payload } from './payload.js'
import { BLOCK, ECHO, eightBytes, MANY, MESSAGES, PERF, zeros } from './served.js'

const seconds = begin => (performance.now() - begin) / 1000

export async function openStream (connection, protocol, signal) {
  return connection.newStream(protocol, { signal, maxOutboundStreams: MANY })
}

// A stream for the time of one action; what fails resets it.
async function withStream (connection, protocol, signal, act) {
  const stream = await openStream(connection, protocol, signal)
  try {
    const result = await act(stream, new Reader(stream))
    await stream.close({ signal })
    return result
  } catch (error) {
    stream.abort(error)
    throw error
  }
}

export async function echo (connection, request, signal) {
  const sent = new Checksum()
  const received = new Checksum()
  const begin = performance.now()
  await withStream(connection, ECHO, signal, async (stream, reader) => {
    const writing = async () => {
      while (sent.size < request.size) {
        const part = payload(sent.size, Math.min(blockOf(request), request.size - sent.size))
        sent.update(part)
        await write(stream, part, signal)
      }
      await stream.close({ signal })
    }
    const reading = async () => {
      for (let part; (part = await reader.read(BLOCK, signal)) != null;) {
        received.update(part)
      }
    }
    await Promise.all([writing(), reading()])
  })
  return {
    sent: sent.size,
    received: received.size,
    sha256_sent: sent.hex(),
    sha256_received: received.hex(),
    seconds: seconds(begin)
  }
}

// `count` echo streams in rounds of `at_once`; in each round all are open and answered before any is closed.
export async function streams (connection, request, signal) {
  const begin = performance.now()
  let done = 0
  let rounds = 0
  for (; done < request.count; rounds++) {
    const size = Math.min(request.at_once, request.count - done)
    const block = payload(0, request.size)
    const open = await Promise.all(Array.from({ length: size }, async () => {
      const stream = await openStream(connection, ECHO, signal)
      const reader = new Reader(stream)
      await exchange(stream, reader, block, signal)
      return { stream, reader }
    }))
    await Promise.all(open.map(async ({ stream, reader }) => {
      await stream.close({ signal })
      if (await reader.read(BLOCK, signal) != null) {
        throw badRequest('more bytes than were sent')
      }
    }))
    done += size
  }
  return { count: done, rounds, seconds: seconds(begin) }
}

async function exchange (stream, reader, block, signal) {
  await write(stream, block, signal)
  await reader.exactly(block.byteLength, signal)
}

export async function perf (connection, { upload = 0, download = 0 }, signal) {
  const begin = performance.now()
  let received = 0
  await withStream(connection, PERF, signal, async (stream, reader) => {
    await write(stream, eightBytes(BigInt(download)), signal)
    await zeros(stream, upload, signal)
    await stream.close({ signal })
    for (let part; (part = await reader.read(4 * BLOCK, signal)) != null;) {
      received += part.byteLength
    }
  })
  return { received, seconds: seconds(begin) }
}

export async function messages (connection, request, signal) {
  const message = Buffer.concat([varint(request.size), payload(0, request.size)])
  const begin = performance.now()
  const acknowledged = await withStream(connection, MESSAGES, signal, async (stream, reader) => {
    for (let sent = 0; sent < request.count; sent++) {
      await write(stream, message, signal)
    }
    await stream.close({ signal })
    return (await reader.exactly(8, signal)).readBigUInt64BE()
  })
  return { acknowledged: Number(acknowledged), seconds: seconds(begin) }
}

export async function roundTrips (connection, request, signal) {
  const block = payload(0, request.size)
  return withStream(connection, ECHO, signal, async (stream, reader) =>
    percentiles(await timed(request.count, () => exchange(stream, reader, block, signal))))
}

export async function requests (connection, request, signal, connections) {
  const block = payload(0, request.size)
  const one = () => withStream(connection, ECHO, signal, async (stream, reader) => {
    await write(stream, block, signal)
    await stream.close({ signal })
    await reader.exactly(block.byteLength, signal)
    if (await reader.read(1, signal) != null) {
      throw new Failure('failed', 'more bytes than were sent')
    }
  })
  const atOnce = request.at_once || 1
  const share = worker => Math.floor((request.count + worker) / atOnce) // those of all workers are `count`
  const begin = performance.now()
  const times = await Promise.all(Array.from({ length: atOnce }, (_, worker) => timed(share(worker), one)))
  return { ...percentiles(times.flat()), seconds: seconds(begin), connections: connections().length }
}

export async function timed (count, act) {
  const times = []
  for (let number = 0; number < count; number++) {
    const begin = performance.now()
    await act()
    times.push(seconds(begin))
  }
  return times
}

// Microseconds, of the sorted times at the rank below.
export function percentiles (times) {
  if (times.length === 0) {
    return { count: 0, seconds: 0 }
  }
  const ordered = times.toSorted((a, b) => a - b)
  const at = share => ordered[Math.floor(share * (ordered.length - 1))] * 1e6
  return { count: ordered.length, seconds: ordered.reduce((a, b) => a + b), p50_us: at(0.50), p99_us: at(0.99) }
}
