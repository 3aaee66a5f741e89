# SPDX-License-Identifier: BSD-2-Clause
"""The test bed: a real Xen, a real Dom0 and stock guests under QEMU. See docs/testbed.md."""
