"""One call for one key: find its nearest, a peer, its providers, its value; store with its nearest."""
