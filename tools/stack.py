#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""stack.py - how deep each stack of the image can get, from the instructions that were linked.

Every function of build/caisson.elf (ours, assembly, the C library's) is walked along its branches,
adding up what it takes from and gives back to sp; calls are followed with the depth they happen at.
Calls through pointers are told by INDIRECT, a loop of calls by RECURSION. A call that neither
explains is an error: the figure would be a guess.

  tools/stack.py           one line per entry; writes build/results/stack.json
  tools/stack.py --deep    the chain of calls to the deepest point, too

Exit 1 when an entry is deeper than its stack or something is unexplained.
"""
import fnmatch
import os
import re
import subprocess
import sys
from collections import namedtuple

import results
from stack_calls import ENTRIES, INDIRECT, NEVER_RETURN, RECURSION

ELF = results.ROOT / "build" / "caisson.elf"
OBJDUMP = os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-") + "objdump"
OBJDUMP_LIMIT_S = 60
DEPTH_MAX = 1 << 24             # bytes; beyond it a walk does not come to an end
STEPS_MAX = 1_000_000           # instructions visited in one function
HOW = "branches of the linked instructions walked, calls followed (tools/stack.py)"

CLONE = re.compile(r"(?:\.(?:lto_priv|isra|constprop|part)(?:\.\d+)?)+$")
SOURCE = re.compile(r"^(\S+\.[chS]):\d+(?: \(discriminator \d+\))?$")
LABEL = re.compile(r"^([0-9a-f]+) <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+([a-z][\w.]*)\s*(.*?)(?:\s*//.*)?$")
SYMBOL = re.compile(r"^([0-9a-f]+) .{7} \S+\s+[0-9a-f]+ (?:\.hidden )?(\S+)$")
TARGET = re.compile(r"\b([0-9a-f]+) <")
SP_ADD = re.compile(r"(add|sub) sp, (sp|x29), #(\w+)(?:, lsl #(\d+))?$")
SP_REGISTER = re.compile(r"(add|sub) sp, sp, (x\d+)$")
PUSH = re.compile(r"(?:str|stp) .*\[sp, #-(\d+)\]!$")
POP = re.compile(r"(?:ldr|ldp) .*\[sp\], #(\d+)$")
FRAME = re.compile(r"(?:mov x29, sp|add x29, sp, #(\w+))$")
CONSTANT = re.compile(r"mov [xw](\d+), #(0x[0-9a-f]+|\d+)$")
CONSTANT_HIGH = re.compile(r"movk [xw](\d+), #(0x[0-9a-f]+|\d+), lsl #16$")
ENDS = ("ret", "eret", "udf", "brk")

Function = namedtuple("Function", "name start code")   # code: {address: (text, next, source file)}
Call = namedtuple("Call", "depth target at")           # target: address, or None for a pointer


class StackError(Exception):
    """The figures cannot be had; the text says why."""


def disassemble(elf):
    try:
        return subprocess.run([OBJDUMP, "-dlt", "--no-show-raw-insn", str(elf)], check=True,
                              capture_output=True, text=True, timeout=OBJDUMP_LIMIT_S).stdout
    except FileNotFoundError as e:
        raise StackError(f"no {OBJDUMP}: run tools/setup.sh") from e
    except subprocess.SubprocessError as e:
        raise StackError(f"{OBJDUMP} cannot read {elf}: run make ({e})") from e


def parse(listing):
    """({start: Function}, {symbol: address}) of an objdump -dlt listing."""
    symbols, functions = {}, {}
    code = last = None
    source = ""
    for line in listing.split("\n"):
        label = LABEL.match(line)
        if label:
            code, last, source = {}, None, ""
            name = CLONE.sub("", label.group(2))
            functions[int(label.group(1), 16)] = Function(name, int(label.group(1), 16), code)
            continue
        found = INSTRUCTION.match(line)
        if found and code is not None:
            at = int(found.group(1), 16)
            code[at] = (f"{found.group(2)} {found.group(3)}".rstrip(), None, source)
            if last is not None:
                code[last] = (code[last][0], at, code[last][2])
            last = at
            continue
        place = SOURCE.match(line)
        if place:
            source = os.path.relpath(place.group(1), results.ROOT) if place.group(1)[0] == "/" \
                else os.path.normpath(place.group(1))
            continue
        symbol = SYMBOL.match(line)
        if symbol:
            symbols[symbol.group(2)] = int(symbol.group(1), 16)
    return functions, symbols


def number(text):
    return int(text, 0)


class Walk:
    """All ways through one function: its own depth, and its calls with the depth of each."""

    def __init__(self, function):
        self.function = function
        self.depth = 0
        self.calls = set()
        self.problems = set()
        self.constants = {}
        self.seen = {}
        jumps = self._walk([(function.start, 0, 0)])
        # A jump table: where it leads is data, so everything not yet reached may be a case.
        left = [at for at in function.code if at not in self.seen]
        if jumps and left:
            depth, frame, _ = max(jumps)
            self._walk([(at, depth, frame) for at in left])
        else:
            self.calls |= {Call(depth, None, at) for depth, _, at in jumps}

    def _walk(self, todo):
        jumps = set()
        steps = 0
        while todo:
            at, depth, frame = todo.pop()
            while at is not None and self.seen.get(at, -1) < depth:
                steps += 1
                if steps > STEPS_MAX or depth > DEPTH_MAX:
                    self.problems.add("the walk finds no end: a loop that takes stack")
                    return jumps
                self.seen[at] = depth
                text, after, _ = self.function.code[at]
                depth, frame = self._stack(text, depth, frame)
                self.depth = max(self.depth, depth)
                at = self._branch(text, at, after, depth, frame, todo, jumps)
        return jumps

    def _stack(self, text, depth, frame):
        """What an instruction does to sp; returns the new (depth, depth of the frame pointer)."""
        found = SP_ADD.match(text)
        if found:
            amount = number(found.group(3)) << int(found.group(4) or 0)
            amount = amount if found.group(1) == "sub" else -amount
            return (depth if found.group(2) == "sp" else frame) + amount, frame
        found = PUSH.match(text)
        if found:
            return depth + int(found.group(1)), frame
        found = POP.match(text)
        if found:
            return depth - int(found.group(1)), frame
        found = FRAME.match(text)
        if found:
            return depth, depth - number(found.group(1) or "0")
        if text == "mov sp, x29":
            return frame, frame
        if text.startswith("mov sp, "):
            return 0, frame            # another stack begins
        found = SP_REGISTER.match(text)
        if found:
            amount = self.constants.get(found.group(2)[1:])
            if amount is None:
                self.problems.add(f"takes an amount of stack known only at run time: {text}")
                return depth, frame
            return depth + (amount if found.group(1) == "sub" else -amount), frame
        if re.match(r"(?:and|bic|orr|ldr) sp,", text):
            self.problems.add(f"moves sp in a way this tool does not know: {text}")
        found = CONSTANT.match(text)
        if found:
            self.constants[found.group(1)] = number(found.group(2))
        found = CONSTANT_HIGH.match(text)
        if found and found.group(1) in self.constants:
            self.constants[found.group(1)] |= number(found.group(2)) << 16
        return depth, frame

    def _branch(self, text, at, after, depth, frame, todo, jumps):
        """Where the walk goes on; None when this way ends."""
        verb = text.split(" ", 1)[0]
        if verb in ENDS:
            return None
        if verb == "blr":
            self.calls.add(Call(depth, None, at))
            return after
        if verb == "br":
            jumps.add((depth, frame, at))
            return None
        found = TARGET.search(text)
        if verb == "bl" and found:
            self.calls.add(Call(depth, int(found.group(1), 16), at))
            name = CLONE.sub("", re.search(r"<([^>+]+)", text).group(1))
            return None if name in NEVER_RETURN else after
        if found and (verb in ("b", "cbz", "cbnz", "tbz", "tbnz") or verb.startswith("b.")):
            target = int(found.group(1), 16)
            if target in self.function.code:
                todo.append((target, depth, frame))
            else:
                self.calls.add(Call(depth, target, at))
            return None if verb == "b" else after
        return after


class Graph:
    """Depth of every function with all it calls."""

    def __init__(self, functions, indirect=INDIRECT, recursion=RECURSION):
        self.functions = functions
        self.by_name = {}
        for function in functions.values():
            self.by_name.setdefault(function.name, []).append(function.start)
        self.indirect = indirect
        self.recursion = recursion
        self.walks = {}
        self.known = {}
        self.problems = set()

    def walk(self, start):
        if start not in self.walks:
            self.walks[start] = Walk(self.functions[start])
            name = self.functions[start].name
            self.problems |= {f"{name}: {p}" for p in self.walks[start].problems}
        return self.walks[start]

    def _callees(self, start, call):
        """Functions a call may reach."""
        name = self.functions[start].name
        if call.target is not None:
            if call.target in self.functions:
                return [call.target]
            inside = any(call.target in f.code for f in self.functions.values())
            if not inside:
                self.problems.add(f"{name}: calls {call.target:#x}, which is no function")
            return []      # into the middle: a cold part that comes back to its function
        source = self.functions[start].code[call.at][2]
        for caller, callees in self.indirect:
            if fnmatch.fnmatchcase(name, caller) or source == caller:
                return [at for callee in callees for at in self._named(callee)]
        self.problems.add(f"{name}: calls through a pointer in {source or 'a library'}: "
                          "say in tools/stack_calls.py what it may be")
        return []

    def _times(self, name):
        """How many calls of a function may be nested; None when it must not call itself."""
        return next((n for known, n in self.recursion.items()
                     if fnmatch.fnmatchcase(name, known)), None)

    def _named(self, pattern):
        """Where the functions of a name begin; none is an error of the table."""
        found = [at for known, starts in self.by_name.items()
                 if fnmatch.fnmatchcase(known, pattern) for at in starts]
        if not found:
            self.problems.add(f"{pattern} in INDIRECT is no function: mend tools/stack_calls.py")
        return found

    def depth(self, start, above=()):
        """(bytes, chain of (name, bytes so far)) at the deepest point below start."""
        if start in self.known:
            return self.known[start]
        name = self.functions[start].name
        if start in above:
            loop = [self.functions[s].name for s in above[above.index(start):]]
            if all(self._times(n) is None for n in loop):
                self.problems.add("calls in a circle: " + " -> ".join([*loop, name]))
            return 0, ()
        walk = self.walk(start)
        best = (walk.depth, ((name, walk.depth),))
        for call in sorted(walk.calls, key=str):
            for callee in self._callees(start, call):
                below, chain = self.depth(callee, (*above, start))
                if call.depth + below > best[0]:
                    best = (call.depth + below, ((name, call.depth), *chain))
        best = (best[0] * (self._times(name) or 1), best[1])
        self.known[start] = best
        return best


def measure(listing, entries=ENTRIES, **tables):
    """(rows, messages, chains) for every entry."""
    functions, symbols = parse(listing)
    graph = Graph(functions, **tables)
    rows, bad, chains = [], [], {}
    for name, what, bottom, top in entries:
        if name not in graph.by_name:
            bad.append(f"there is no function {name}: mend ENTRIES in tools/stack_calls.py")
            continue
        depth, chain = graph.depth(graph.by_name[name][0])
        chains[what] = chain
        rows.append(results.row(f"{what} depth", depth, "bytes", HOW))
        if bottom not in symbols or top not in symbols:
            bad.append(f"{what}: no symbols {bottom} and {top} tell how large its stack is")
            continue
        size = symbols[top] - symbols[bottom]
        rows.append(results.row(f"{what} stack", size, "bytes", f"{top} - {bottom}"))
        if depth > size:
            bad.append(f"{what}: {depth} bytes deep, but its stack has {size}")
    bad += sorted(graph.problems)
    return rows, bad, chains


def main(argv):
    if argv not in ([], ["--deep"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        rows, bad, chains = measure(disassemble(ELF))
    except StackError as e:
        print(f"stack: {e}", file=sys.stderr)
        return 2
    print(results.table(rows))
    if argv:
        for what, chain in chains.items():
            print(f"\n{what}")
            total = 0
            for name, depth in chain:
                total += depth
                print(f"  {total:>7}  +{depth:<6} {name}")
    for line in bad:
        print(f"stack: {line}", file=sys.stderr)
    if rows:
        results.write("stack", rows)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
