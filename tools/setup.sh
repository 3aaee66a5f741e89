#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# setup.sh - install what building and testing Caisson needs, by package name, on Debian 12 or 13.
#
#   tools/setup.sh            install what is missing (root, or sudo); nothing to do takes a moment
#   tools/setup.sh --check    install nothing, say what is missing, exit 1 if anything is
#   tools/setup.sh --list     print the package names
#   tools/setup.sh bench ...  the same with the peers that `make bench` compares with
#   tools/setup.sh afl ...    the same with AFL++, for `make afl`
#   tools/setup.sh qtest ...  the same with what `make test-slow` builds QEMU's own tests with
#
# The suites that things come from are pinned in tools/testbed/suites.conf.
set -eu

cd "$(dirname "$0")/.."
. tools/testbed/suites.conf

die() {
    echo "setup: $*" >&2
    exit 1
}

say() {
    echo "setup: $*"
}

[ -r /etc/os-release ] || die "there is no /etc/os-release: this script knows Debian 12 and 13"
. /etc/os-release
case "${ID:-}-${VERSION_CODENAME:-}" in
    debian-bookworm) qemu_suite=$QEMU_SUITE_BOOKWORM ;;
    debian-trixie) qemu_suite=$QEMU_SUITE_TRIXIE ;;
    *) die "this is ${PRETTY_NAME:-an unknown system}; Debian 12 (bookworm) or 13 (trixie) is" \
        "needed: use such a machine or a container of it" ;;
esac
codename=$VERSION_CODENAME
host_arch=$(dpkg --print-architecture)

# The image: cross compiler, C library, the libraries and headers that we take from packages.
PACKAGES="make gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    picolibc-aarch64-linux-gnu libxen-dev device-tree-compiler"
# libfdt is compiled with the image's flags (a library of another build costs 4 KiB), so its source
# package is unpacked here.
LIBFDT_TREE=build/setup/libfdt
# Hosted tests and checks.
PACKAGES="$PACKAGES libcmocka-dev clang clang-tidy clang-format libclang-rt-dev
    python3 python3-pytest python3-pexpect"
# The test bed: builds Xen and its policy, unpacks packages.
PACKAGES="$PACKAGES flex bison m4 bc checkpolicy fdisk xz-utils binutils binutils-aarch64-linux-gnu
    dpkg-dev debian-archive-keyring"
# The PC whose disk is the vhost-user server; fio's configure script asks pkg-config.
PACKAGES="$PACKAGES pkg-config"
# From the suite that suites.conf pins for QEMU, none older than the version behind the colon.
QEMU_PACKAGES="qemu-system-arm:$QEMU_VERSION_MIN qemu-system-x86:$QEMU_VERSION_MIN"
if [ "${1:-}" = bench ]; then
    shift
    PACKAGES="$PACKAGES valgrind libdpdk-dev python3-matplotlib"
    QEMU_PACKAGES="$QEMU_PACKAGES qemu-utils:$QEMU_VERSION_MIN"
fi
if [ "${1:-}" = qtest ]; then
    shift
    PACKAGES="$PACKAGES ninja-build libglib2.0-dev python3-venv"
    QEMU_PACKAGES="$QEMU_PACKAGES meson:1.5"
fi
if [ "${1:-}" = afl ]; then
    shift
    PACKAGES="$PACKAGES afl++"
fi

package_missing() {
    state=$(dpkg-query -W -f='${db:Status-Abbrev}\n' "$1" 2>/dev/null || true)
    case $state in
        *ii*) return 1 ;;
        *) return 0 ;;
    esac
}

packages_missing() {
    for p in $PACKAGES; do
        if package_missing "$p"; then
            printf '%s ' "$p"
        fi
    done
}

qemu_names() {
    for p in $QEMU_PACKAGES; do
        printf '%s ' "${p%:*}"
    done
}

qemu_missing() {
    for p in $QEMU_PACKAGES; do
        v=$(dpkg-query -W -f='${Version}' "${p%:*}" 2>/dev/null || true)
        # An epoch counts for more than what is behind it: it is left out of the comparison.
        if [ -z "$v" ] || ! dpkg --compare-versions "${v#*:}" ge "${p#*:}"; then
            return 0
        fi
    done
    return 1
}

