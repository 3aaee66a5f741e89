# SPDX-License-Identifier: BSD-2-Clause
"""results.py: one form for what was measured."""
import json

import pytest
import results


def test_what_is_written_is_read_back(tmp_path):
    rows = [results.row("image", 1200, "bytes", "stat"), results.row("ratio", 0.5, "1", "a/b")]
    path = results.write("size", rows, tmp_path)
    assert json.loads(path.read_text()) == rows
    assert results.read("size", tmp_path) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["size.json"]


@pytest.mark.parametrize("bad", [
    {"name": "a", "value": "12", "unit": "bytes", "how": "x"},
    {"name": "a", "value": True, "unit": "bytes", "how": "x"},
    {"name": "a", "value": 1, "unit": "", "how": "x"},
    {"name": "a", "value": 1, "unit": "bytes"},
])
def test_a_row_without_number_unit_or_how_is_refused(tmp_path, bad):
    with pytest.raises((TypeError, ValueError)):
        results.write("t", [bad], tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_rows_of_one_name_are_refused(tmp_path):
    row = results.row("a", 1, "x", "y")
    with pytest.raises(ValueError, match="'a'"):
        results.write("t", [row, row], tmp_path)


def test_a_damaged_file_reads_as_never_measured(tmp_path):
    (tmp_path / "t.json").write_text('[{"name": 3}')
    assert results.read("t", tmp_path) == []
