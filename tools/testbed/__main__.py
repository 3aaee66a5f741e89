# SPDX-License-Identifier: BSD-2-Clause
"""The test bed's command line: /usr/bin/python3 -m tools.testbed VERB (from the repository root).

  fetch     download and build everything that runs need (idempotent); --update renews versions
  shell     boot and give a person Dom0's console; 'poweroff -f' there, or Ctrl-A ... of Xen
  run       run a script in Dom0 (deterministic unless --no-icount), print its output
  clean     remove downloads and builds of the test bed
"""

import argparse
import pathlib
import shutil
import sys

from . import bed, packages, scripted, trees, util, xen as xen_build
from .machine import MEMORY_MB, Machine
from .util import BUILD, CACHE, TestbedError


def _options(parser):
    parser.add_argument("--xen", default="ioreq", choices=("ioreq", "debian", "debian-old"))
    parser.add_argument("--gic", type=int, default=3, choices=(2, 3))
    parser.add_argument("--xsm", default="dummy", choices=tuple(bed.XSM_ARGS))
    parser.add_argument("--smp", type=int, default=2)
    parser.add_argument("--memory", type=int, default=MEMORY_MB, help="MiB of the machine")
    parser.add_argument("--xen-args", default="", help="more of Xen's command line")
    parser.add_argument("--file", action="append", default=[], metavar="PATH",
                        help="put this file into Dom0's /images (may be given often); "
                             "build/caisson.img is put there when it exists")


def _payload(args):
    files = {}
    image = BUILD / "caisson.img"
    if image.is_file():
        files[image.name] = image
    for name in args.file:
        path = pathlib.Path(name)
        if not path.is_file():
            raise TestbedError(f"{path} is not a file")
        files[path.name] = path
    return files


def _fetch(args):
    packages.lock(args.update)
    for kind in ("ioreq", "debian", "debian-old"):
        print(f"xen {kind:11} {xen_build.image(kind)}")
    pins = util.suites()
    for version in (pins["XEN_VERSION"], pins["OLD_XEN_VERSION"]):
        print(f"dom0 {version:10} {trees.dom0(version)}")
    print(f"kernel          {packages.kernel()[0]}")
    print(f"guest           {trees.guest()}")
    print(f"flask policy    {xen_build.policy()}")
    return 0


def _shell(args):
    log_dir = bed.log_folder("shell")
    parts = bed.assemble(args.xen, args.xsm, _payload(args), log_dir)
    hypervisor, kernel, initrds, policy = parts
    machine = Machine(log_dir, hypervisor, kernel, initrds, gic=args.gic, smp=args.smp,
                      memory_mb=args.memory, policy=policy, interactive=True,
                      xen_args=bed.xen_command_line(args.xsm, bed.DOM0_MB, 1, args.xen_args),
                      dom0_args="console=hvc0 rdinit=/init testbed.mode=shell")
    try:
        machine.start()
        machine.proc.wait()
    finally:
        machine.kill()
    return 0


def _run(args):
    script = pathlib.Path(args.script).read_text()
    jobs = {pathlib.Path(j).name: pathlib.Path(j).read_text() for j in args.job}
    result = scripted.run("run", script, jobs=jobs, payload=_payload(args), xen=args.xen,
                          gic=args.gic, xsm=args.xsm, icount=not args.no_icount, smp=args.smp,
                          memory_mb=args.memory, xen_args=args.xen_args, timeout=args.timeout)
    print(result.text, end="")
    return result.code


def _clean(_args):
    shutil.rmtree(CACHE, ignore_errors=True)
    return 0


def main(argv=None):
    """Run a verb; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="tools.testbed", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    fetch = verbs.add_parser("fetch", help="download and build what runs need")
    fetch.add_argument("--update", action="store_true", help="take newer package versions")
    fetch.set_defaults(do=_fetch)
    shell = verbs.add_parser("shell", help="boot, with Dom0's console here")
    _options(shell)
    shell.set_defaults(do=_shell)
    run = verbs.add_parser("run", help="run a script in Dom0, nothing typed")
    _options(run)
    run.add_argument("script", help="sh text; see tools/testbed/rootfs/lib.sh")
    run.add_argument("--job", action="append", default=[], metavar="FILE",
                     help="a job script for guests, by its file name")
    run.add_argument("--no-icount", action="store_true", help="faster, not repeatable")
    run.add_argument("--timeout", type=int, default=300)
    run.set_defaults(do=_run)
    verbs.add_parser("clean", help="remove the test bed's cache").set_defaults(do=_clean)
    args = parser.parse_args(argv)
    try:
        return args.do(args)
    except TestbedError as err:
        print(f"testbed: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
