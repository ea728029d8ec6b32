"""`python -m kexp`: the command line, where the `kexp` script is not on the path."""

from kexp.cli import main

if __name__ == "__main__":
    main()
