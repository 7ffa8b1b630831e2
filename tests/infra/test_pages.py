"""Commands on the pages can be typed as they stand: the interpreter has the packages, and the module exists."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "data-dictionary.md"})]
_COMMAND = re.compile(r"(\S*)\bpython -m +([\w.]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_command_names_its_interpreter_and_a_module_that_there_is(page: Path) -> None:
    for path, module in _COMMAND.findall(page.read_text(encoding="utf-8")):
        assert path.lstrip("`(") in {".venv/bin/", ".venv-train/bin/"}, module
        assert find_spec(module) is not None


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), (page.name, target)
