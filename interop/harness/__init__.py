"""The runner: finds and builds peers, runs scenarios over pairs of them, reports."""
