#!/usr/bin/env bash
# From nothing to a trained model on the embedded cloud: no AWS account, no root, no cost.
# `make demo` runs it with the folder of its virtual environment. It cleans up, also on Ctrl-C.
set -euo pipefail

here=$(cd "$1" && pwd)
export PATH="$here/venv/bin:$PATH"
export GPU_BOX_HOME="$here/cloud" PYTHONDONTWRITEBYTECODE=1
# Only the caches of pip and uv, which save downloads, are shared with the user's other work.
caches=${XDG_CACHE_HOME:-$HOME/.cache}
export PIP_CACHE_DIR=${PIP_CACHE_DIR:-$caches/pip} UV_CACHE_DIR=${UV_CACHE_DIR:-$caches/uv} XDG_CACHE_HOME="$here/cache"
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
    rm -rf "$GPU_BOX_HOME" "$XDG_CACHE_HOME"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

show() { # print the command, then run it
  printf '\n\033[1m$ %s\033[0m\n' "$*"
  "$@"
}
say() { printf '\n\033[36m# %s\033[0m\n' "$*"; }

rm -rf "$work" "$GPU_BOX_HOME"
mkdir -p "$work"
cd "$work"

say "Write a config; the SSH key and SSH config stay inside this folder."
show gpu-box init --yes --region us-east-1 --instance-type g4dn.xlarge
sed -i.bak -e 's|  key: ~/.ssh/gpu-box|  key: ./demo-key|' -e 's|  config: true|  config: false|' config.yaml
rm config.yaml.bak
show gpu-box --local plan

say "Create the box: instance, SSH, set-up, code, JupyterLab. On AWS use the same commands without --local."
show gpu-box --local up
show gpu-box --local status

say "Train VGG16 on 200 real photographs (faces or not), small enough for a CPU, and pull the results."
show gpu-box --local train --preset demo
show gpu-box --local pull
show ls results
show head -n 4 results/submission.csv

say "Stop the box, then start it again with the same disk."
show gpu-box --local stop
show gpu-box --local up
show gpu-box --local ssh -- ls work/results

say "Remove everything."
show gpu-box --local down --yes
show gpu-box --local ls

accuracy=$(python3 -c 'import json; print("%.0f %%" % (100 * json.load(open("results/summary.json"))["held_out_accuracy"]))')
cat <<END

Done in $((SECONDS - began)) s: a box from nothing to a trained model (held-out accuracy $accuracy), stopped,
started again with its disk, and removed. The results are in $work/results.
Outside $here there are only downloads, in caches that may be deleted at any time:
$(for cache in "$PIP_CACHE_DIR" "$UV_CACHE_DIR"; do if [ -d "$cache" ]; then echo "  $cache"; fi; done)

The same on AWS:
  pip install '.[local]'      # from a clone
  aws configure               # once: your keys
  gpu-box init                # region, instance type, budget
  gpu-box up                  # about \$0.54 an hour (g4dn.xlarge); it stops itself when idle
  gpu-box jupyter             # the lesson's notebook
END
