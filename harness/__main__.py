"""Where the `harness` command and `python -m harness` start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a Ctrl-C that comes before it is even imported shows no traceback either."""
    try:
        from harness.cli import main as run
    except KeyboardInterrupt:
        print("harness: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
