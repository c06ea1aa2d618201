#!/usr/bin/env bash
# The main job from nothing to a trained model, on the embedded cloud: no AWS account, no root, no cost.
# `make demo` runs it with the folder that holds its virtual environment. What it starts, it ends, also on Ctrl-C.
set -euo pipefail

here=$(cd "$1" && pwd)
export PATH="$here/venv/bin:$PATH"
export GPU_BOX_HOME="$here/cloud" PYTHONDONTWRITEBYTECODE=1
work=$here/work
began=$SECONDS

clean_up() {
  local status=$?
  trap '' INT TERM
  trap - EXIT
  if [ -d "$GPU_BOX_HOME" ]; then
    [ "$status" -eq 0 ] || printf '\ncleaning up: the box and the embedded cloud\n' >&2
    (cd "$work" && gpu-box --local --yes --json down) >/dev/null 2>&1 || true
    gpu-box local stop >/dev/null 2>&1 || true
    rm -rf "$GPU_BOX_HOME"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

show() { # the command as a user would type it, then its real output
  printf '\n\033[1m$ %s\033[0m\n' "$*"
  "$@"
}
say() { printf '\n\033[36m# %s\033[0m\n' "$*"; }

rm -rf "$work" "$GPU_BOX_HOME"
mkdir -p "$work"
cd "$work"

say "A config of our own; the SSH key and the SSH config stay inside this folder."
show gpu-box init --yes --region us-east-1 --instance-type g4dn.xlarge
sed -i.bak -e 's|  key: ~/.ssh/gpu-box|  key: ./demo-key|' -e 's|  config: true|  config: false|' config.yaml
rm config.yaml.bak
show gpu-box --local plan

say "From nothing: instance, SSH, set-up, code, JupyterLab. On AWS the same commands, without --local."
show gpu-box --local up
show gpu-box --local status

say "Train VGG16 on 200 real photographs (faces or not), small enough for a CPU, and fetch what it made."
show gpu-box --local train --preset demo
show gpu-box --local pull
show ls results
show head -n 4 results/submission.csv

say "Stop the meter; come back to the disk as it was left."
show gpu-box --local stop
show gpu-box --local up
show gpu-box --local ssh -- ls work/results

say "Leave nothing behind."
show gpu-box --local down --yes
show gpu-box --local ls

accuracy=$(python3 -c 'import json; print("%.0f %%" % (100 * json.load(open("results/summary.json"))["held_out_accuracy"]))')
cat <<END

Done in $((SECONDS - began)) s: a box from nothing to a trained model (held-out accuracy $accuracy), stopped,
started again with its disk, and removed. The results are in $work/results.

The same on AWS:
  pip install gpu-box
  aws configure               # once: your keys
  gpu-box init                # region, instance type, budget
  gpu-box up                  # about \$0.54 an hour (g4dn.xlarge); it stops itself when idle
  gpu-box jupyter             # the lesson's notebook
END
