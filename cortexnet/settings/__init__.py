"""Settings of a node from outside of a program: a TOML file, the environment, the command line."""
