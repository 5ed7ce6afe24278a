"""``python -m normbench`` is the command line."""

from normbench.cli import main

main()
