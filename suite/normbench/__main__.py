"""``python -m normbench`` is the command line."""

from normbench.cli import main

if __name__ == "__main__":
    main()
