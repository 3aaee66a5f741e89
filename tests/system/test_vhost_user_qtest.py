# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's own tests of vhost-user-blk: their driver, their machine, our server."""

import platform
import subprocess

import pytest

import qemu_qtest
import vhost_user_clients as clients

TESTS = ("basic", "indirect", "idx", "nxvirtq", "hotplug", "multiqueue")


@pytest.fixture(scope="session", autouse=True)
def built():
    """The server, built by make as a user would."""
    if platform.machine() != "x86_64":
        pytest.skip("QEMU's tests of vhost-user-blk drive a PC")
    subprocess.run(["make", "-s", "vhost-user"], cwd=clients.ROOT, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
def test_qemus_own_test_passes(tmp_path, name):
    passed, said = qemu_qtest.run(name, tmp_path)
    assert passed, said
