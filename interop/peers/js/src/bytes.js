// Reading and writing streams one step at a time: js-libp2p gives events, and a writer that is told to wait.

import { Failure } from './failures.js'

const MARK = 131_072 // bytes that are taken in ahead of who reads

// How a stream ended that did not end well.
function reasonOf (stream, error) {
  if (stream.status === 'reset') {
    return new Failure('reset', 'the other side reset the stream')
  }
  if (stream.status === 'aborted') {
    return error?.name === 'StreamBufferError'
      ? new Failure('failed', error.message)
      : new Failure('closed', `this side gave the stream up: ${error?.message}`)
  }
  return new Failure('connection_closed', 'the connection is gone')
}

// The bytes of a stream in the portions that are asked for. It pauses the stream while nobody asks.
export class Reader {
  #stream
  #pieces = []
  #size = 0
  #isClean // the other side said that it ended
  #isEnded = false
  #isResuming = false
  #failure = null
  #wake = () => {}

  constructor (stream) {
    this.#stream = stream
    this.#isClean = stream.remoteWriteStatus === 'closed' && stream.status === 'open'
    stream.addEventListener('remoteCloseWrite', () => {
      this.#isClean = true
    })
    stream.addEventListener('end', () => this.#over())
    stream.addEventListener('close', event => this.#over(event.error))
    if (stream.readableEnded) {
      this.#over()
    }
    stream.addEventListener('message', event => this.#arrived(event.data.subarray()))
  }

  #arrived (bytes) {
    this.#pieces.push(bytes)
    this.#size += bytes.byteLength
    if (!this.#isResuming) {
      this.#pause()
    }
    this.#wake()
  }

  #pause () {
    if (this.#size >= MARK && this.#stream.readStatus === 'readable') {
      this.#stream.pause()
    }
  }

  #over (error) {
    if (this.#isEnded || this.#failure != null) {
      return
    }
    if (this.#isClean && error == null && this.#stream.status !== 'reset' && this.#stream.status !== 'aborted') {
      this.#isEnded = this.#stream.readableEnded
    } else {
      this.#failure = reasonOf(this.#stream, error)
    }
    this.#wake()
  }

  // 1 to `size` bytes, or null at the end.
  async read (size, signal) {
    while (this.#size === 0) {
      if (this.#failure != null) {
        throw this.#failure
      }
      if (this.#isEnded) {
        return null
      }
      await this.#more(signal)
    }
    const head = this.#pieces[0]
    const taken = head.subarray(0, size)
    if (taken.byteLength === head.byteLength) {
      this.#pieces.shift()
    } else {
      this.#pieces[0] = head.subarray(size)
    }
    this.#size -= taken.byteLength
    if (this.#size < MARK / 2) {
      this.#resume()
    }
    return taken
  }

  // A stream of yamux that is paused from within its own resume() goes on granting credit.
  #resume () {
    if (this.#stream.readStatus === 'paused') {
      this.#isResuming = true
      this.#stream.resume()
      this.#isResuming = false
      this.#pause()
    }
  }

  async #more (signal) {
    this.#resume()
    signal?.throwIfAborted()
    if (this.#size > 0 || this.#isEnded || this.#failure != null) {
      return
    }
    await new Promise((resolve, reject) => {
      const stop = () => reject(signal.reason)
      signal?.addEventListener('abort', stop, { once: true })
      this.#wake = () => {
        signal?.removeEventListener('abort', stop)
        this.#wake = () => {}
        resolve()
      }
    })
  }

  async exactly (size, signal) {
    const parts = []
    while (size > 0) {
      const part = await this.read(size, signal)
      if (part == null) {
        throw new Failure('ended', `the stream ended ${size} bytes early`)
      }
      parts.push(part)
      size -= part.byteLength
    }
    return Buffer.concat(parts)
  }

  // A varint; null where the stream ends before it.
  async varint (signal) {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = await this.read(1, signal)
      if (byte == null) {
        if (scale === 1) {
          return null
        }
        throw new Failure('ended', 'the stream ended within a length')
      }
      value += (byte[0] & 0x7F) * scale
      if (byte[0] < 0x80) {
        return value
      }
    }
  }
}

export function varint (value) {
  const bytes = []
  for (; value >= 0x80; value = Math.floor(value / 128)) {
    bytes.push(value % 128 | 0x80)
  }
  bytes.push(value)
  return Buffer.from(bytes)
}

// Hand bytes over and wait until the stream takes more: for its window, or for the socket.
export async function write (stream, bytes, signal) {
  if (stream.writeStatus !== 'writable') {
    throw stream.status === 'open' ? new Failure('closed', 'this direction was closed here') : reasonOf(stream)
  }
  stream.send(bytes)
  while (stream.writableNeedsDrain) {
    await drained(stream, signal)
    await new Promise(resolve => setImmediate(resolve)) // it goes on sending first, and may come to a stop again
  }
  if (stream.status !== 'open') {
    throw reasonOf(stream)
  }
}

function drained (stream, signal) {
  signal?.throwIfAborted()
  return new Promise((resolve, reject) => {
    const done = settle => event => {
      stream.removeEventListener('drain', ondrain)
      stream.removeEventListener('close', onclose)
      signal?.removeEventListener('abort', onabort)
      settle(event)
    }
    const ondrain = done(() => resolve())
    const onclose = done(event => reject(reasonOf(stream, event.error)))
    const onabort = done(() => reject(signal.reason))
    stream.addEventListener('drain', ondrain)
    stream.addEventListener('close', onclose)
    signal?.addEventListener('abort', onabort)
  })
}
