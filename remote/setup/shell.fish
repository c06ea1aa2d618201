# Sourced by fish (setup/steps/shell.py): the same as shell.sh.
if not contains -- $HOME/.gpu-box/venv/bin $PATH
    set -gx GPU_BOX_SYSTEM_PATH (string join : $PATH)
    set -gx PATH $HOME/.gpu-box/venv/bin $PATH
end
