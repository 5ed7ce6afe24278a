"""``python -m normbench`` is the command line."""

import sys

if __name__ == "__main__":
    try:
        from normbench.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("interrupted.\n")
        sys.exit(130)
    main()
