# sftunnel-paste/1: decides as sftunnel-install does, and keeps its
# lock, backups and journal. Cut off anywhere: run it again.
umask 077; LC_ALL=C; export LC_ALL
D=@DEVICE@
M=@MANAGER@
Z='@SALT@'
V='@VERSION@'
# Tests: the box is below R; sftunnel has to stay W seconds.
R=${SFTUNNEL_ROOT-} W=${SFTUNNEL_SETTLE-5} P=${1-} G=install
S=$R/var/sf/sftunnel-airgap L=$R/var/sf/peers/$M
B=$S/backups J=$S/journal A='cacert sftunnel-cert sftunnel-key'
say() { printf '%s\n' "$*" >&2; }
refuse() { r=$1; shift; say "refused ($r): $*"; exit 3; }
end() { c=$1; shift; say "$*"; exit "$c"; }
sha() { sha256sum | cut -c1-64; }
sum() { if [ -f "$1" ]; then sha <"$1"; else echo null; fi; }
json() { sed 's/^[0-9a-f]*$/"&"/' | paste -sd, -; }
file() { echo "$L/$1.pem"; }
each() { for f in $A; do "$@" "$f" || return 1; done; }
clean() { [ -z "$P" ] || rm -rf "$P"; stty "$Y"; }
Y=$(stty -g) || end 2 'This asks: it needs a terminal.'
free() { stty "$Y"; trap 'exit 130' HUP INT QUIT TERM; }
hold() { stty -isig; trap : HUP INT QUIT TERM; }
trap clean 0; free
# What was typed before the question is no answer to it.
ask() {
 stty -icanon -echo min 0 time 3; cat >/dev/null
 stty icanon "$2"; printf '\n%s' "$1" >&2; IFS= read -r a || exit 1
 stty "$Y"
}
X=
case $0 in */rollback)
 G=rollback P='' X=$(cd "${0%/*}" && pwd) && X=${X##*/} ;; esac
[ "$(id -u)" = 0 ] || refuse not-root 'sudo su - comes first'
u=$(sed -n 's/^APPLIANCE_UUID=//p' "$R/etc/sf/ims.conf" |
 tr A-F a-f | tr -cd 0-9a-f-)
[ "$u" = $D ] || refuse wrong-device "for $D, this is $u"
pm=$R/ngfw/usr/local/sf/bin/pmtool
[ -x "$pm" ] || pm=$R/usr/local/sf/bin/pmtool
[ -x "$pm" ] || refuse not-found "$pm is missing"

# The passphrase opens the files into this shell's memory only.
unlock() { printf '%s\n' "$p" | openssl enc -d -aes-256-ctr \
 -pbkdf2 -iter 600000 -md sha256 -pass stdin -in "$1"; }
# HMAC-SHA-256; its key is AES's key stream under a second salt.
pad() { { printf "Salted__$Z"; printf %64s '' | tr ' ' "$1"; } \
 >"$P/k"; unlock "$P/k"; }
mac() { { pad 6; cat "$P/s" "$P/x"; } | openssl dgst -sha256 \
 -binary >"$P/i"; { pad '\\'; cat "$P/i"; } | sha; }
get() { printf '%s\n' "$O" | sed -n "1,5s/^$1 //p"; }
rows() { printf '%s\n' "$O" | sed -n "$1,$(($1 + $2 - 1))p"; }
unseal() {
 printf x | openssl enc -aes-256-ctr -pbkdf2 -pass pass:x \
  >"$P/i" || refuse not-found 'openssl 1.1.1 or later'
 for n in 1 2 3 no; do
  [ $n = no ] && refuse cannot-open 'wrong passphrase'
  ask 'Passphrase (is not shown): ' -echo; say '... wait'
  p=$(printf %s "$a" | tr A-Z a-z | tr -cd a-z) a=
  [ "$(mac)" = "$(cat "$P/m")" ] && break
  say 'It does not open this text.'
 done
 O=$(unlock "$P/x" | gzip -dc) p=
 [ "$(get format) $(get device) $(get manager)" = \
  "sftunnel-paste/1 $D $M" ] || refuse bad-format 'other files'
 r=$(get rows) a=${r%% *} k=${r##* } r=${r#* } r=${r% *}
 ca=$(rows 6 "$a") cert=$(rows $((6 + a)) "$r")
 key=$(rows $((6 + a + r)) "$k"); O=$(get times)
 content cacert >"$P/ca"
 content sftunnel-cert >"$P/cert"
}
# What file $1 is to be, or no such file.
content() {
 case $G-$1 in
  install-cacert) printf '%s\n' "$ca" ;;
  install-sftunnel-cert) printf '%s\n' "$cert" ;;
  install-*) printf '%s\n' "$key" ;;
  *) cat "$B/$X/$M/$1.pem" ;;
 esac
}
digest() {
 if [ $G = install ] || [ -f "$B/$X/$M/$1.pem" ]; then
  content "$1" | sha; else echo null; fi; }
