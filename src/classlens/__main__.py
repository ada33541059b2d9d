"""`classlens`, and `python -m classlens`."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C while it is imported ends it as silently as later."""
    try:
        from classlens.cli.main import main as command_line
    except KeyboardInterrupt:
        return 130
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
