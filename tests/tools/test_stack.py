# SPDX-License-Identifier: BSD-2-Clause
"""stack.py: depths agree with the compiler's own figures, and nothing unknown is passed over."""
import cross
import pytest
import stack

PRELUDE = "void use(volatile char *p); int pick(int n);\n"
COMMON = """
    void use(volatile char *p) { p[0] = 1; }
    int pick(int n) { volatile char b[200]; b[n] = 1; use(b); return b[n]; }
    """
ENTRY = [("start_c", "main", "stack_bottom", "stack_top")]


def measure(tmp_path, text, **tables):
    elf, _ = cross.build(tmp_path, {"main.c": PRELUDE + text + COMMON})
    tables = {"indirect": [], "recursion": {}, **tables}
    rows, bad, chains = stack.measure(stack.disassemble(elf), ENTRY, **tables)
    return {r["name"]: r["value"] for r in rows}, bad, chains, cross.frames(tmp_path)


def test_calls_add_up_to_the_compilers_frames(tmp_path):
    rows, bad, chains, frames = measure(tmp_path, """
        int start_c(int n); int deep(int n);
        int deep(int n) { volatile char b[500]; b[n] = 1; use(b); return pick(n) + b[n]; }
        int start_c(int n) { int a = pick(n); return a + deep(n); }
        """)
    assert bad == []
    assert rows["main depth"] == (frames["start_c"] + frames["deep"]
                                  + max(frames["pick"], frames["use"]))
    assert [name for name, _ in chains["main"]] == ["start_c", "deep", "pick"]
    assert rows["main stack"] == 4096


def test_large_frames_and_frames_of_one_branch_only(tmp_path):
    rows, bad, _, frames = measure(tmp_path, """
        int start_c(int n);
        int start_c(int n)
        {
            if (n > 5) { volatile char b[70000]; use(b + n); return b[n]; }
            return n;
        }
        """)
    assert rows["main depth"] == frames["start_c"] + frames["use"] > 70000
    assert len(bad) == 1 and "its stack has 4096" in bad[0]


def test_pointers_must_be_explained(tmp_path):
    text = """
        int start_c(int (*f)(int));
        int start_c(int (*f)(int)) { volatile char b[40]; use(b); return f(3) + pick(1) + b[0]; }
        """
    _, bad, _, _ = measure(tmp_path, text)
    assert len(bad) == 1 and "start_c: calls through a pointer" in bad[0]
    rows, bad, _, frames = measure(tmp_path, text, indirect=[("start_*", ["pick"])])
    assert bad == []
    assert rows["main depth"] == frames["start_c"] + frames["pick"]


def test_circles_must_be_explained(tmp_path):
    text = """
        int start_c(int n); int again(int n);
        int again(int n)
        {
            volatile char b[100];
            use(b);
            return n > 0 ? again(n - b[0]) * 3 + b[1] : 0;
        }
        int start_c(int n) { return again(n) + pick(2); }
        """
    _, bad, _, _ = measure(tmp_path, text)
    assert any("calls in a circle: again -> again" in b for b in bad)
    rows, bad, _, frames = measure(tmp_path, text, recursion={"again": 4})
    assert bad == []
    assert rows["main depth"] >= frames["start_c"] + 4 * frames["again"]


def test_stack_of_unknown_size_is_an_error(tmp_path):
    _, bad, _, _ = measure(tmp_path, """
        int start_c(int n);
        int start_c(int n) { volatile char b[n]; use(b); return b[0]; }
        """)
    assert any("start_c" in b and "sp" in b for b in bad)


def test_a_jump_table_hides_nothing(tmp_path):
    cases = "".join(f"case {i}: {{ volatile char b[{20 * i + 64}]; use(b); r = b[{i}]; break; }}\n"
                    for i in range(9))
    rows, bad, _, frames = measure(tmp_path, f"""
        int start_c(int n);
        int start_c(int n) {{ int r = 0; switch (n) {{ {cases} }} return r; }}
        """)
    assert bad == []
    assert rows["main depth"] == frames["start_c"] + frames["use"]


def test_a_missing_entry_is_an_error(tmp_path):
    elf, _ = cross.build(tmp_path, {"main.c": PRELUDE + "int start_c(void);"
                                    "int start_c(void) { return pick(1); }" + COMMON})
    _, bad, _ = stack.measure(stack.disassemble(elf), [("gone", "x", "a", "b")], indirect=[],
                              recursion={})
    assert bad == ["there is no function gone: mend ENTRIES in tools/stack_calls.py"]


def test_no_elf_is_said(tmp_path):
    with pytest.raises(stack.StackError, match="run make"):
        stack.disassemble(tmp_path / "none.elf")
