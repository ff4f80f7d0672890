"""Cells that strangers fill: read as a table by whatever separates its cells, none begins a formula."""

from __future__ import annotations

import csv
import io

import pytest

from recordings.catalogue.csv_lines import csv_line

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\uff1d1+1", "\uff0b1+1", "\uff0d1+1", "\uff201"]
BEFORE = ["", " ", "\t", "\r", "\n", "a;", "a; ", "a\n", "a\r\n", "a;b\t", '"', '";']


@pytest.mark.parametrize("formula", FORMULAS, ids=ascii)
@pytest.mark.parametrize("before", BEFORE, ids=ascii)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_begins_a_formula_whatever_separates_them(before, formula, separator):
    line = csv_line(["first", before + formula, "last"])
    rows = csv.reader(io.StringIO(line, newline=""), delimiter=separator)
    cells = [cell.lstrip(' "') for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] in {formula[0] for formula in FORMULAS}] == []


@pytest.mark.parametrize("text", ["+447700900001", "-12", "a=b", "a - b", "https://h/?a=b;c", "", "anna@example.com"])
def test_what_begins_no_formula_stays_as_it_is(text):
    assert next(csv.reader([csv_line([text, 3, None])])) == [text, "3", ""]
