# Sourced by the user's shells (setup/steps/shell.py). Puts python and pip of jobs and notebooks first in PATH, unless
# they are in it already: an inner shell keeps the environment that the user activated in the outer.
# Temporary files go to the local NVMe if ~/scratch is on it (scratch/scratch.py).
[ -n "${TMPDIR-}" ] || [ ! -L "$HOME/scratch" ] || [ ! -w "$HOME/scratch/tmp" ] || export TMPDIR="$HOME/scratch/tmp"
[ ! -r "$HOME/.gpu-box/env.sh" ] || . "$HOME/.gpu-box/env.sh" # `env` and `env_file` of the config
# A terminal that this machine does not know (xterm-ghostty), in which tmux and top would refuse to start.
[ ! -t 0 ] || infocmp "${TERM-}" >/dev/null 2>&1 || export TERM=xterm-256color
[ "${LC_CTYPE-}" != UTF-8 ] || export LC_CTYPE=C.UTF-8 # as macOS sends it: no locale of Linux
gpu_box_bin=$HOME/.gpu-box/venv/bin
[ ! -e "$HOME/.gpu-box/project-venv/ready" ] || gpu_box_bin=$HOME/.gpu-box/project-venv/bin # the project's own (uv.lock)
case ":$PATH:" in
*":$gpu_box_bin:"*) ;;
*)
    GPU_BOX_SYSTEM_PATH=${GPU_BOX_SYSTEM_PATH:-$PATH} # for gpu-box, which uses the system's python3
    PATH=$gpu_box_bin:$PATH
    export GPU_BOX_SYSTEM_PATH PATH
    ;;
esac
unset gpu_box_bin
