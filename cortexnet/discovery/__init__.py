"""Finding the peers of an application: those that name the same namespace."""
