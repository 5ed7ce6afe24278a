"""One of several racing processes: claims each run it reads from its input, and says how it went.

claim_race.py STORE
"""

from __future__ import annotations

import sys
from pathlib import Path

from normbench.store import RunStore


def main(root: str) -> None:
    """Answer each fingerprint with the number of the attempt won, or 0."""
    store = RunStore.open(Path(root))
    held = []
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        attempt = store.get(line.strip()).claim({})
        held.append(attempt)
        sys.stdout.write(f"{attempt.number if attempt else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
