# SPDX-License-Identifier: BSD-2-Clause
"""Device classes beside the disk, in a stock guest: entropy and console."""

import re
import time

import pytest

from tools import stories
from tools.stories import Storage, disk

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
ENTROPY, CONSOLE = 4, 3     # virtio device ids
RANDOM_KIB = 48             # at 64 KiB per second, after 16 KiB at once
ANSWER_TIMEOUT_S = 30
FLOOD_LINES = 1500


@pytest.fixture
def served(bed):
    """A storage domain, and a stock guest with a disk, an entropy device and a console of it."""
    store = Storage(bed, "disk=data,size=1M")
    base = store.held()
    guest = bed.create_guest("g1", disks=[disk("data")], memory=256, extra="quiet",
                             virtio=[stories.virtio(device=ENTROPY),
                                     stories.virtio(device=CONSOLE)])
    return store, base, guest


@pytest.mark.bed(**FLASK)
def test_a_stock_guest_draws_entropy_and_talks_on_its_console(served):
    """Both at once, and nothing is held when the guest is gone."""
    store, base, guest = served
    _entropy(store, guest)
    _console(store, guest)
    guest.destroy()
    store.wait_held(base)


def _entropy(store, guest):
    """The kernel's driver reads from us what no packer can shorten, no two blocks the same."""
    guest.run("modprobe virtio-rng; cd /sys/class/misc/hw_random; "
              "n=0; until grep -q virtio_rng rng_available; do n=$((n + 1)); [ $n -lt 50 ]; "
              "sleep 0.1; done; tr ' ' '\\n' <rng_available | grep virtio_rng >rng_current; "
              "grep -q virtio_rng rng_current")
    before = _device(store, guest, "entropy")["bytes"]
    sizes = guest.run(f"dd if=/dev/hwrng of=/tmp/random bs=1k count={RANDOM_KIB} "
                      "iflag=fullblock 2>/dev/null; wc -c </tmp/random; gzip -9c /tmp/random | "
                      "wc -c; hexdump -v -e '16/1 \"%02x\" \"\\n\"' /tmp/random | sort -u | wc -l",
                      timeout=120)
    size, packed, different = map(int, sizes.split())
    assert size == RANDOM_KIB << 10, f"{size} bytes were read"
    assert packed >= size, f"{size} random bytes were packed into {packed}"
    assert different == size // 16, "two pieces of 16 bytes are the same"
    given = _device(store, guest, "entropy")["bytes"] - before
    assert given >= size, f"the guest read {size} bytes, we gave {given}: they are not ours"


def _device(store, guest, name):
    areas = store.stats()
    found = [v for key, v in areas.items()
             if re.fullmatch(rf"device dom{guest.id()}/\d+ {name}", key)]
    assert len(found) == 1, f"no device {name} among {list(areas)}"
    return found[0]


def _console(store, guest):
    """What the guest writes is in our log; what is typed for it arrives; a flood is cut."""
    # hvc0 is the Xen console that the test bed talks on.
    tty = guest.run("ls /dev/hvc[1-9] | while read t; do stty -F $t raw -echo 2>/dev/null && "
                    "echo $t; done | head -n 1").strip()
    assert tty, "no hvc of ours: " + guest.run("dmesg | grep -i -e hvc -e virtio; ls /dev/hvc*")
    line = rf"dom{guest.id()}/\d+ console\| "
    guest.run(f"printf 'one \\033[1mbold\\033[0m line\\n' >{tty}")
    store.domain.wait_console(line + "one bold line", ANSWER_TIMEOUT_S)
    guest.start(f"head -n 1 <{tty}")
    store.say(f"say {guest.id()} what is typed")
    code, text = guest.finish(ANSWER_TIMEOUT_S)
    assert (code, text.strip()) == (0, "what is typed")
    # Lines this short are too many per second however slow the machine is.
    guest.run(f"{{ yes x | head -n {FLOOD_LINES}; echo last of all; }} >/tmp/flood; "
              f"cat /tmp/flood >{tty}; sleep 1; echo after >{tty}", timeout=120)
    store.domain.wait_console(r"\d+ lines are not shown: too many per second", ANSWER_TIMEOUT_S)
    store.domain.wait_console(line + "after", ANSWER_TIMEOUT_S)
    assert 0 < len(re.findall(line + "x", store.console())) < FLOOD_LINES
    seen = len(store.console())
    store.say(f"tail {guest.id()}")
    _wait_text(store, seen, line + "after")
    assert re.search(line + "last of all", store.console()[seen:]), "tail has not what was hidden"


def _wait_text(store, seen, pattern):
    end = time.monotonic() + ANSWER_TIMEOUT_S
    while not re.search(pattern, store.console()[seen:]):
        assert time.monotonic() < end, f"'{pattern}' did not come:\n{store.console()[seen:]}"
        time.sleep(0.2)
