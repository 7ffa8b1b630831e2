"""`python -m infra.contracts`: write the JSON Schemas anew after a change of the records."""

from __future__ import annotations

import argparse
from pathlib import Path

from infra.contracts import FOLDER, write


def main() -> None:
    """Write the schemas and name the files."""
    parser = argparse.ArgumentParser(prog="python -m infra.contracts", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to (default: %(default)s)")
    for path in write(parser.parse_args().out):
        print(path)


if __name__ == "__main__":
    main()
