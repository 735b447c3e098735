"""The harness is a program of the repository, not part of the installed package: its root must be importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
