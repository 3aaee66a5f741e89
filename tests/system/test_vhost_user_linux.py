# SPDX-License-Identifier: BSD-2-Clause
"""A stock Linux guest in QEMU whose disk is the vhost-user server, emulated without KVM."""

import hashlib
import platform
import random
import re
import subprocess
import time

import pytest

import vhost_user_clients as clients
from tools.testbed import initramfs
from tools.testbed.packages import module_bytes
from vhost_user_clients import Server

MIB = 1 << 20
DISK_BYTES = 8 * MIB
GUEST_TIMEOUT_S = 180
END = "GUEST-END"

# What the guest does: says what it sees, checks the first half, writes and reads the second half.
INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
insmod /virtio_blk.ko
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
echo "features $(cat /sys/block/vda/device/features)"
echo "sectors $(cat /sys/block/vda/size)"
echo "serial $(cat /sys/block/vda/serial)"
echo "queues $(ls /sys/block/vda/mq | wc -l)"
echo "cache $(cat /sys/block/vda/queue/write_cache)"
echo "first $(dd if=/dev/vda bs=64k count=64 2>/dev/null | md5sum)"
pass=0
while [ $pass -lt PASSES ]; do
  pass=$((pass+1))
  head -c 4194304 /dev/urandom > /tmp.img
  dd if=/tmp.img of=/dev/vda bs=BLOCK seek=SEEK conv=fsync 2>/dev/null || echo "write-failed"
  echo 3 > /proc/sys/vm/drop_caches
  want=$(md5sum < /tmp.img); got=$(dd if=/dev/vda bs=1M skip=4 2>/dev/null | md5sum)
  [ "$want" = "$got" ] || echo "MISMATCH"
  echo "pass $pass $got"
done
echo GUEST-END
sync; poweroff -f
"""


@pytest.fixture(scope="session", autouse=True)
def built():
    """The server, built by make as a user would; this guest is of the machine's own kind."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest of this test is an x86-64 PC")
    subprocess.run(["make", "-s", "vhost-user"], cwd=clients.ROOT, check=True, timeout=300)


# The other guest's job: fio writes, and checks what it wrote, until the time is over.
FIO_INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs t /tmp
insmod /virtio_blk.ko
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
cd /fio
pass=0
echo "first pass"
while [ $(cut -d. -f1 /proc/uptime) -lt SECONDS ]; do
  pass=$((pass+1))
  FIO --name=v --filename=/dev/vda --ioengine=io_uring --iodepth=32 --direct=1 --rw=randwrite \
    --bs=4k --size=8m --fdatasync=2 --randseed=$pass --verify=crc32c --verify_fatal=1 \
    > /tmp/out 2>&1 \
    && echo "pass $pass" || { echo "MISMATCH"; cat /tmp/out; break; }
done
echo GUEST-END
sync; poweroff -f
"""


# The third guest's job: what the disk can do beyond reading and writing.
FEATURES_INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
insmod /virtio_blk.ko
cd /sys/block/vda
n=0
while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
echo "queues $(ls mq | wc -l)"
for cpu in 0 1; do
  taskset $((cpu+1)) dd if=/dev/vda of=/dev/null bs=64k count=32 iflag=direct 2>/dev/null
done
blkdiscard -o 1048576 -l 2097152 /dev/vda && echo "discarded $(dd if=/dev/vda bs=1M skip=1 \
  count=2 iflag=direct 2>/dev/null | tr -d '\000' | wc -c)"
echo "write through" > cache_type
echo "through $(cat cache_type) $(cat queue/write_cache)"
dd if=/dev/zero of=/dev/vda bs=4k seek=100 count=16 oflag=direct 2>/dev/null
echo "write back" > cache_type
echo "back $(cat cache_type) $(cat queue/write_cache)"
echo "waiting $(cat size)"
n=0
while [ $(cat size) = 16384 ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
echo "grown $(cat size)"
head -c 1048576 /dev/urandom > /tmp.img
dd if=/tmp.img of=/dev/vda bs=64k seek=240 conv=fsync 2>/dev/null
echo "last $(md5sum < /tmp.img)"
echo GUEST-END
sync; poweroff -f
"""


