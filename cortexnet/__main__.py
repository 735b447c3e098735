"""`python -m cortexnet` is the command line."""

import sys

try:
    from cortexnet.cli.main import main
except KeyboardInterrupt:  # as in that module, before it can see to it itself
    sys.exit(130)

if __name__ == "__main__":
    main()
