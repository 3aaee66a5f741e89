# SPDX-License-Identifier: BSD-2-Clause
"""tools/conformance.py: tags find their tests, and nothing untraced, stale or invented passes."""
import conformance
import pytest

LIST = "D-2.1.2-01\tno buffer is taken before DRIVER_OK\n" \
       "D-2.1.2-02\tit is told\tVIRTIO_F_LATER\tnot offered\n" \
       "R-14\ta head twice\n" \
       "G-6.1-06\tvirtual functions\t-\tno PCI\n"
TEST = "#include <a.h>\n\n{comment}static void it_works(void **state)\n{{\n{inside}}}\n\n" \
       "TEST(it_works)\n"


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.setattr(conformance, "COUNTS", {"D": 2, "G": 1})


def traced(comment="", inside="", name="tests/unit/test_a.c"):
    rows = conformance.rows_read(LIST)
    wrong = conformance.trace(rows, [(name, TEST.format(comment=comment, inside=inside))])
    return rows, wrong


def test_a_comment_in_front_of_a_test_and_one_inside_it_count():
    rows, wrong = traced("/* D-2.1.2-01: as it should. */\n", "    f(); /* R-14 */\n")
    assert not wrong
    assert rows["D-2.1.2-01"].tests == [("tests/unit/test_a.c", "it_works")]
    assert rows["R-14"].tests == [("tests/unit/test_a.c", "it_works")]


def test_numbers_after_a_comma_belong_to_the_same_section():
    rows, wrong = traced("/* D-2.1.2-01, -02, R-14 */\n")
    assert not wrong
    assert all(rows[i].tests for i in ("D-2.1.2-01", "D-2.1.2-02", "R-14"))


def test_cases_of_xen_are_not_driver_requirements():
    assert list(conformance.tags_in("G-04, W-01, XSA-295")) == []


def test_a_tag_at_no_test_is_wrong():
    _, wrong = traced("/* R-14 */\nstatic int x;\n\n")
    assert len(wrong) == 1 and "stands at no test" in wrong[0]


def test_a_tag_that_nobody_demands_is_wrong():
    _, wrong = traced("/* R-99 */\n")
    assert wrong == ["tests/unit/test_a.c: R-99 is not in tools/conformance.tsv"]


def test_a_test_that_is_not_run_proves_nothing():
    rows = conformance.rows_read(LIST)
    text = "#include <a.h>\n\n/* R-14 */\nstatic void it_works(void **state)\n{\n}\n"
    wrong = conformance.trace(rows, [("a.c", text)])
    assert len(wrong) == 1 and "is never run" in wrong[0]


def test_tags_in_strings_do_not_count():
    rows, wrong = traced(inside='    f("/* R-14 */");\n')
    assert not wrong and not rows["R-14"].tests


def test_python_tests_are_traced_too():
    rows = conformance.rows_read(LIST)
    text = 'def test_it():\n    """R-14"""\n\n\ndef test_other():\n    pass\n'
    assert not conformance.trace(rows, [("tests/system/test_a.py", text)])
    assert rows["R-14"].tests == [("tests/system/test_a.py", "test_it")]


def test_what_has_neither_test_nor_reason_is_told(counts):
    rows, _ = traced("/* R-14 */\n")
    wrong = list(conformance.judge(rows, ""))
    assert len(wrong) == 1 and "D-2.1.2-01" in wrong[0] and "has no test" in wrong[0]


def test_a_reason_ends_with_a_test(counts):
    rows, _ = traced("/* D-2.1.2-01, -02, R-14 */\n")
    wrong = list(conformance.judge(rows, ""))
    assert len(wrong) == 1 and "take its reason away" in wrong[0]


def test_a_reason_ends_when_the_feature_is_served(counts):
    rows, _ = traced("/* D-2.1.2-01, R-14 */\n")
    wrong = list(conformance.judge(rows, "if (vdev_has(dev, VIRTIO_F_LATER))"))
    assert len(wrong) == 1 and "is served now" in wrong[0]
    assert not list(conformance.judge(rows, "VIRTIO_F_LATER_STILL"))


def test_the_number_of_requirements_is_that_of_the_specification():
    rows, _ = traced("/* D-2.1.2-01, R-14 */\n")
    assert len(list(conformance.judge(rows, ""))) == 2


def test_a_line_of_the_list_has_two_or_four_fields():
    for bad in ("R-14", "R-14\ttext\tfeature", "R-14\t\tf\tr", "R-14\ta\nR-14\tb"):
        with pytest.raises(ValueError):
            conformance.rows_read(bad)


def test_the_list_of_the_project_is_complete():
    rows = conformance.rows_read((conformance.tree.ROOT / conformance.LIST).read_text())
    kinds = [row.id[0] for row in rows.values()]
    assert [kinds.count(k) for k in "DGRIPMLB"] == [62, 103, 24, 9, 12, 16, 12, 21]
