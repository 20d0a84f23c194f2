#!/bin/sh
# Runs the installer of this kit that fits this machine. README.txt says what to type.
#
#   sh install.sh [--sha256 HEX] [OPTIONS]             installs from this kit
#   sh install.sh [--sha256 HEX] COMMAND [ARGUMENTS]   any other command, such as status;
#                             install, verify and inspect take this kit when none is named
#
# What runs is a copy in a private directory: a stick may be mounted noexec, and it can be pulled
# out or changed at any time. The copy is compared before it runs: with HEX, which is to come by
# phone and not with the kit, else with SHA256SUMS. The program removes its copy as it starts.

set -fu
mask=$(umask)
umask 077

fail() { # exit code, message, what to do next
    printf 'install.sh: %s\n' "$2" >&2
    [ -z "${3-}" ] || printf '  next: %s\n' "$3" >&2
    exit "$1"
}
again='copy the kit again from where it was made; sha256sum -c SHA256SUMS in it shows what is damaged'

case $0 in
*install*.sh | *INSTALL*.SH) ;;
*) fail 2 'cannot tell which kit this is' 'run it by its path: sh /path/to/the/kit/install.sh' ;;
esac
case $0 in
/*) kit=${0%/*}/ ;;
*/*) kit=./${0%/*} ;;
*) kit=. ;;
esac
# the dot keeps line breaks at the end of a folder's name
kit=$(cd -- "$kit" && pwd -P && echo .) || fail 1 'cannot enter the folder of this script'
kit=${kit%??}

# Takes --sha256 out, and finds the command behind the options that every command has.
sha256= command= value= left=$#
while [ "$left" -gt 0 ]; do
    word=$1 left=$((left - 1))
    shift
    case $word in
    --sha256 | --sha256=*)
        digest=${word#--sha256}
        digest=${digest#=}
        if [ "$word" = --sha256 ] && [ "$left" -gt 0 ]; then
            digest=$1 left=$((left - 1))
            shift
        fi
        digest=$(printf %s "$digest" | tr -d ' ' | tr ABCDEF abcdef)
        case $digest in *[!0123456789abcdef]*) digest= ;; esac
        [ ${#digest} -eq 64 ] ||
            fail 2 '--sha256 needs 64 hex digits' 'the builder prints them for each installer'
        [ "${sha256:-$digest}" = "$digest" ] || fail 2 'two --sha256 that differ'
        sha256=$digest
        continue
        ;;
    # what is meant to compare has to compare
    -[sS][hH][aA]*256* | --[sS][hH][aA]*256* | [sS][hH][aA]256=* | [!-./_0-9A-Za-z]*[sS][hH][aA]256*)
        fail 2 'an option is like --sha256, and is not that: nothing was run' \
            'write --sha256 HEX, in small letters and with two plain hyphens'
        ;;
    esac
    set -- "$@" "$word"
    case $value$command,$word in
    value,*) value= ;;
    ,--root | ,--pmtool | ,--port | ,--status-timeout | ,--color) value=value ;;
    ,--root=* | ,--pmtool=* | ,--port=* | ,--status-timeout=* | ,--color=* | ,--no-trunc | ,--json | ,--quiet | ,--verbose | ,-[qv] | ,-[qv][qv]) ;;
    ,install | ,verify | ,inspect) command=$word && set -- "$@" --kit "$kit" ;;
    # its receipt travels back with the kit, as an installation's does
    ,rollback) command=$word && set -- "$@" --receipt-out "$kit" ;;
    ,-h | ,--help | ,-V | ,--version | ,[!-]*) command=$word ;;
    ,*) command=- ;;
    esac
done
case $command in '' | -) set -- install "$kit" "$@" ;; esac

machine=$(uname -m)
case $machine in
x86_64 | amd64) program=bin/sftunnel-install-x86_64 ;;
aarch64 | arm64) program=bin/sftunnel-install-aarch64 ;;
*) fail 3 "there is no installer for this machine ($machine)" 'x86_64 and aarch64 have one' ;;
esac
[ -f "$kit/$program" ] || fail 3 "refused (not-found): the kit has no $program" \
    'make it again with --installer FILE; if its names are in capitals or shortened, copy it by a way that keeps long names'

# The size first: nothing without end is read.
is_small() { # file, limit
    limit=$2
    [ -f "$1" ] && set -- $(ls -lnL -- "$1") && [ "${5:-$limit}" -le "$limit" ]
}
# Whether $1 is what it is to be; leaves its digest in $found.
is_expected() {
    found=$(sha256sum 2>/dev/null <"$1") || found=unknown
    found=${found%% *}
    [ "$found" = "$expected" ]
}
is_small "$kit/$program" 67108864 ||
    fail 3 "refused (too-large): $program is larger than 64 MiB" "$again"
expected=$sha256 from=--sha256
if [ -z "$expected" ]; then
    from=SHA256SUMS
    ! is_small "$kit/SHA256SUMS" 8388608 || expected=$(tr -d '\r' <"$kit/SHA256SUMS" |
        sed -n "s|^\([0123456789abcdef]\{64\}\)  $program\$|\1|p")
fi
is_expected "$kit/$program" || fail 3 \
    "refused (damaged): SHA-256 of $program is $found, $from says ${expected:-nothing of it}" "$again"

me=$(id -u)
# Whether only root and this user can rename or replace a folder on the way to $1, and it.
is_ours() {
    folder=$1
    while set -- $(ls -ldn -- "$folder"); do
        case ${1-},${3-} in
        # sticky: there only the owner of a folder renames it, who is looked at as well
        d????????[tT]*,0 | d????????[tT]*,"$me") ;;
        d????w* | d???????w*) return 1 ;;
        d*,0 | d*,"$me") ;;
        *) return 1 ;;
        esac
        [ "$folder" != / ] || return 0
        folder=${folder%/*}
        folder=${folder:-/}
    done
}

private=
trap '[ -z "$private" ] || rm -rf -- "$private"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 141' PIPE
trap 'exit 143' TERM
bring() { # the copy to $private, and a script that tells whether programs may run there at all
    head -c 67108864 <"$kit/$program" >"$copy" && is_expected "$copy" &&
        printf '#!/bin/sh\n' >"$copy.sh" && chmod 700 "$copy" "$copy.sh" && "$copy.sh"
}
for place in "${TMPDIR:-/var/tmp}" /var/tmp /tmp /ngfw/var/tmp /root /run; do
    case $place in /*) ;; *) continue ;; esac
    place=$(cd -- "$place" 2>/dev/null && pwd -P) && is_ours "$place" &&
        private=$(mktemp -d "$place/sftunnel-install.XXXXXX" 2>/dev/null) || continue
    is_ours "$private" || fail 1 'a new private directory belongs to another user'
    copy=$private/sftunnel-install
    if bring 2>/dev/null; then
        rm -f -- "$copy.sh"
        case $("$copy" --version 2>/dev/null </dev/null) in
        'sftunnel-install '*) ;;
        *) fail 3 "refused (damaged): $program does not start on this machine" "$again" ;;
        esac
        case $command in
        -h | --help | help) sed -n '4,6s/^# //p' "$kit/install.sh" ;;
        esac
        # it says what to do next in the words of a program that is installed
        command -v sftunnel-install >/dev/null 2>&1 ||
            export SFTUNNEL_INSTALL_SCRIPT="$kit/install.sh"
        export SFTUNNEL_INSTALL_COPY="$private"
        # what pmtool starts begins with the mask of who typed this
        umask "$mask"
        exec "$copy" "$@"
    fi
    rm -rf -- "$private"
    private=
done
fail 1 'found no place to run the installer from' \
    'set TMPDIR to a directory with 20 MB to spare that is not mounted noexec, and in which and above which only root can rename'
