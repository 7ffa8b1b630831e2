"""Commands on the pages can be typed as they stand: the interpreter has the packages, and the module exists."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from operators.parameters import DAY, MINUTE, SECOND, Parameters

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


def test_the_page_of_formulas_has_the_numbers_of_the_code_and_is_where_the_code_says() -> None:
    page = (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8")
    units = {"s": SECOND, "min": MINUTE, "d": DAY}
    rows = re.findall(r"^\| (\w+) \| (\d+) (s|min|d) \| (\d+) (s|min|d) \| (\d+) (s|min|d) \|$", page, re.MULTILINE)
    told = {
        channel: tuple(int(n) * units[u] for n, u in zip(rest[::2], rest[1::2], strict=True)) for channel, *rest in rows
    }
    p = Parameters()

    assert told == {name: (half, p.window_ms[name], p.gap_ms[name]) for name, half in p.half_life_ms.items()}
    assert f"half-life of {p.customer_half_life_ms // DAY} d" in page
    for name in ("under", "kappa", "slope_points", "trend_points"):
        assert f"`{name}` = {getattr(p, name):g}" in page, name
    headings = set(re.findall(r"^## (.+)$", page, re.MULTILINE))
    for path in (ROOT / "operators").glob("*.py"):
        for cited in re.findall(r"docs/formulas\.md, \"([^\"]+)\"", path.read_text(encoding="utf-8")):
            assert " ".join(cited.split()) in headings, (path.name, cited)
