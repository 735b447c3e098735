"""What a node keeps on disk: the address book and the access rules, in one SQLite file."""
