"""``python -m isoexec``: the same as the program ``isoexec``."""

from isoexec.cli import main

if __name__ == "__main__":
    main()
