"""The scenarios, by theme; catalogue.py lists them all in the order they run."""
