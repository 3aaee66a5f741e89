#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# apt.sh - write a private apt configuration, so that packages of suites which this machine does
# not list can be had without touching its own lists.
#
#   apt.sh DIR ARCH STATUS SUITE...   writes DIR/apt.conf; use it as `apt-get -c DIR/apt.conf ...`
#
# In the environment: WITH_SOURCE=yes for lists of source packages too, `only` for these alone.
# STATUS is `machine` (resolve against what is installed here) or `empty` (as on a bare root).
# The mirror's address is taken from the machine's own apt sources in both formats, deb822 and
# one-line; no address is written in this project.
set -eu

die() {
    echo "apt.sh: $*" >&2
    exit 1
}

[ $# -ge 4 ] || die "usage: apt.sh DIR ARCH machine|empty SUITE..."
dir=$1 arch=$2 status=$3
shift 3

SOURCES_DIR=${SOURCES_DIR:-/etc/apt}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
. /etc/os-release
codename=${VERSION_CODENAME:-}
[ -n "$codename" ] || die "/etc/os-release names no VERSION_CODENAME: is this Debian 12 or 13?"
[ -r "$KEYRING" ] || die "$KEYRING is missing: run 'apt-get install debian-archive-keyring'"

# deb822: the first enabled stanza that lists our codename as a suite gives its first URI.
mirror_deb822() {
    awk -v want="$codename" '
        function flush_stanza() {
            if (uri != "" && uri !~ /^cdrom:/ && has && enabled) { print uri; done = 1; exit }
            uri = ""; has = 0; enabled = 1
        }
        BEGIN { enabled = 1; done = 0 }
        done { exit }
        FNR == 1 || /^[ \t]*$/ { flush_stanza() }
        /^#/ { next }
        tolower($1) == "uris:" { uri = $2 }
        tolower($1) == "enabled:" && tolower($2) == "no" { enabled = 0 }
        tolower($1) == "suites:" { for (i = 2; i <= NF; i++) if ($i == want) has = 1 }
        END { if (!done) flush_stanza() }
    ' "$@"
}

# One-line format: deb [options] URI SUITE COMPONENT...; options may hold blanks.
mirror_oneline() {
    sed -n 's/#.*//; s/^[ \t]*deb[ \t][ \t]*\(\[[^]]*\]\)\{0,1\}[ \t]*//p' "$@" |
        awk -v want="$codename" '$2 == want && $1 !~ /^cdrom:/ { print $1; exit }'
}

mirror=
for f in "$SOURCES_DIR"/sources.list.d/*.sources; do
    [ -r "$f" ] && [ -z "$mirror" ] && mirror=$(mirror_deb822 "$f")
done
for f in "$SOURCES_DIR"/sources.list "$SOURCES_DIR"/sources.list.d/*.list; do
    [ -r "$f" ] && [ -z "$mirror" ] && mirror=$(mirror_oneline "$f")
done
[ -n "$mirror" ] || die "no apt source under $SOURCES_DIR lists the suite '$codename':" \
    "add Debian's main archive for it to the apt sources and run this again"

mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/parts"
dir=$(cd "$dir" && pwd)
: >"$dir/sources.list.new"
for suite in "$@"; do
    for type in deb deb-src; do
        case $type-${WITH_SOURCE:-no} in
            deb-src-no | deb-only) continue ;;
        esac
        echo "$type [signed-by=$KEYRING] $mirror $suite main" >>"$dir/sources.list.new"
    done
done
mv "$dir/sources.list.new" "$dir/sources.list"

{
    echo "Dir::Etc::sourcelist \"$dir/sources.list\";"
    echo "Dir::Etc::sourceparts \"$dir/parts\";"
    echo "Dir::State::lists \"$dir/lists\";"
    echo "Dir::Cache \"$dir/cache\";"
    echo "Dir::Cache::archives \"$dir/cache/archives\";"
    echo "APT::Sandbox::User \"root\";"
    echo "APT::Install-Recommends \"false\";"
    echo "Acquire::Languages \"none\";"
    echo "Acquire::Retries \"3\";"
    if [ "$status" = empty ]; then
        : >"$dir/status"
        echo "Dir::State \"$dir\";"
        echo "Dir::State::status \"$dir/status\";"
        echo "Dir::Etc::preferencesparts \"$dir/parts\";"
        echo "Dir::Etc::preferences \"$dir/none\";"
        echo "APT::Architecture \"$arch\";"
        echo "#clear APT::Architectures;"
        echo "APT::Architectures { \"$arch\"; };"
    fi
} >"$dir/apt.conf"
