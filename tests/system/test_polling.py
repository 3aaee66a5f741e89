# SPDX-License-Identifier: BSD-2-Clause
"""Polling saves the kicks. Counted by instructions, so that the host's load has no say in it.

On a freely running emulated machine the default of 50 us without work is over before the guest has
made its next request; here 50 us are 50,000 instructions, as they are on hardware.
"""

import re

from tools import stories
from tools.testbed import scripted, util

DEPTH = 32
JOB = f"""wait_dev /dev/vda
{stories.fio_text("randread", depth=DEPTH, size="4M")} --loops=4 >/tmp/out 2>&1 ||
    {{ cat /tmp/out; false; }}
grep total_ios /tmp/job.json
"""

# The counters before and after the guest's life; `held` ends each answer.
SCRIPT = f""". /testbed/lib.sh
domain_make caisson /images/{stories.IMAGE} {stories.IMAGE_MB + 4} 'extra = "disk=data,size=4M"' \
    'seclabel = "{stories.LABEL}"' || exit 1
console_wait caisson 'ready after' 60 || exit 2
guest_make g 256 io "disk = [ '{stories.disk("data")}' ]" && guest_wait g 120 || exit 3
tty=$(xenstore-read "/local/domain/$(xl domid caisson)/console/tty")
echo stats >"$tty"
echo held >"$tty"
console_wait caisson 'stats held.*' 60 || exit 4
sleep 2
console caisson
"""


def test_at_depth_32_fewer_than_one_of_twenty_requests_kicks():
    """The default spin, a deterministic run, 4 KiB random reads."""
    run = scripted.run("polling", SCRIPT, jobs={"io": JOB}, xsm="flask", timeout=540,
                       payload={stories.IMAGE: util.BUILD / stories.IMAGE})
    assert run.code == 0, run.text
    total = re.search(r"stats total requests=(\d+) kicks=(\d+) irqs=(\d+)", run.text)
    assert total, f"no counters in\n{run.text}"
    requests, kicks, irqs = (int(n) for n in total.groups())
    assert requests >= 4096, "fio's 4096 reads did not come to us"
    assert kicks * 20 < requests, f"{kicks} kicks and {irqs} interrupts for {requests} requests"
