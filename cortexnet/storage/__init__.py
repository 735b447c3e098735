"""What a node keeps on disk, in one SQLite file: the address book, the access rules, and what its DHT keeps."""
