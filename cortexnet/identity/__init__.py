"""Who a peer is: keys, peer ids, signed envelopes and the node's own identity."""
