"""One module for each command; `cli.main` loads the one that is called."""
