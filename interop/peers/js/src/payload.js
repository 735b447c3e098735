// The bytes that every peer sends: known in advance, so that a checksum tells what arrived.

import { createHash } from 'node:crypto'

export const PERIOD = 65_521

const pattern = Buffer.concat(
  Array.from({ length: Math.floor(PERIOD / 32) + 1 }, (_, number) => createHash('sha256').update(String(number)).digest())
).subarray(0, PERIOD)
const twice = Buffer.concat([pattern, pattern])

// The `size` bytes, of the endless repetition of the pattern, that begin at `offset`.
export function payload (offset, size) {
  const start = offset % PERIOD
  if (start + size <= twice.length) {
    return twice.subarray(start, start + size)
  }
  const parts = []
  for (let at = offset; at < offset + size; at += PERIOD) {
    parts.push(payload(at, Math.min(PERIOD, offset + size - at)))
  }
  return Buffer.concat(parts)
}

// SHA-256 and the number of bytes it is of.
export class Checksum {
  #hash = createHash('sha256')
  size = 0

  update (bytes) {
    this.#hash.update(bytes)
    this.size += bytes.byteLength
  }

  hex () {
    return this.#hash.digest('hex')
  }
}
