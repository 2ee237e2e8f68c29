# What a worker's container may do, where the machine has AppArmor. Load it as root:
#   apparmor_parser -r apparmor.profile
# The docker back end uses it once it is loaded, and the daemon's own profile until then.
#include <tunables/global>

profile narrows-worker flags=(attach_disconnected,mediate_deleted) {
  # Its one program, and what that program looks up as it starts.
  /narrows-worker mrix,
  @{PROC}/@{pid}/{maps,status,stat} r,
  @{PROC}/self/{maps,status,stat} r,
  /etc/localtime r,
  /dev/{null,zero,urandom} rw,
  # Scratch files.
  /tmp/ rw,
  /tmp/** rw,

  # The daemon starts it and ends it, itself or by its runtime; where these have profiles of their
  # own (Ubuntu from 23.10 on), they are known by those.
  signal (receive) peer=unconfined,
  signal (receive) peer={runc,crun,runsc,conmon,podman,rootlesskit},
  signal (receive) peer={dockerd,/usr/bin/dockerd,/usr/sbin/dockerd,snap.docker.dockerd},
  signal (send, receive) peer=narrows-worker,

  deny network,
  deny mount,
  deny umount,
  deny pivot_root,
  deny ptrace,
  deny capability,
  deny @{PROC}/sys/** wklx,
  deny /sys/** wklx,
}
