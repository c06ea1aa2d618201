# Sourced by the user's shells (setup/steps/shell.py): python and pip of jobs and notebooks, before the system's.
# Skipped if PATH has them already: an inner shell keeps the environment that the user activated in the outer.
case ":$PATH:" in
*":$HOME/.gpu-box/venv/bin:"*) ;;
*)
    GPU_BOX_SYSTEM_PATH=$PATH # for gpu-box itself, which runs on the system's python3
    PATH=$HOME/.gpu-box/venv/bin:$PATH
    export GPU_BOX_SYSTEM_PATH PATH
    ;;
esac
