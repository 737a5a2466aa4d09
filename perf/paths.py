"""Finds the installed isoexec.

`python -m` puts the checkout first, where the source folder isoexec/ hides it. Here the checkout
comes last, where the processes that rivals start still find `perf`.
"""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != CHECKOUT]
sys.path.append(str(CHECKOUT))