live() { sum "$L/$1.pem"; }

# notBefore as digits
begin() {
 openssl x509 -noout -startdate | sed 's/.*=//;s/:/ /g' | {
 read -r m d h i s y _; m=${q%%"$m"*}
 printf '%s%02d%02d%s' "$y" $((${#m} / 3 + 1)) "$d" "$h$i$s"; }
}
q=JanFebMarAprMayJunJulAugSepOctNovDec
older() { n=$(begin <"$1") o=$(begin <"$2")
 [ "$n" -ge "${o:-0}" ] ||
 refuse older-than-installed "$1 is of $n, $2 of $o"; }
check() {
 set -- $O; t=$(date +%s); u="the clock says $(date -u)"
 [ "$t" -ge "$1" ] || refuse clock-behind "$u"
 [ "$t" -ge "$2" ] || refuse not-yet-valid "$u"
 [ "$t" -le "$3" ] || refuse expired "$u"
 for t in sslclient sslserver; do
  openssl verify -purpose $t -CAfile "$P/ca" "$P/cert" >"$P/i" ||
   refuse not-issued-by-ca 'openssl verify fails'
 done
 [ "$(openssl x509 -noout -pubkey <"$P/cert")" = \
  "$(content sftunnel-key | openssl pkey -pubout)" ] ||
  refuse key-mismatch 'the key is not the certificate'\''s'
 [ -f "$L/cacert.pem" ] || return 0
 older "$P/ca" "$L/cacert.pem"
 cmp -s "$P/ca" "$L/cacert.pem" || return 0
 older "$P/cert" "$L/sftunnel-cert.pem"
}
place() {
 [ -d "$L" ] || refuse not-registered "there is no $L"
 for f in "${L%/*}" "$L" "$S" $(each file); do
  [ -h "$f" ] && refuse wrong-destination "$f is a link"
 done
 for f in $(each file); do
  [ -f "$f" ] || { [ -e "$f" ] &&
   refuse wrong-destination "$f is not a file"; }
 done
 f=$(find "${L%/*}" "$L" -prune -perm -2 -print -o \
  -user 0 -o -print)
 [ -z "$f" ] || refuse wrong-destination "others may write in:" $f
 # Room: a MiB and 16 inodes, where inodes are counted.
 for f in "$L" "${S%/*}" "$S"; do
  set -- $(stat -f -c '%a %S %c %d' "$f" 2>/dev/null)
  [ $((${1:-2048} * (${2:-512} / 512))) -ge 2048 ] &&
  { [ "${3:-0}" = 0 ] || [ "$4" -ge 16 ]; } || refuse no-space "$f"
 done
 mkdir -p "$B" && chmod 700 "$S" || refuse read-only "$S"
 exec 9>>"$S/lock"
 if command -v flock >/dev/null; then
  flock -n 9 || refuse busy 'another run changes this box'; fi
}
write() { n=$S/.$1.new; cat >"$n" && sync && mv -f "$n" "$S/$1" &&
 sync; }
# $1: phase; $2: must sftunnel be restarted whatever runs?
journal() {
 j='{"format":"sftunnel-journal/1","device":"'$D'","phase":"'$1
 j=$j'","goal":"'$G'","backup":"'$I'","backup_sums":"'
 j=$j$(sum "$B/$I/SHA256SUMS")'","started_at":"'$(now)
 j=$j'","old_pid":'${old:-null}',"boot_id":'$K',"remember":['
 j=$j'{"manager":"'$M'","bundle_id":null,'
 j=$j'"signer":null,"pin":false,"files":['$new
 j=$j'],"ca_not_before":null}],"known":['$known
 j=$j'],"must_restart":'"$2}"
 { printf '%s\n' "$j"; printf %s "$j" | sha; } | write journal
}
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
K=$(cat "$R/proc/sys/kernel/random/boot_id" 2>/dev/null)
K=${K:+\"$K\"} K=${K:-null}
found() {
 f=$L/$1.pem
 if [ -f "$f" ]; then
  cp "$f" "$d/$M/" && set -- "$1" $(stat -c '%s %a %u %g' "$f") &&
  x='{"size":%s,"sha256":"%s","mode":"%04d","uid":%s,"gid":%s}' &&
  x=$(printf "$x" "$2" "$(sum "$f")" "$3" "$4" "$5") || return 1
 else x=null; fi
 printf '%s{"name":"%s.pem","found":%s}' "$o" "$1" "$x" && o=,
}
backup() {
 n=0 o=
 for d in "$B"/[0-9]*Z; do
  d=${d##*/} d=${d%%-*} d=${d#"${d%%[1-9]*}"}
  [ "${d:-0}" -gt $n ] && n=$d
 done 2>/dev/null
 n=$((n + 1)) d=$B/.new-$n; rm -rf "$B"/.new-*; mkdir -p "$d/$M" &&
 { printf '{"format":"sftunnel-backup/1","device":"%s",' $D
 printf '"sequence":%s,"created_at":"%s",' $n "$(now)"
 printf '"before":"%s",' $G
 printf '"program":"%s","peers":[{"manager":"%s","files":[' "$V" $M
 each found && echo ']}]}'; } >"$d/backup.json" &&
 { printf '#\041/bin/sh\n'; cat "$0"; } >"$d/rollback" &&
 chmod 700 "$d/rollback" && cd "$d" &&
 sha256sum backup.json rollback $M/* >SHA256SUMS && sync &&
 sha256sum -c SHA256SUMS >/dev/null && cd / &&
 n=$(printf %04d $n)-$(date -u +%Y%m%dT%H%M%SZ) &&
 mv "$d" "$B/$n" && sync && I=$n
}
next() { s=$L/.sftunnel-airgap-${I%%-*}-$1.new; }
stage() {
 next "$1"; [ "$(digest "$1")" = null ] && return
 content "$1" >"$s" && chown 0:0 "$s" && chmod 644 "$s" &&
 [ "$(sum "$s")" = "$(digest "$1")" ]
}
swap() {
 next "$1"; [ "$(digest "$1")" = null ] && set -- "$1" rm
 ${2:-mv} -f ${2:-"$s"} "$L/$1.pem"
}
unstage() { rm -f "$L"/.sftunnel-airgap-*.new; }
close() { unstage; rm -f "$J" && sync; }
pmtool() {
 t=$1; shift; c=timeout; command -v $c >/dev/null || c='' t=''
 $c $t "$pm" "$@" </dev/null 2>/dev/null 9>&-
}
pid() { pmtool 30 status |
 sed -n 's/^sftunnel (.*) - Running //p'; }
# The proof: another process than before, which stays.
restart() {
 say '... restarting sftunnel, minutes at worst. Stay.'
 p=$(pid); [ "$p" ] && old=$p
 pmtool 330 restartbyid sftunnel >/dev/null
 c='' up=0 gone=0 t=0
 while [ $t -lt 330 ] && [ $gone -lt 30 ]; do
  p=$(pid)
  [ "${c:-$p}" = "$p" ] || return 1
  case $p in
   '') gone=$((gone + 1)) ;;
   "$old") ;;
   *) c=$p; [ $up -ge "$W" ] && return; up=$((up + 1)) ;;
  esac
  sleep 1; t=$((t + 1))
 done
 return 1
}
whole() { (cd "$B/$1" && sha256sum -c SHA256SUMS >/dev/null); }
# Puts backup $I back; $1: must sftunnel be restarted?
back() {
 G=restore X=$I; new=$(each digest | json); unstage
 whole "$I" && journal commit "$1" && each stage && sync &&
 each swap && sync || end 7 "The old files are not all back." \
  "When the cause is mended, run $B/$I/rollback"
 [ "$1" = false ] || restart || { close
  end 7 "The old files are live. sftunnel is down: $pm status"; }
 close
}
finish() {
 restart && { close
  end 0 "Done: sftunnel runs on them. Undo: $B/$I/rollback"; }
 say 'sftunnel does not stay up. The old files are put back.'
 back true; end 6 'Rolled back: sftunnel runs on the old files.'
}
recover() {
 j=$(sed -n 1p "$J")
 item() {
  printf %s "$j" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
 [ "$(printf %s "$j" | sha)" = "$(sed -n 2p "$J")" ] &&
 I=$(item backup) && [ -f "$B/$I/rollback" ] &&
 [ "$(item device) $(item manager)" = "$D $M" ] ||
  end 7 'Another run was cut off: sftunnel-install recover'
 for f in $(each live); do case $j in *$f*) ;; *)
  end 7 "$L has other files now. Look, then remove $J"; esac; done
 old=$(printf %s "$j" | sed -n 's/.*"old_pid":\([0-9]*\).*/\1/p')
 known=$(printf %s "$j" | sed 's/.*"known":\[\([^]]*\).*/\1/')
 say 'An earlier run was cut off.'; hold
 [ "$(item phase) $(item goal) $G $(each live | json)" = \
  "restart install install $new" ] && finish
 say 'Its old files are put back first.'; g=$G x=$X; back true
 [ $g = install ] || end 0 'They are live.'
 G=$g X=$x; free
}
others() {
 for f in "$R/var/sf/peers"/*/; do
  [ "$f" = "$L/" ] || [ -f "$f/cacert.pem" ] || continue
  m=$((m + 1)); [ "$f" = "$L/" ] ||
  { openssl x509 -noout -checkend 0 <"$f/cacert.pem" &&
    openssl x509 -noout -checkend 0 <"$f/sftunnel-cert.pem"
  } >/dev/null 2>&1 || say "WARNING: $f would not come back."
 done
}
plan() {
 say "@NAME@, manager $M"
 for f in $A; do
  say " $f.pem  $(live $f | cut -c1-8) -> $(digest $f | cut -c1-8)"
 done
 m=0; others
 say "sftunnel ($old) restarts. Tunnels that this interrupts: $m"
 ask 'Type yes to go on: ' echo
 [ "$a" = yes ] || refuse not-confirmed 'nothing has changed'
}

[ $G = rollback ] || unseal
place
new=$(each digest | json)
[ -f "$J" ] && recover
if [ $G = install ]; then check
else whole "$X" || refuse damaged "$B/$X"; fi
pmtool 30 status | grep '^sftunnel (' >/dev/null ||
 refuse cannot-tell "$pm status does not name sftunnel"
old=$(pid); plan; was=$(each live); hold
new=$(each digest | json) known=$({ each live; each digest; } |
 grep -v null | json)
backup || end 1 "No backup in $B. Nothing has changed."
each stage && sync && [ "$(each live)" = "$was" ] &&
journal commit false || { close; end 1 'Nothing has changed.'; }
each swap && sync && journal restart false || {
 say 'It failed in the middle. The old files are put back.'
 back true; end 6 'Rolled back: sftunnel runs on the old files.'; }
finish
