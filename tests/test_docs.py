"""The pages that are made from the tables of the package are current."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.skipif(not DOCS.exists(), reason="the pages are not part of a wheel")
def test_the_table_of_what_is_covered_is_current():
    script = runpy.run_path(str(DOCS / "coverage.py"))
    assert (DOCS / "coverage.md").read_text(encoding="utf-8") == script["render"](), "run python docs/coverage.py"
