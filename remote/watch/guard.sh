#!/bin/sh
# The guard: powers off when the watcher's heartbeat has not changed for LOOKS checks in a row. A timer runs it
# every minute. It counts in /run (memory), and needs no Python, no disk space and no correct clock.
#   guard LOOKS
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
looks=${1:-15}
run=${GPU_BOX_RUN:-/run/gpu-box}
stopped=${GPU_BOX_STOPPED:-/var/lib/gpu-box/watch/stopped.json}
mkdir -p "$run"
beat=$(cat "$run/heartbeat" 2>/dev/null) || beat=missing
last='' count=0
if [ -r "$run/guard" ]; then
    { read -r last && read -r count; } <"$run/guard" || count=0
fi
case $count in '' | *[!0-9]*) count=0 ;; esac
if [ "$beat" = "$last" ]; then count=$((count + 1)); else count=0; fi
# If memory is full too, the count is lost: that alone must not stop a box.
printf '%s\n%s\n' "$beat" "$count" >"$run/guard.new" && mv -f "$run/guard.new" "$run/guard"
[ "$count" -ge "$looks" ] || exit 0

reason="the watcher's heartbeat did not change for $count checks of the guard"
figures=$(cat "$run/figures.json" 2>/dev/null) || figures='{}'
json=$(printf '{"layer": "guard", "reason": "%s", "wall": %s, "boot": "%s", "signals": %s}' \
    "$reason" "$(date +%s)" "$(cat /proc/sys/kernel/random/boot_id)" "$figures")
# Overwriting the allocated file in place works on a full disk.
[ -d "${stopped%/*}" ] && printf '%-4095s\n' "$json" 1<>"$stopped"
printf '%s\n' "gpu-box: stopping this machine: $reason" "gpu-box-stopped $json" >/dev/console
# Send a notice if there is a webhook and Python still works; wait 9 s for it at most.
(cd "${GPU_BOX_CODE:-/usr/local/lib/gpu-box}" &&
    exec python3 -E -s -S -m watch notify stopped "by the guard: $reason" --within 6) >/dev/null 2>&1 </dev/null &
for _ in 1 2 3 4 5 6 7 8 9; do
    kill -0 $! 2>/dev/null || break
    sleep 1
done
${GPU_BOX_POWEROFF:-systemctl poweroff} || shutdown -h now
[ -z "${GPU_BOX_POWEROFF:-}" ] || exit 0
# Still up: a service does not end, or systemd does not react.
sleep 60
timeout 20 systemctl --force --force poweroff || echo o >/proc/sysrq-trigger
