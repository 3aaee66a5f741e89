# SPDX-License-Identifier: BSD-2-Clause
#
# Functions for scripts that run in Dom0 with nobody typing (testbed.mode=script). They print what
# happened on standard output and return not 0 when something did not.

# domain_make NAME KERNEL MIB [LINE...] - create a domain; each LINE is a line of its xl config.
domain_make() {
    _name=$1 _kernel=$2 _mib=$3
    shift 3
    {
        printf 'name = "%s"\nkernel = "%s"\nmemory = %s\n' "$_name" "$_kernel" "$_mib"
        [ $# -gt 0 ] && printf '%s\n' "$@"
    } >"/run/$_name.cfg"
    if ! xl create "/run/$_name.cfg" >"/run/$_name.xl" 2>&1; then
        echo "testbed: xl create $_name failed"
        cat "/run/$_name.xl"
        return 1
    fi
}

# guest_make NAME MIB JOB [LINE...] - create a stock guest that runs the job script JOB.
# A LINE that starts with "arg:" is added to the guest kernel's command line instead.
guest_make() {
    _g=$1 _gm=$2 _extra="console=hvc0 quiet rdinit=/init testbed.mode=script testbed.job=$3"
    shift 3
    for _l in "$@"; do
        shift
        case $_l in
            arg:*) _extra="$_extra ${_l#arg:}" ;;
            *) set -- "$@" "$_l" ;;
        esac
    done
    domain_make "$_g" /images/vmlinuz "$_gm" 'ramdisk = "/images/guest.cpio"' \
        "extra = \"$_extra\"" "$@"
}

# console NAME - what a domain printed so far.
console() {
    tr -d '\r' <"/var/log/xen/console/guest-$1.log" 2>/dev/null
}

# console_wait NAME PATTERN SECONDS - wait until the console of a domain matches.
console_wait() {
    _end=$(($(cut -d. -f1 /proc/uptime) + $3))
    until console "$1" | grep -q "$2"; do
        if [ "$(cut -d. -f1 /proc/uptime)" -ge "$_end" ]; then
            echo "testbed: $1 did not print '$2' within $3 s; it ends:"
            console "$1" | tail -n 30
            return 1
        fi
        sleep 0.5
    done
}

# guest_wait NAME SECONDS - wait for the end of a guest's job, print its output, return its code.
guest_wait() {
    console_wait "$1" '^testbed: JOB END' "$2" || return 1
    console "$1" | sed -n '/^testbed: JOB BEGIN/,/^testbed: JOB END/p' | sed '1d;$d'
    return "$(console "$1" | sed -n 's/^testbed: JOB END \([0-9]*\).*/\1/p' | head -n 1)"
}

# driver_make NAME MIB COUNT RAMDISK_MIB [LINE...] - a Linux domain whose xen-blkback serves ram0,
# ram1, ...; returns when it waits for guests.
driver_make() {
    _d=$1 _dm=$2 _count=$3 _size=$4
    shift 4
    guest_make "$_d" "$_dm" driver arg:testbed.modules=none "arg:testbed.count=$_count" \
        "arg:testbed.mib=$_size" "$@" &&
        console_wait "$_d" 'driver domain is up' 60
}
