# Lines 001-@CHECK@: has every line come whole? (SHA-256)
P=$1 N=@LAST@ W='@SUM@'
trap 'rm -rf "$P"; exit 130' HUP INT QUIT TERM
[ -t 0 ] || exec </dev/tty || exit 1
sha() { sha256sum | cut -c"1-$1"; }
whole() { [ "$(sed 1,@CHECK@d "$P/a" | sha 16)" = "$W" ]; }
all() { tr -d '\r' <"$P/t" | grep '^#[0-9]' | sort -u; }
range() { m="$m $e-$1"; [ "$1" -gt "$e" ] || m="${m%-*}"; }
LC_ALL=C; export LC_ALL; all >"$P/a"
until whole; do
 all | while IFS= read -r l; do
  t=${l#?????????} n=${l%"$t"} c=${n#?????} n=${n#?}
  [ "${c% }" = "$(printf '%s' "${n%%" "*} $t" | sha 3)" ] &&
   printf '%s\n' "$l"
 done >"$P/a"
 m='' e=1
 while read -r n l; do
  n=${n#"#"} n=${n#0} n=${n#0}
  [ "$n" -eq "$e" ] || range $((n - 1))
  e=$((n + 1))
 done <"$P/a"
 [ $e -gt $N ] || range $N
 [ "$m" ] || whole || { m=" 1-$N"; : >"$P/t"; }
 [ "$m" ] || break
 printf '\nMissing or damaged: lines%s. Paste these\n' "$m" >&2
 echo 'again, then a line with : alone.' >&2
 sed '/^:/q' >>"$P/t"; all >"$P/a"
done
# The clear script (s), its MAC (m) and the sealed files (x):
sed -n '@SCRIPT@s/^.........//p' "$P/a" >"$P/s"
sed -n '@MAC@s/^.........//p' "$P/a" >"$P/m"
sed '1,@MAC@d;s/^.........//' "$P/a" | openssl base64 -d >"$P/x"
exec sh "$P/s" "$P"
