"""Write the generated files: dashboards as JSON, provisioning as YAML, layouts as SVG. Equal source gives equal bytes.

python -m dashboards.build                       write the files that changed
python -m dashboards.build --check               write nothing, fail when a file is out of date
python -m dashboards.build --feedback-url URL    add links to your feedback page; the committed files have none
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dashboards.boards import ALL
from dashboards.layout import drawings
from dashboards.provisioning import files
from dashboards.site import Site, for_site

ROOT = Path(__file__).resolve().parents[1]
SITES = {"": Site(), "-9.3": Site(grafana="9.3")}
"""Suffix of the folder -> its site: the default Grafana, and the oldest that is supported."""


def generated(feedback_url: str = "") -> dict[Path, str]:
    """Path -> text of every generated file."""
    made: dict[Path, str] = {}
    for suffix, version in SITES.items():
        site = replace(version, feedback_url=feedback_url)
        for board in ALL:
            page = for_site(board(), site)
            made[ROOT / "dashboards" / f"generated{suffix}" / f"{page['uid']}.json"] = as_text(page)
        for name, text in files(site).items():
            made[ROOT / "infra" / "grafana" / f"provisioning{suffix}" / name] = text
    for name, text in drawings().items():
        made[ROOT / "docs" / "images" / name] = text
    return made


def as_text(page: object) -> str:
    """JSON as it is committed: sorted, indented, one newline at the end."""
    return json.dumps(page, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def outdated(feedback_url: str = "") -> list[Path]:
    """Generated files that are missing or differ from what the source generates."""
    wanted = generated(feedback_url)
    return [path for path, text in wanted.items() if not path.exists() or path.read_bytes() != text.encode()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say what is out of date; exit 1 when something is")
    parser.add_argument(
        "--feedback-url", default="", help="page that takes feedback on an alert (see flows.feedback --serve)"
    )
    chosen = parser.parse_args(argv)
    stale = outdated(chosen.feedback_url)
    texts = generated(chosen.feedback_url)
    for path in stale:
        print(f"{'out of date' if chosen.check else 'wrote'} {path.relative_to(ROOT)}")
        if not chosen.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(texts[path].encode())
    return 1 if chosen.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
