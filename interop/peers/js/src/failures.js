// Errors of js-libp2p in the words of the control protocol.

export class Failure extends Error {
  constructor (kind, text) {
    super(text)
    this.kind = kind
  }
}

export const badRequest = text => new Failure('bad_request', text)

const KINDS = {
  UnexpectedPeerError: 'peer_id_mismatch',
  UnsupportedProtocolError: 'unsupported_protocol',
  StreamResetError: 'reset',
  StreamAbortedError: 'closed',
  StreamStateError: 'closed',
  ConnectionClosedError: 'connection_closed',
  ConnectionClosingError: 'connection_closed',
  MuxerClosedError: 'connection_closed',
  StreamClosedError: 'connection_closed',
  NotFoundError: 'connection_closed',
  TimeoutError: 'timeout',
  AbortError: 'timeout',
  UnexpectedEOFError: 'ended'
}

function kindOf (error) {
  if (error instanceof Failure) {
    return error.kind
  }
  if (error instanceof AggregateError) { // a dial, one error for each address
    const kinds = error.errors.map(kindOf)
    return kinds.includes('peer_id_mismatch') ? 'peer_id_mismatch' : 'dial_failed'
  }
  if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') {
    return 'dial_failed'
  }
  return KINDS[error.name] ?? 'failed'
}

// A peer that is not the one dialed is told by Noise and TLS in words alone.
export const isMismatch = error => /does not match expected remote identity key|Unexpected Peer/.test(error.message)

// The fields of a failed answer.
export function failure (error) {
  const kind = kindOf(error)
  const body = { ok: false, kind, error: `${error.name}: ${error.message}` }
  return kind === 'reset' ? { ...body, code: 0 } : body
}
