"""`python -m cortexnet` is the command line."""

from cortexnet.cli.main import main

if __name__ == "__main__":
    main()