case ${1:-} in
    --list)
        # Word splitting makes one line per name.
        printf '%s\n' $PACKAGES $(qemu_names)
        exit 0
        ;;
    --check | "") ;;
    *) die "unknown option '$1': use bench, afl, qtest, --check, --list or nothing" ;;
esac

missing=$(packages_missing)
qemu_needed=no
if qemu_missing; then
    qemu_needed=yes
fi

if [ -z "$missing" ] && [ "$qemu_needed" = no ] && [ -r "$LIBFDT_TREE/libfdt.h" ]; then
    say "all packages are installed"
    exit 0
fi
if [ "${1:-}" = --check ]; then
    [ "$qemu_needed" = yes ] && missing="$missing (of version:) $QEMU_PACKAGES"
    [ -r "$LIBFDT_TREE/libfdt.h" ] || missing="$missing $LIBFDT_TREE (source)"
    die "missing: $missing; run tools/setup.sh to install"
fi

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "packages must be installed and this is not root:" \
        "run 'su -c tools/setup.sh', or install sudo; missing: $missing"
    as_root=sudo
fi
apt_get() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
        -o APT::Get::Show-Upgraded=false --no-install-recommends "$@"
}

if [ -n "$missing" ]; then
    say "updating the package lists"
    apt_get update || die "apt-get update failed: look at the messages above and at /etc/apt"
    say "installing: $missing"
    # shellcheck disable=SC2086  # a list of names
    apt_get install $missing || die "apt-get could not install: $missing" \
        "(see above; 'apt-get -f install' repairs half-installed packages)"
fi

if [ "$qemu_needed" = yes ]; then
    # The machine seldom lists backports; a private configuration does, beside its own suites.
    apt_dir=$PWD/build/setup/apt
    if [ "$qemu_suite" = "$codename" ]; then
        suites=$codename
    else
        suites="$codename $qemu_suite"
    fi
    # shellcheck disable=SC2086
    sh tools/testbed/apt.sh "$apt_dir" "$host_arch" machine $suites
    say "fetching the package lists of $suites"
    apt_get -c "$apt_dir/apt.conf" update || die "the lists of $suites cannot be had from the" \
        "mirror in $apt_dir/sources.list: does that mirror carry them?"
    say "installing from $qemu_suite: $(qemu_names)"
    # shellcheck disable=SC2086
    apt_get -c "$apt_dir/apt.conf" install -t "$qemu_suite" $(qemu_names) ||
        die "QEMU could not be installed from $qemu_suite (see the messages above)"
fi

if [ ! -r "$LIBFDT_TREE/libfdt.h" ]; then
    apt_dir=$PWD/build/setup/apt-source
    WITH_SOURCE=only sh tools/testbed/apt.sh "$apt_dir" "$host_arch" empty "$LIBFDT_SUITE"
    say "fetching the source of libfdt into $LIBFDT_TREE"
    apt-get -q -c "$apt_dir/apt.conf" update ||
        die "the source lists of $LIBFDT_SUITE cannot be had from the mirror in" \
            "$apt_dir/sources.list: does that mirror carry them?"
    # Only the upstream tarball: apt checks its digest; Debian's changes are packaging.
    rm -rf "$LIBFDT_TREE" "$LIBFDT_TREE.new" "$apt_dir"/cache/*.orig.tar.*
    mkdir -p "$LIBFDT_TREE.new"
    (cd "$apt_dir/cache" && apt-get -q -c "$apt_dir/apt.conf" source --download-only --tar-only \
        device-tree-compiler) ||
        die "the source of device-tree-compiler cannot be downloaded (see the messages above)"
    tar -C "$LIBFDT_TREE.new" --strip-components=2 --wildcards \
        -xf "$apt_dir"/cache/device-tree-compiler_*.orig.tar.* '*/libfdt/*.[ch]'
    mv "$LIBFDT_TREE.new" "$LIBFDT_TREE"
fi

missing=$(packages_missing)
[ -z "$missing" ] || die "still missing after installation: $missing"
qemu_missing && die "one of these is still older than its version here: $QEMU_PACKAGES"
say "done"
