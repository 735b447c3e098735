"""Networks of DHT nodes: the core `cortexnet.kad.dht.Dht` a thousand times over."""
