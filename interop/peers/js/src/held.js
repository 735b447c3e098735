// Streams that the runner steers one operation at a time.

import { Reader, varint, write } from './bytes.js'
import { badRequest, Failure } from './failures.js'
import { Checksum, payload, PERIOD } from './payload.js'
import { BLOCK } from './served.js'

export const blockOf = request => Math.min(request.block || BLOCK, PERIOD)

class HeldStream {
  written = 0
  seen = 0

  constructor (stream, peer) {
    this.stream = stream
    this.peer = peer
    this.reader = new Reader(stream)
  }
}

export class HeldStreams {
  #byNumber = new Map()
  #arrived = []
  #waiting = []

  add (stream, peer) {
    const number = this.#byNumber.size + 1
    this.#byNumber.set(number, new HeldStream(stream, peer))
    return number
  }

  arrived (stream, connection) {
    const number = this.add(stream, connection.remotePeer)
    const next = this.#waiting.shift()
    next == null ? this.#arrived.push(number) : next(number)
  }

  #get (request) {
    const held = this.#byNumber.get(request.stream)
    if (held == null) {
      throw badRequest(`no stream ${request.stream}`)
    }
    return held
  }

  accept = async () => {
    const number = this.#arrived.shift() ?? await new Promise(resolve => this.#waiting.push(resolve))
    const { stream, peer } = this.#byNumber.get(number)
    return { stream: number, peer: peer.toString(), protocol: stream.protocol }
  }

  write = async (request, signal) => {
    const held = this.#get(request)
    for (const end = held.written + request.size; held.written < end;) {
      const size = Math.min(blockOf(request), end - held.written)
      const sending = write(held.stream, payload(held.written, size), signal)
      held.written += size
      await sending
    }
    return { written: held.written }
  }

  read = async (request, signal) => {
    const held = this.#get(request)
    const sum = new Checksum()
    let ended = false
    while (sum.size < request.size && !ended) {
      const part = await held.reader.read(Math.min(blockOf(request), request.size - sum.size), signal)
      if (part == null) {
        ended = true
      } else {
        sum.update(part)
        held.seen += part.byteLength
      }
    }
    return { size: sum.size, sha256: sum.hex(), ended }
  }

  writeMessage = async (request, signal) => {
    const held = this.#get(request)
    await write(held.stream, Buffer.concat([varint(request.size), payload(held.written, request.size)]), signal)
    held.written += request.size
    return { written: held.written }
  }

  readMessage = async (request, signal) => {
    const held = this.#get(request)
    const size = await held.reader.varint(signal)
    if (size == null) {
      throw new Failure('ended', 'the stream ended before a message')
    }
    const sum = new Checksum()
    sum.update(await held.reader.exactly(size, signal))
    held.seen += size
    return { size, sha256: sum.hex() }
  }

  progress = async request => {
    const { written, seen } = this.#get(request)
    return { written, read: seen }
  }

  closeWrite = async (request, signal) => {
    await this.#get(request).stream.close({ signal })
    return {}
  }

  close = async (request, signal) => {
    const { stream } = this.#get(request)
    await stream.close({ signal })
    await stream.closeRead({ signal })
    return {}
  }

  reset = async request => {
    this.#get(request).stream.abort(new Error('asked to by the runner'))
    return {}
  }
}
