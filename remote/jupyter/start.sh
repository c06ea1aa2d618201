#!/bin/sh
# Runs JupyterLab in the foreground: in tmux, or in a session of its own where there is no tmux.
set -eu
root=$HOME/.gpu-box
VIRTUAL_ENV=$root/venv
PATH=$VIRTUAL_ENV/bin:$PATH
export VIRTUAL_ENV PATH
cd "$HOME/work"
umask 077
echo "$$" >"$root/jupyter/pid"
exec "$VIRTUAL_ENV/bin/jupyter-lab" --config="$root/remote/jupyter/jupyter_server_config.py" \
    >"$root/jupyter/log" 2>&1
