#!/bin/sh
# Runs the installer of this kit that fits this machine. README.txt says what to type.
#
#   sh install.sh [--sha256 HEX] [OPTIONS]             installs from this kit
#   sh install.sh [--sha256 HEX] COMMAND [ARGUMENTS]   any other command, such as status
#
# The program is copied to a private directory and run there: a stick may be mounted
# noexec, and it can be pulled out or changed at any time. With --sha256 that copy is
# checked before it runs; the digest is to come by phone, not with the kit.

set -u
umask 077

fail() { # exit code, message, what to do next
    printf 'install.sh: %s\n' "$2" >&2
    [ -z "$3" ] || printf '  next: %s\n' "$3" >&2
    exit "$1"
}

case $0 in
*/*) kit=${0%/*} ;;
*) kit=. ;;
esac
kit=$(CDPATH='' cd -- "${kit:-/}" && pwd -P) ||
    fail 1 "cannot find the folder that this script lies in" "give its whole path"

wanted=
case ${1-} in
--sha256)
    [ $# -ge 2 ] || fail 2 "--sha256 needs the digest of the installer" ""
    wanted=$2
    shift 2
    ;;
--sha256=*)
    wanted=${1#--sha256=}
    shift
    ;;
*) wanted=none ;;
esac
if [ "$wanted" != none ]; then
    wanted=$(printf '%s' "$wanted" | tr -d ' ' | tr 'A-F' 'a-f')
    case $wanted in
    *[!0-9a-f]*) wanted= ;;
    esac
    [ ${#wanted} -eq 64 ] ||
        fail 2 "--sha256 needs 64 hex digits" "the builder prints them for each installer"
fi

machine=$(uname -m)
case $machine in
x86_64 | amd64) arch=x86_64 ;;
aarch64 | arm64) arch=aarch64 ;;
*) fail 3 "there is no installer for this machine ($machine)" "x86_64 and aarch64 have one" ;;
esac
program=$kit/bin/sftunnel-install-$arch
[ -f "$program" ] || fail 3 "refused (not-found): there is no $program" \
    "make the kit again with --installer FILE, or copy sftunnel-install here and run it"

private=
cleanup() { [ -z "$private" ] || rm -rf -- "$private"; }
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM

ready=
for place in "${TMPDIR:-/var/tmp}" /var/tmp /tmp /ngfw/var/tmp /run; do
    [ -d "$place" ] || continue
    private=$(mktemp -d "$place/sftunnel-install.XXXXXX" 2>/dev/null) || {
        private=
        continue
    }
    copy=$private/sftunnel-install
    if cp -- "$program" "$copy" 2>/dev/null && chmod 700 "$copy"; then
        if [ "$wanted" != none ]; then
            found=$(sha256sum <"$copy") || fail 1 "sha256sum does not work here" ""
            found=${found%% *}
            [ "$found" = "$wanted" ] || fail 3 \
                "refused (damaged): the installer's SHA-256 is $found, expected $wanted" \
                "do not use this copy of the kit; copy it again from where it was made"
        fi
        # also tells a file system that is mounted noexec
        if "$copy" --version >/dev/null 2>&1; then
            ready=yes
            break
        fi
    fi
    cleanup
    private=
done
[ -n "$ready" ] || fail 1 "found no place to run the installer from" \
    "set TMPDIR to a directory with 20 MB to spare that is not mounted noexec"

case ${1-} in
'' | -*) set -- install "$kit" "$@" ;;
rollback) # its receipt travels back with the kit, as an installation's does
    shift
    set -- rollback --receipt-out "$kit" "$@"
    ;;
esac
# the program gets these signals as well and decides; its exit code is the one that counts
trap : HUP INT QUIT TERM
"$copy" "$@"
code=$?
# it says what to do next in the words of a program that is installed, which here it is not
case $code,${1-} in
0,status | [!02],*)
    command -v sftunnel-install >/dev/null 2>&1 ||
        printf "install.sh: type sh '%s/install.sh' for sftunnel-install\n" "$kit" >&2
    ;;
esac
exit $code