def boot_archive(path, passes, block, fio_seconds, job):
    """Write the guest's initial file tree."""
    _, modules = clients.guest_kernel()
    tree = initramfs.Tree()
    for name in ("dev", "proc", "sys", "bin"):
        tree.dir(name)
    tree.file("bin/busybox", clients.tree() / "usr/bin/busybox", 0o755)
    tree.file("virtio_blk.ko",
              module_bytes(next(modules.glob("kernel/drivers/block/virtio_blk.ko*"))))
    job = (job or INIT).replace("PASSES", str(passes)).replace("BLOCK", str(block))
    job = job.replace("SEEK", str(DISK_BYTES // 2 // block))
    if fio_seconds:
        tree.dir("tmp")
        files, argv = clients.fio_files()
        for name, source in files.items():
            tree.file(f"fio/{name}", source, 0o755)
        job = FIO_INIT.replace("FIO", " ".join(argv)).replace("SECONDS", str(fio_seconds))
    tree.file("init", job, 0o755)
    tree.write(path)


class Guest:
    """A running QEMU with the disk at the server's socket."""

    def __init__(self, folder, socket, passes=1, block=65536, device="", reconnect=False,
                 fio_seconds=0, job=None, queues=1):
        kernel, _ = clients.guest_kernel()
        archive = folder / "initramfs"
        boot_archive(archive, passes, block, fio_seconds, job)
        self.console = folder / "console"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35,accel=tcg,memory-backend=mem", "-cpu", "max",
             "-m", "256", "-smp", str(queues),
             "-object", "memory-backend-memfd,id=mem,size=256M,share=on",
             "-nodefaults", "-nic", "none", "-display", "none", "-no-reboot",
             "-serial", f"file:{self.console}", "-kernel", str(kernel), "-initrd", str(archive),
             "-append", "console=ttyS0 panic=-1 quiet",
             "-chardev", f"socket,id=disk,path={socket}" + (",reconnect-ms=100" if reconnect
                                                            else ""),
             "-device", f"vhost-user-blk-pci,chardev=disk,num-queues={queues},disable-legacy=on"
             + device],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def said(self):
        """Return the console's text so far."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def wait(self):
        """Wait for the end; returns {first word: rest} of what the guest said."""
        out, _ = self.process.communicate(timeout=GUEST_TIMEOUT_S)
        text = self.said()
        assert END in text, text[-3000:] + out
        return dict(re.findall(r"^(\w+) (.*?)\r?$", text, re.M))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.mark.parametrize("device, block, event_idx, indirect, packed", [
    ("", 1 << 20, True, True, False),
    (",event_idx=off,indirect_desc=off", 4096, False, False, False),
    (",packed=on", 1 << 20, True, True, True),
    (",packed=on,event_idx=off,indirect_desc=off", 4096, False, False, True),
])
def test_a_stock_guest_reads_and_writes(tmp_path, device, block, event_idx, indirect, packed):
    image = tmp_path / "image"
    content = random.Random(11).randbytes(DISK_BYTES)
    image.write_bytes(content)
    with Server(f"--blk-file={image}", "--serial=house-number-12", folder=tmp_path) as server:
        with Guest(tmp_path, server.socket, block=block, device=device) as guest:
            said = guest.wait()
        assert server.stop() == 0
    features = said["features"]
    assert features[32] == "1"
    assert features[29] == str(int(event_idx)) and features[28] == str(int(indirect))
    assert features[34] == str(int(packed))
    assert said["sectors"] == str(DISK_BYTES // 512)
    assert said["serial"] == "house-number-12"
    assert said["cache"] == "write back"
    assert said["first"].split()[0] == hashlib.md5(content[:DISK_BYTES // 2]).hexdigest()
    assert "MISMATCH" not in guest.said() and "write-failed" not in guest.said()
    after = image.read_bytes()
    assert after[:DISK_BYTES // 2] == content[:DISK_BYTES // 2]
    assert said["pass"].split()[1] == hashlib.md5(after[DISK_BYTES // 2:]).hexdigest()
    assert server.statistics["disk0"]["flushes"] > 0
    assert server.statistics["disk0"]["errors-driver"] == 0
    assert server.statistics["disk0"]["queues-packed"] == int(packed)


def test_a_stock_guest_discards_toggles_the_cache_and_sees_the_disk_grow(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(b"\x5a" * DISK_BYTES)
    before = image.stat().st_blocks
    with Server(f"--blk-file={image}", "--queues=2", folder=tmp_path) as server:
        with Guest(tmp_path, server.socket, job=FEATURES_INIT, queues=2) as guest:
            deadline = time.monotonic() + GUEST_TIMEOUT_S
            while "waiting " not in guest.said() and time.monotonic() < deadline:
                time.sleep(0.1)
            after_discard = image.stat().st_blocks
            with open(image, "r+b") as file:
                file.truncate(2 * DISK_BYTES)
            said = guest.wait()
        assert server.stop() == 0
    counters = server.statistics["disk0"]
    assert said["queues"] == "2" and counters["queues-used"] == 2
    assert said["discarded"] == "0"
    assert counters["discards"] > 0
    assert (before - after_discard) * 512 >= 2 * MIB - 65536
    assert said["through"] == "write through write through"
    assert said["back"] == "write back write back"
    assert counters["flushes"] > 0
    assert said["waiting"] == str(DISK_BYTES // 512)
    assert said["grown"] == str(2 * DISK_BYTES // 512)
    assert server.statistics["loop"]["resizes"] == 1
    content = image.read_bytes()
    assert said["last"].split()[0] == hashlib.md5(content[-MIB:]).hexdigest()
    assert content[MIB:3 * MIB] == bytes(2 * MIB)
    assert content[4 * MIB:DISK_BYTES] == b"\x5a" * (DISK_BYTES - 4 * MIB)
    assert counters["errors-driver"] == counters["errors-medium"] == 0


@pytest.mark.slow
def test_the_server_dies_under_a_stock_guest_and_the_guest_goes_on(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(DISK_BYTES))
    kills = 4
    with Server(f"--blk-file={image}", folder=tmp_path) as server:
        with Guest(tmp_path, server.socket, passes=3, block=4096, reconnect=True) as guest:
            deadline = time.monotonic() + GUEST_TIMEOUT_S
            killed = 0
            while killed < kills and time.monotonic() < deadline and guest.process.poll() is None:
                time.sleep(0.5)
                said = guest.said()
                if "first " in said and END not in said:
                    server.kill()
                    server.start()
                    killed += 1
            said = guest.wait()
        server.stop()
    assert killed >= 2
    assert "MISMATCH" not in guest.said() and "write-failed" not in guest.said()
    assert said["pass"].split()[0] == "3"
    after = image.read_bytes()
    assert said["pass"].split()[1] == hashlib.md5(after[DISK_BYTES // 2:]).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["", ",packed=on"])
def test_killed_fifty_times_under_fio_the_guest_goes_on_and_finds_all_its_data(tmp_path, device):
    """Must show 6: the successor serves what was in flight; no request fails, no byte differs."""
    image = tmp_path / "image"
    image.write_bytes(bytes(DISK_BYTES))
    kills, killed = 50, 0
    rng = random.Random(6)
    with Server(f"--blk-file={image}", folder=tmp_path) as server:
        with Guest(tmp_path, server.socket, reconnect=True, fio_seconds=90,
                   device=device) as guest:
            deadline = time.monotonic() + GUEST_TIMEOUT_S
            while killed < kills and time.monotonic() < deadline and guest.process.poll() is None:
                time.sleep(rng.uniform(0.2, 1.0))
                said = guest.said()
                if "first pass" in said and END not in said:
                    server.kill()
                    server.start()
                    killed += 1
            guest.wait()
        server.stop()
        again = re.findall(r"(\d+) requests that our predecessor took", server.log.read_text())
    # The others found us without work: a packed ring's requests are recorded one by one.
    assert len(again) >= (1 if device else kills // 10)
    said = guest.said()
    assert "MISMATCH" not in said, said[-3000:]
    assert "I/O error" not in said, said[-3000:]
    assert killed == kills
    assert re.findall(r"^pass (\d+)", said, re.M)
