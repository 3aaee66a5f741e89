# SPDX-License-Identifier: BSD-2-Clause
"""The vhost-user server under clients that nobody here wrote, and under our own."""

import json
import random
import socket
import subprocess
import time

import pytest

import vhost_user_clients as clients
from vhost_user_clients import Server, blkio, fio, qemu_tool

CLIENT_LIMIT_S = 60
MIB = 1 << 20


@pytest.fixture(scope="session", autouse=True)
def built():
    """The server and our client, built by make as a user would."""
    subprocess.run(["make", "-s", "vhost-user"], cwd=clients.ROOT, check=True, timeout=300)


def run_server(*options):
    """Run the server to its end; for command lines that cannot succeed."""
    return subprocess.run([clients.SERVER, *options], capture_output=True, text=True, timeout=10,
                          check=False)


def own_client(server, *options, limit=CLIENT_LIMIT_S):
    """Run our client; returns what it measured."""
    done = subprocess.run([clients.CLIENT, f"--socket={server.socket}", *options], timeout=limit,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def qemu_io(server, *commands, flags=()):
    """Run qemu-io commands on the server's disk; returns its output."""
    args = [a for c in commands for a in ("-c", c)]
    done = qemu_tool("qemu-io", *flags, "--image-opts", blkio(server.socket), *args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- the command line ---------------------------------------------------------------------------

def test_help_names_every_option():
    done = run_server("--help")
    assert done.returncode == 0
    for option in ("--socket-path", "--fd", "--blk-file", "--memory", "--read-only", "--serial",
                   "--queues", "--ranges", "--disk", "--poll", "--without",
                   "--print-capabilities", "--quiet"):
        assert option in done.stdout


def test_capabilities_are_json():
    done = run_server("--print-capabilities")
    assert done.returncode == 0
    assert json.loads(done.stdout)["type"] == "block"


@pytest.mark.parametrize("options, words", [
    ([], "no disk to serve"),
    (["--memory=64M"], "needs one socket"),
    (["--socket-path=/tmp/x"], "needs one medium"),
    (["--socket-path=/tmp/x", "--memory=1M", "--blk-file=/tmp/y"], "needs one medium"),
    (["--socket-path=/tmp/x", "--memory=12"], "sectors of 512"),
    (["--socket-path=/tmp/x", "--memory=0"], "sectors of 512"),
    (["--socket-path=/tmp/x", "--memory=64Q"], "units are"),
    (["--socket-path=/tmp/x", "--memory=99999999999999999999"], "not a size"),
    (["--socket-path=/tmp/x", "--memory=9999999T"], "more than can be"),
    (["--socket-path=/tmp/x", "--memory=-1"], "not a size"),
    (["--socket-path=/tmp/x", "--blk-file=/nonexistent"], "No such file"),
    (["--socket-path=/nonexistent/x", "--memory=1M"], "No such file"),
    (["--socket-path=/" + "x" * 108, "--memory=1M"], "longer than 107"),
    (["--socket-path=/tmp/x", "--blk-file=/dev/null"], "neither a file"),
    (["--fd=99", "--memory=1M"], "not a socket"),
    (["--fd=x", "--memory=1M"], "not the number"),
    (["--poll=sometimes", "--socket-path=/tmp/x", "--memory=1M"], "'always', 'never'"),
    (["--without=event-idx,wings", "--socket-path=/tmp/x", "--memory=1M"], "not 'wings'"),
    (["--serial=" + "s" * 21, "--socket-path=/tmp/x", "--memory=1M"], "longer than 20"),
    (["--queues=0", "--socket-path=/tmp/x", "--memory=1M"], "1 to 8 queues"),
    (["--disk=socket=/tmp/x,memory=1M,queues=9"], "1 to 8 queues"),
    (["--ranges=17", "--socket-path=/tmp/x", "--memory=1M"], "1 to 16 ranges"),
    (["--disk=socket=/tmp/x,memory=1M,colour=red"], "keys are"),
    (["--disk=socket=/tmp/x,memory"], "KEY=VALUE"),
    (["--socket-path=/tmp/x", "--memory=1M", "extra"], "not an option"),
    (["--nonsense"], "see --help"),
    (["--memory"], "see --help"),
])
def test_what_cannot_work_is_said(options, words):
    done = run_server(*options)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("caisson-vhost-user: ")


def test_a_living_servers_socket_is_not_taken_over_and_a_dead_ones_is(tmp_path):
    with Server("--memory=1M", folder=tmp_path) as server:
        done = run_server(f"--socket-path={server.socket}", "--memory=1M")
        assert done.returncode == 1
        assert "another program listens" in done.stderr
        server.kill()
        assert server.socket.exists()
        server.start()
        assert own_client(server, "--mode=verify", "--seconds=0")["passes"] == 1
        assert server.stop() == 0
        assert not server.socket.exists()


def test_sigterm_ends_it_with_statistics():
    with Server("--memory=4M") as server:
        own_client(server, "--mode=verify", "--seconds=0", "--span=4194304", "--depth=4")
        assert server.stop() == 0
        counters = server.statistics["disk0"]
        assert counters["bytes-written"] == counters["bytes-read"] == 4 * MIB
        assert counters["writes"] == counters["reads"] == 1024
        assert counters["errors-driver"] == counters["errors-medium"] == 0


# ---- our client ---------------------------------------------------------------------------------

@pytest.mark.parametrize("poll", ["always", "never", "50"])
@pytest.mark.parametrize("ring", [[], ["--event-idx"], ["--indirect"],
                                  ["--event-idx", "--indirect"]])
def test_own_client_reads_what_it_wrote(poll, ring):
    with Server("--memory=8M", f"--poll={poll}") as server:
        for depth, block in ((1, 4096), (32, 512), (7, 65536)):
            result = own_client(server, "--mode=verify", "--seconds=0", f"--depth={depth}",
                                f"--block={block}", "--span=2097152", *ring)
            assert result["verified_bytes"] == 2 * MIB


@pytest.mark.parametrize("poll", ["always", "never"])
def test_own_client_uses_all_queues(poll):
    with Server("--memory=8M", f"--poll={poll}", "--queues=8") as server:
        for queues, ring in ((2, []), (8, ["--event-idx", "--indirect"])):
            result = own_client(server, "--mode=verify", "--seconds=0", f"--queues={queues}",
                                "--depth=4", "--span=2097152", *ring)
            assert result["verified_bytes"] == 2 * MIB
        server.stop()
        assert server.statistics["disk0"]["queues-used"] == 8


def test_a_sleeping_server_sleeps_and_is_woken():
    with Server("--memory=8M", "--poll=never") as server:
        own_client(server, "--mode=verify", "--seconds=0", "--span=1048576")
        server.stop()
        assert server.statistics["disk0"]["kicks"] > 0
        assert server.statistics["loop"]["sleeps"] > 0


def test_a_polling_server_is_not_kicked():
    with Server("--memory=8M", "--poll=always") as server:
        result = own_client(server, "--mode=read", "--depth=32", "--seconds=0.3")
        assert result["kicks"] * 20 <= result["requests"]


def test_a_file_is_the_disk(tmp_path):
    image = tmp_path / "image"
    content = random.Random(1).randbytes(4 * MIB + 700)  # and a piece that is no whole sector
    image.write_bytes(content)
    with Server(f"--blk-file={image}", folder=tmp_path) as server:
        done = qemu_tool("qemu-img", "info", "--output=json", "--image-opts", blkio(server.socket))
        assert json.loads(done.stdout)["virtual-size"] == 4 * MIB + 512
        qemu_io(server, "write -P 0x5a 1M 64k", "flush")
        server.stop()
    after = image.read_bytes()
    assert after[:MIB] == content[:MIB]
    assert after[MIB:MIB + 65536] == b"\x5a" * 65536
    assert after[MIB + 65536:] == content[MIB + 65536:]


def test_a_read_only_disk_stays_as_it_is(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(b"\x11" * MIB)
    with Server(f"--blk-file={image}", "--read-only", folder=tmp_path) as server:
        qemu_io(server, "read -P 0x11 0 1M", flags=["-r"])
        done = qemu_tool("qemu-io", "--image-opts", blkio(server.socket), "-c", "write 0 512")
        assert done.returncode != 0 and "read-only" in done.stderr
        # Our own client does not care what it was told: the write itself must fail.
        done = subprocess.run([clients.CLIENT, f"--socket={server.socket}", "--mode=write",
                               "--seconds=0.1"], capture_output=True, text=True, timeout=30,
                              check=False)
        assert done.returncode == 1 and "a request failed" in done.stderr
        server.stop()
        assert server.statistics["disk0"]["bytes-written"] == 0
    assert image.read_bytes() == b"\x11" * MIB


def test_several_disks_of_one_server_are_strangers(tmp_path):
    sockets = [tmp_path / f"s{i}" for i in range(2)]
    with Server("--memory=1M", *[f"--disk=socket={s},memory=2M,serial=disk-{i}"
                                 for i, s in enumerate(sockets)], folder=tmp_path):
        for i, sock in enumerate(sockets):
            done = qemu_tool("qemu-io", "--image-opts", blkio(sock), "-c", f"write -P {i + 1} 0 2M")
            assert done.returncode == 0, done.stdout + done.stderr
        for i, sock in enumerate(sockets):
            done = qemu_tool("qemu-io", "--image-opts", blkio(sock), "-c", f"read -P {i + 1} 0 2M")
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_connected_socket_can_be_handed_over():
    ours, theirs = socket.socketpair()
    with subprocess.Popen([clients.SERVER, f"--fd={theirs.fileno()}", "--memory=1M"],
                          pass_fds=[theirs.fileno()], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        theirs.close()
        ours.sendall((1).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(4))
        ours.settimeout(10)
        assert len(ours.recv(100)) == 20
        ours.close()
        # The only front end there can be has gone.
        assert process.wait(timeout=10) == 0


def test_garbage_drops_that_front_end_and_the_next_is_served():
    rng = random.Random(7)
    with Server("--memory=1M") as server:
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(server.socket))
                sock.send(rng.randbytes(rng.randrange(1, 400)))
        assert own_client(server, "--mode=verify", "--seconds=0",
                          "--span=1048576")["passes"] == 1
        assert server.stop() == 0


# ---- reconnection -------------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize("queues", [1, 4])
def test_killed_fifty_times_the_client_goes_on_and_every_byte_is_right(tmp_path, queues):
    image = tmp_path / "image"
    image.write_bytes(bytes(16 * MIB))
    kills = 50
    with Server(f"--blk-file={image}", "--quiet", "--queues=4", folder=tmp_path) as server:
        with subprocess.Popen([clients.CLIENT, f"--socket={server.socket}", "--mode=verify",
                               "--depth=16", f"--queues={queues}", "--span=16777216",
                               "--seconds=15", "--reconnect"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            rng = random.Random(3)
            killed = 0
            while killed < kills and client.poll() is None:
                try:
                    client.wait(rng.uniform(0.02, 0.2))
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.start()
                    killed += 1
            out, err = client.communicate(timeout=60)
        assert client.returncode == 0, err
        result = json.loads(out)
        assert killed == kills
        # A back end that dies while the client shakes its hand is not counted by the client.
        assert result["reconnects"] >= kills // 2
        assert result["passes"] >= 1


# ---- QEMU's block layer as the driver -----------------------------------------------------------

# What the driver is not offered: these clients take whatever they can get.
WITHOUT = [[], ["--without=event-idx"], ["--without=indirect,event-idx"]]


@pytest.mark.parametrize("without", WITHOUT)
def test_qemu_io_writes_reads_and_flushes(without):
    with Server("--memory=64M", *without) as server:
        qemu_io(server, "write -P 0xa1 0 512", "write -P 0xa2 1M 1M", "write -P 0xa3 63M 1M",
                "flush", "read -P 0xa1 0 512", "read -P 0xa2 1M 1M", "read -P 0xa3 63M 1M",
                "read -P 0 512 1048064")
        qemu_io(server, "aio_write -P 1 0 64k", "aio_write -P 2 64k 64k", "aio_flush",
                "read -P 1 0 64k", "read -P 2 64k 64k")
        qemu_io(server, "write -z 0 64k", "read -P 0 0 64k", "read -P 2 64k 64k")
        server.stop()
        assert server.statistics["disk0"]["errors-medium"] == 0


def test_qemu_io_gives_space_back(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(b"\x77" * (4 * MIB))
    full = image.stat().st_blocks
    with Server(f"--blk-file={image}", folder=tmp_path) as server:
        qemu_io(server, "discard 1M 1M", "read -P 0 1M 1M", "read -P 0x77 2M 2M")
        assert (full - image.stat().st_blocks) * 512 >= MIB
        qemu_io(server, "write -z 2M 512k", "read -P 0 2M 512k")
        written = image.stat().st_blocks
        qemu_io(server, "write -z -u 3M 512k", "read -P 0 3M 512k", "read -P 0x77 3584k 512k")
        assert (written - image.stat().st_blocks) * 512 >= MIB // 2
        server.stop()
        assert server.statistics["disk0"]["discards"] > 0
        assert server.statistics["disk0"]["write-zeroes"] >= 2
        assert server.statistics["disk0"]["errors-medium"] == 0


def test_a_file_that_grows_is_a_larger_disk_for_the_next_driver(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB))
    with Server(f"--blk-file={image}", folder=tmp_path) as server:
        with open(image, "r+b") as file:
            file.truncate(3 * MIB)
        time.sleep(0.6)
        done = qemu_tool("qemu-img", "info", "--output=json", "--image-opts", blkio(server.socket))
        assert json.loads(done.stdout)["virtual-size"] == 3 * MIB


@pytest.mark.parametrize("without", WITHOUT)
def test_qemu_img_copies_an_image_in_and_compares_it(tmp_path, without):
    image = tmp_path / "image"
    image.write_bytes(random.Random(5).randbytes(16 * MIB))
    with Server("--memory=16M", *without, folder=tmp_path) as server:
        target = blkio(server.socket)
        done = qemu_tool("qemu-img", "convert", "-n", "--target-image-opts", "-f", "raw", image,
                         target)
        assert done.returncode == 0, done.stderr
        done = qemu_tool("qemu-img", "compare", "--image-opts",
                         f"driver=file,filename={image}", target)
        assert done.returncode == 0, done.stdout + done.stderr


# ---- fio with libblkio --------------------------------------------------------------------------

@pytest.mark.parametrize("block, depth, without", [
    ("512", 1, []), ("512", 128, []), ("4k", 1, []), ("4k", 32, []), ("4k", 128, []),
    ("64k", 32, []), ("1m", 1, []), ("1m", 128, []), ("4k", 1, WITHOUT[1]),
    ("64k", 128, WITHOUT[1]), ("4k", 16, WITHOUT[2])])
def test_fio_verifies(block, depth, without):
    size = {"512": "2m", "4k": "16m"}.get(block, "32m")
    with Server("--memory=32M", *without) as server:
        done = fio("--name=verify", "--ioengine=libblkio",
                   "--libblkio_driver=virtio-blk-vhost-user", f"--libblkio_path={server.socket}",
                   "--thread", "--direct=1", "--rw=randwrite", f"--bs={block}", f"--size={size}",
                   f"--iodepth={depth}", "--verify=crc32c", "--verify_fatal=1",
                   "--output-format=json")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        job = json.loads(done.stdout)["jobs"][0]
        assert job["error"] == 0
        assert job["read"]["io_bytes"] == job["write"]["io_bytes"] > 0
        server.stop()
        assert server.statistics["disk0"]["bytes-written"] == job["write"]["io_bytes"]
        assert server.statistics["disk0"]["errors-driver"] == 0


def test_fio_verifies_over_four_queues():
    with Server("--memory=32M", "--queues=4") as server:
        done = fio("--name=verify", "--ioengine=libblkio",
                   "--libblkio_driver=virtio-blk-vhost-user", f"--libblkio_path={server.socket}",
                   "--thread", "--numjobs=4", "--offset_increment=4m", "--direct=1",
                   "--rw=randwrite", "--bs=4k", "--size=4m", "--iodepth=16", "--verify=crc32c",
                   "--verify_fatal=1", "--group_reporting", "--output-format=json")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        server.stop()
        counters = server.statistics["disk0"]
        assert counters["bytes-written"] == counters["bytes-read"] == 16 * MIB
        assert counters["queues-used"] == 4
        assert counters["errors-driver"] == 0
