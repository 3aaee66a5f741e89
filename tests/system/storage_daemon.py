#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""storage_daemon.py - stands where QEMU's tests expect qemu-storage-daemon.

Turns its --blockdev and --export options into --disk options of the vhost-user server that
CAISSON_VHOST_USER names, and becomes that server.
"""
import os
import sys


def options_of(text):
    """Return {key: value} of KEY=VALUE,KEY=VALUE,..."""
    return dict(pair.split("=", 1) for pair in text.split(","))


def main():
    """Read our own command line, then be the server."""
    words = iter(sys.argv[1:])
    files, disks = {}, []
    for word in words:
        values = options_of(next(words))
        if word == "--blockdev" and values["driver"] == "file":
            files[values["node-name"]] = values["filename"]
        elif word == "--export" and values["type"] == "vhost-user-blk":
            disks.append(f"--disk=fd={values['addr.str']},file={files[values['node-name']]},"
                         f"queues={values['num-queues']},ranges=1"
                         + ("" if values.get("writable") == "on" else ",ro"))
        else:
            sys.exit(f"storage_daemon.py: {word} is not understood")
    server = os.environ["CAISSON_VHOST_USER"]
    os.execv(server, [server, "--quiet", *disks])


if __name__ == "__main__":
    main()
