"""Where the `harness` command and `python -m harness` start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a Ctrl-C that comes while something is imported shows no traceback either."""
    try:
        from harness.cli import main as run

        run()
    except (KeyboardInterrupt, RuntimeError) as error:
        # Python 3.11 makes a RuntimeError of what comes while the class of an imported module is made.
        if not isinstance(error, KeyboardInterrupt) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        print("harness: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
