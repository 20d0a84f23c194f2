#!/bin/bash
# The main job on the embedded lab, for `make demo`: three FTDs whose tunnels are down because a
# certificate has expired, one kit, three installations, one rollback. Builds nothing; BIN names
# the folder of the programs. What is shown are the real commands and their real output; every
# state is checked, and any difference ends it with a failure.

set -uo pipefail

bin=$(cd "${BIN:-target/debug}" && pwd) || exit 1
for program in lab sftunnel-bundle sftunnel-install; do
    [ -x "$bin/$program" ] || { echo "demo: $bin/$program is missing: build first" >&2; exit 1; }
done
[ "$(id -u)" -eq 0 ] || { echo "demo: needs root, as the installer does" >&2; exit 1; }
PATH=$bin:$PATH
# in a session of its own nobody is asked anything
export NO_COLOR=1

work=$(mktemp -d "${TMPDIR:-/tmp}/sftunnel-demo.XXXXXX") || exit 1
cleanup() {
    cd /
    [ ! -e "$work/lab/lab.json" ] || "$bin/lab" remove "$work/lab" >/dev/null 2>&1
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
cd "$work" || exit 1

fail() {
    printf '\ndemo: FAILED: %s\n' "$*" >&2
    exit 1
}

say() { printf '\n# %s\n' "$*"; }

# Shows a command, runs it, shows what it says; fails unless it ends well.
output=
run() {
    local shown=
    for word in "$@"; do
        case $word in *[!A-Za-z0-9._/=:@-]*) shown+=" '$word'" ;; *) shown+=" $word" ;; esac
    done
    printf '\n$%s\n' "$shown"
    output=$("$@" 2>&1 </dev/null)
    local code=$?
    [ -z "$output" ] || printf '%s\n' "$output"
    [ $code -eq 0 ] || fail "'$1' ended with exit code $code"
}

expect() {
    case $output in *"$1"*) ;; *) fail "expected '$1' in the output above" ;; esac
}

# The tunnel of a device as the lab sees it, from both sides' TLS.
tunnel() { # device, up or down
    "$bin/lab" wait lab "$1" "$2" --seconds 15 >/dev/null 2>&1 || fail "the tunnel of $1 is not $2"
    printf '# checked: the tunnel of %s is %s\n' "$1" "$2"
}

devices="BSNS-1120-1 BSNS-1120-2 BSNS-1120-3"

say "An FMC with a renewed InternalCA and three FTDs that it cannot reach"
run lab make lab --devices 3
run lab start lab
for device in $devices; do tunnel "$device" down; done
run lab status lab
[ "$(grep -c 'certificate has expired' <<<"$output")" -eq 3 ] ||
    fail "expected three tunnels down with 'certificate has expired'"

say "On the FMC: what would be in the kit, then the kit, opened by a passphrase"
printf 'velvet-anchor-sunrise-copper-41\n' >passphrase.txt
chmod 600 passphrase.txt
mkdir fmc-out stick
run sftunnel-bundle plan --root lab/fmc --passphrase-file passphrase.txt --out fmc-out
expect "Ready: 3 devices"
run sftunnel-bundle build --root lab/fmc --passphrase-file passphrase.txt --out fmc-out
kit=$(cd fmc-out && echo sftunnel-kit-*)
[ -d "fmc-out/$kit" ] || fail "no kit"

say "To the stick, and there: is the copy whole?"
run cp -r "fmc-out/$kit" stick/
printf '\n$ cd stick/%s\n' "$kit"
cd "stick/$kit" || fail "no copy"
run sha256sum -c SHA256SUMS
cd "$work" || exit 1
! grep -rlE 'BEGIN (RSA |EC )?PRIVATE KEY' "stick/$kit" --include='*' --exclude-dir=bin >/dev/null ||
    fail "a private key lies on the stick in clear"

for device in $devices; do
    say "On $device"
    if [ "$device" = BSNS-1120-1 ]; then
        run sftunnel-install status --root "lab/$device"
        expect "expired"
        run sftunnel-install install --dry-run --root "lab/$device" --passphrase-file passphrase.txt "stick/$kit"
        expect "nothing was changed"
        tunnel "$device" down
    fi
    run sftunnel-install install --yes --settle 1 --root "lab/$device" --passphrase-file passphrase.txt "stick/$kit"
    expect "Done: sftunnel runs on these files"
    tunnel "$device" up
done
run lab status lab

say "Once more: nothing to do"
run sftunnel-install install --yes --root lab/BSNS-1120-1 --passphrase-file passphrase.txt "stick/$kit"
expect "Nothing to do"

say "One is rolled back: its tunnel goes down again, the others stay up"
run sftunnel-install rollback --yes --settle 1 --root lab/BSNS-1120-2
tunnel BSNS-1120-2 down
tunnel BSNS-1120-1 up
tunnel BSNS-1120-3 up
run lab status lab
expect "certificate has expired"

say "Installed again: up"
run sftunnel-install install --yes --settle 1 --root lab/BSNS-1120-2 --passphrase-file passphrase.txt "stick/$kit"
for device in $devices; do tunnel "$device" up; done
run lab status lab
case $output in *"certificate has expired"*) fail "a tunnel is still down" ;; esac

say "All three tunnels are up."
