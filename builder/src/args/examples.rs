//! What `--help` shows after each command's flags.

pub(super) const EXAMPLES: &str = "\
Examples:
  sftunnel-bundle check
      how long the certificates last, and what to do next
  sftunnel-bundle plan
      what would be in the kit; writes nothing
  sftunnel-bundle build --out /mnt/usb
      a passphrase kit; asks for the passphrase
  sftunnel-bundle verify /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-bundle receipts /mnt/usb/sftunnel-kit-cdb123c8-1726805447
      which devices are done, once the stick is back

Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 some devices were refused;
`check` has those of monitoring plugins.
`sftunnel-bundle COMMAND -h` shows a line for each flag, `COMMAND --help` all,
with examples.";

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle check
      how long the certificates on this FMC last, and what to do next
  sftunnel-bundle check --warning 180 --critical 60
  sftunnel-bundle check --quiet --prometheus /var/lib/node_exporter/sft.prom
  sftunnel-bundle check --root /mnt/fmc-image --json
  sftunnel-bundle check --plugin

With --plugin the first line holds the state and performance data.
Exit codes, of this command alone: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also
for a wrong command line).";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle plan
  sftunnel-bundle plan --device BSNS-1120-1 --recipient age1...
  sftunnel-bundle plan --json | jq '.results[] | select(.status == \"refused\")'

Takes the flags of `build`: change one word, and the plan becomes a build. Asks
for no passphrase, and makes no signing key.";

pub(super) const BUILD_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle build --out /mnt/usb
      asks for a passphrase, twice
  sftunnel-bundle build --generate-passphrase --out /mnt/usb
      shows a strong one, once
  sftunnel-bundle build --recipient age1... --recipients-file escrow.txt
  sftunnel-bundle build --recipient-map sites.csv --device BSNS-1120-1
      sites.csv holds lines such as BSNS-1120-1,age1...
  sftunnel-bundle build --failed-push /var/tmp/certs/1726805447/FAILED_PUSH
  sftunnel-bundle build --peer c8d5d5c6-87c9-11ef-a993-b9831565bc4e
      without a list: the pair that lies in that device's folder

Next: copy the folder to the stick, check the copy in its folder with
`sha256sum -c SHA256SUMS`, and on the device run `sh install.sh` there.";

pub(super) const PASTE_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle paste edge-2
      from the newest FAILED_PUSH; the text goes to standard output
  sftunnel-bundle paste edge-2 > edge-2.txt
  sftunnel-bundle paste --peer c8d5d5c6-87c9-11ef-a993-b9831565bc4e
  sftunnel-bundle paste edge-2 --kit KIT --passphrase-file pass.txt
  sftunnel-bundle paste edge-3 --text-passphrase-file six-words.txt

Log in at the device, become root, paste the text. The box needs a shell and its
own openssl, nothing else. It asks for the passphrase, shows what it will do,
and goes on after `yes`. Pasted again after any interruption it ends with all
files old or all files new. The text is sealed; the passphrase is the only
thing to keep from others: tell it by phone.";

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle inspect /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-bundle inspect --identity identity.txt ftd1_c8d5d5c6-....tar.gz.age
  sftunnel-bundle inspect - < bundle.age";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle verify /mnt/usb/sftunnel-kit-cdb123c8-1726805447
      checksums, index and signature
  sftunnel-bundle verify --passphrase-file pass.txt KIT
      also opens every bundle and checks what is in it
  sftunnel-bundle verify --signer SHA256:... --identity identity.txt BUNDLE";

pub(super) const HANDOFF_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle handoff KIT -i mine.txt --recipient age1... --out next
      seals every bundle anew for one recipient
  sftunnel-bundle handoff KIT -i mine.txt --recipient-map m.csv --split --out s
      one kit for each recipient of the map, with its own devices only
  sftunnel-bundle handoff KIT --signer SHA256:... --generate-passphrase --out d
      a passphrase kit; the signer of the bundles must be known, see below
  sftunnel-bundle handoff BUNDLE -i mine.txt -r age1... --out next
      one bundle by itself

Nothing is written in clear. The device accepts only the signer of the bundles:
tell the next team that fingerprint. kit.json is signed anew with your key; it
lists who built the kit, and every handoff.

A passphrase confirms the signer of the bundles. For a passphrase kit that
signer must be known: name it with --signer, or give the kit's old passphrase,
or confirm it at the terminal. This machine's own signer is known. Any other one
is refused (unknown-signer).";

pub(super) const RECEIPTS_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle receipts /mnt/usb/sftunnel-kit-cdb123c8-1726805447
      reads the kit's list of devices and the receipts that lie beside it
  sftunnel-bundle receipts KIT -
      then paste a receipt that `install --receipt-out -` has printed
  sftunnel-bundle receipts KIT returned/ --csv > receipts.csv
  sftunnel-bundle receipts KIT returned/ --html ticket.html
      also writes a page; on the FMC it runs sftunnel_status.pl and says whose
      tunnel is up since

A device is done, rolled back, outstanding (no receipt), or unverified (its last
receipt does not verify). The receipt of an installation is signed with a
certificate of the CA in use. The receipt of a rollback is signed with the old
certificate: an earlier receipt of the same device, or the old CA (--ca),
verifies it.

Exit codes: 0 no receipt was refused, also while devices are outstanding (the
JSON counts them); 3 some receipt does not verify.";

pub(super) const DELIVER_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle deliver KIT --inventory devices.csv --dry-run
      shows who would be visited how
  sftunnel-bundle deliver KIT --inventory devices.csv
      asks for the kit's passphrase and the account's password, once each
  sftunnel-bundle deliver KIT --device edge-2 --jump admin@jumphost
  sftunnel-bundle deliver KIT --via 'ssh -tt -F lab.conf {login}@{address}'
  sftunnel-bundle deliver KIT --only-check --transcripts seen/

Host keys: ssh's known_hosts decides; an unknown or changed key is refused.
A second run visits only the devices that no receipt shows to be done.

Exit codes: 0 every device is done; 4 some are; 3 none is.";

pub(super) const KEYGEN_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle keygen identity --out site-a.txt
      prints the recipient (age1...) to give to `build --recipient`
  sftunnel-bundle keygen signer --out signer.pem
      prints the fingerprint to tell by phone; use it with `build --sign-key`";

pub(super) const SUPPORT_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle support
  sftunnel-bundle support --out /mnt/usb
      onto the stick
  sftunnel-bundle support --out - | less
      to read it first

A part that cannot be read says why, and the others are there. Text in the
form of a key or passphrase is replaced by [removed: ...]. It names devices and
addresses, so read it before you send it.";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  sftunnel-bundle man
  sftunnel-bundle man build | man -l -
      where there is a `man`
  sftunnel-bundle man build > sftunnel-bundle-build.1";

pub(super) const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(sftunnel-bundle completion bash)
      for this shell, if it is bash
  sftunnel-bundle completion bash > /etc/bash_completion.d/sftunnel-bundle
  sftunnel-bundle completion fish | source";
