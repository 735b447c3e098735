"""The search for the peers near a key or in a region, as state machines that send nothing themselves."""
