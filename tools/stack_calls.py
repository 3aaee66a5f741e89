# SPDX-License-Identifier: BSD-2-Clause
"""stack_calls.py - what tools/stack.py cannot read from the instructions.

Names may hold * as in a shell. The first line of INDIRECT whose caller matches counts.
"""

# (function, what it is, bottom and top of its stack in linker/image.lds)
ENTRIES = [
    ("start_c", "boot and poll loop", "stack_bottom", "stack_top"),
    ("vectors", "exception report", "trap_stack_bottom", "trap_stack_top"),
]

# Calls through pointers: (caller, everything that can be behind the pointer)
INDIRECT = [
]

# Functions that call themselves, however far round: {name: most nested calls}
RECURSION = {
}

# Calls after which the caller's next instruction is somebody else's.
NEVER_RETURN = {"panic", "__stack_chk_fail", "abort"}
