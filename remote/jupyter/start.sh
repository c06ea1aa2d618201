#!/bin/sh
# Runs JupyterLab in the foreground. The caller starts it in tmux if tmux is installed.
set -eu
# First: it may set JUPYTER_PATH, and any name.
[ ! -r "$HOME/.gpu-box/env.sh" ] || . "$HOME/.gpu-box/env.sh"
root=$HOME/.gpu-box
VIRTUAL_ENV=$root/venv
PATH=$VIRTUAL_ENV/bin:$PATH
JUPYTER_PATH=$root/jupyter/share${JUPYTER_PATH:+:$JUPYTER_PATH} # kernels (setup/steps/environment.py)
export VIRTUAL_ENV PATH JUPYTER_PATH
[ -n "${TMPDIR-}" ] || [ ! -L "$HOME/scratch" ] || [ ! -w "$HOME/scratch/tmp" ] || export TMPDIR="$HOME/scratch/tmp"
cd "$HOME/work"
umask 077
echo "$$" >"$root/jupyter/pid"
exec "$root/jupyter-venv/bin/jupyter-lab" --config="$root/remote/jupyter/jupyter_server_config.py" \
    >"$root/jupyter/log" 2>&1
