"""What all operations of the DHT share: requests, timers, and the searches that use them."""
