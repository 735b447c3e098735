"""Who may come in, and how much of this node each may hold: rules, limits, reservations. Decisions alone."""
