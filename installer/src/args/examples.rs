//! What `--help` shows after each command's flags.

pub(super) const EXAMPLES: &str = "\
Examples:
  sftunnel-install status
      what is installed, for how long it lasts, and whether the tunnels are up
  sftunnel-install install --dry-run /mnt/usb/sftunnel-kit-cdb123c8-1726805447
      what would be done; changes nothing
  sftunnel-install install /mnt/usb/sftunnel-kit-cdb123c8-1726805447
      shows the plan and asks before anything is changed
  sftunnel-install rollback
      puts back what was there before the last change

Exit codes: 0 done, or nothing to do; 1 failed, 2 usage, 3 refused: nothing was
changed; 5 installed, but sftunnel is not confirmed running; 6 rolled back; 7 a
person is needed, and the message says what to do.
`sftunnel-install COMMAND -h` shows a line for each flag, `COMMAND --help` all,
with examples.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  sftunnel-install status
      what is installed, for how long, which tunnels are up, what to do next
  sftunnel-install status --json
  sftunnel-install status --warning 180 --critical 60
  sftunnel-install status --quiet --prometheus /run/node_exporter/sft.prom
  sftunnel-install status --plugin
      first a line with performance data; exit codes 0 OK, 1 WARNING,
      2 CRITICAL, 3 UNKNOWN (also for a wrong command line). Without this flag
      the exit code is 0, also when something is wrong.";

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  sftunnel-install inspect /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install inspect --identity site.key ftd1_c8d5d5c6-....tar.gz.age
      also opens the bundle and shows what is in it";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  sftunnel-install verify /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install verify KIT --identity site.key --signer SHA256:...
  sftunnel-install verify KIT --rehearse=10.0.0.1
      also asks the manager at that address whether it would take the new files";

pub(super) const INSTALL_EXAMPLES: &str = "\
Examples:
  sftunnel-install install --dry-run /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install install /mnt/usb/sftunnel-kit-cdb123c8-1726805447
      shows the plan and asks
  sftunnel-install install --yes --passphrase-file pass.txt KIT-OF-1 KIT-OF-2
      kits of two managers: one change, one restart, and nothing is asked
  sftunnel-install install --identity site.key -
      then paste an armored bundle; it ends by itself

The restart interrupts the tunnels of every manager of this box. Stay until the
exit code is 0; what was there before is kept as a backup (`rollback`).";

pub(super) const ROLLBACK_EXAMPLES: &str = "\
Examples:
  sftunnel-install rollback
      the state before the last change
  sftunnel-install rollback --to 3 --dry-run
  sftunnel-install rollback --receipt-out /mnt/usb

`sftunnel-install backups list` shows what there is to go back to.";

pub(super) const RECOVER_EXAMPLES: &str = "\
Examples:
  sftunnel-install recover
      after a power cut, or a run that was killed";

pub(super) const BACKUPS_EXAMPLES: &str = "\
Examples:
  sftunnel-install backups list
  sftunnel-install backups prune --keep 5";

pub(super) const BACKUPS_LIST_EXAMPLES: &str = "\
Examples:
  sftunnel-install backups list
  sftunnel-install backups list --json";

pub(super) const BACKUPS_VERIFY_EXAMPLES: &str = "\
Examples:
  sftunnel-install backups verify
  sftunnel-install backups verify 3";

pub(super) const BACKUPS_PRUNE_EXAMPLES: &str = "\
Examples:
  sftunnel-install backups prune --keep 5";

pub(super) const SIGNERS_EXAMPLES: &str = "\
Examples:
  sftunnel-install signers list";

pub(super) const SIGNERS_LIST_EXAMPLES: &str = "\
Examples:
  sftunnel-install signers list
  sftunnel-install signers list --json";

pub(super) const SIGNERS_ADD_EXAMPLES: &str = "\
Examples:
  sftunnel-install signers add --manager cdb123c8-4347-11ef-aca1-f3aa241412a1 \\
      signing-key.pub.pem
  sftunnel-install signers add --manager cdb123c8-4347-11ef-aca1-f3aa241412a1 \\
      'fe12 0a5b ...'

The second takes the 64 digits that you heard on the phone. From then on only
pinned keys count for that manager, unless --signer names another.";

pub(super) const SIGNERS_REMOVE_EXAMPLES: &str = "\
Examples:
  sftunnel-install signers remove SHA256:...";

pub(super) const LOG_EXAMPLES: &str = "\
Examples:
  sftunnel-install log
  sftunnel-install log --json";

pub(super) const SUPPORT_EXAMPLES: &str = "\
Examples:
  sftunnel-install support
  sftunnel-install support --out /mnt/usb
      onto the stick
  sftunnel-install support --out - | less
      to read it first

A part that cannot be read says why, and the others are there. Text in the
form of a key or passphrase is replaced by [removed: ...]. It names devices and
addresses, so read it before you send it.";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  sftunnel-install man
  sftunnel-install man install | man -l -
      where there is a `man`
  sftunnel-install man install > sftunnel-install-install.1";

pub(super) const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(sftunnel-install completion bash)
      for this shell, if it is bash
  sftunnel-install completion bash > /etc/bash_completion.d/sftunnel-install
  sftunnel-install completion fish | source";
