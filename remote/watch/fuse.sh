#!/bin/sh
# The fuse: from the first moment of every boot, power off after a while unless the watcher has reported healthy.
# Run by cloud-init's bootcmd before anything else; needs no network, no package and no file but itself.
#   fuse SPAN      e.g. 1800s; arm it now and at every later boot
set -u
span=${1:-1800s}
units=${GPU_BOX_UNITS:-/etc/systemd/system}
mkdir -p "$units/sysinit.target.wants"
cat >"$units/gpu-box-fuse.service" <<'UNIT'
[Unit]
Description=gpu-box fuse: power off, for no watcher has reported healthy
DefaultDependencies=no
ConditionPathExists=!/run/gpu-box/healthy
[Service]
ExecStart=/bin/sh -c '\
  b="$$(cat /proc/sys/kernel/random/boot_id)"; why="no watcher reported healthy in time after boot"; \
  mkdir -p /var/lib/gpu-box/watch; \
  printf "%%-4095s\\n" "{\\"layer\\": \\"fuse\\", \\"reason\\": \\"$$why\\", \\"wall\\": $$(date +%%s), \\"boot\\": \\"$$b\\"}" \
    1<>/var/lib/gpu-box/watch/stopped.json; \
  echo "gpu-box: stopping this machine: $$why" >/dev/console; \
  systemctl poweroff || shutdown -h now; \
  sleep 120; systemctl --force poweroff; sleep 30; systemctl --force --force poweroff'
UNIT
cat >"$units/gpu-box-fuse.timer" <<UNIT
[Unit]
Description=gpu-box fuse
DefaultDependencies=no
[Timer]
OnBootSec=$span
AccuracySec=1s
[Install]
WantedBy=sysinit.target
UNIT
ln -sf ../gpu-box-fuse.timer "$units/sysinit.target.wants/gpu-box-fuse.timer"
[ -z "${GPU_BOX_UNITS:-}" ] || exit 0
systemctl daemon-reload && systemctl start --no-block gpu-box-fuse.timer && exit 0
# No systemd that listens: a process that waits.
setsid sh -c "sleep ${span%s}; [ -e /run/gpu-box/healthy ] || systemctl --force poweroff" >/dev/null 2>&1 &
