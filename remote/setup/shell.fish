# Sourced by fish (setup/steps/shell.py); does the same as shell.sh.
if not set -q TMPDIR; and test -L ~/scratch; and test -w ~/scratch/tmp
    set -gx TMPDIR ~/scratch/tmp
end
# As in shell.sh: an unknown terminal, and macOS's locale.
if test -t 0; and not infocmp "$TERM" >/dev/null 2>&1
    set -gx TERM xterm-256color
end
test "$LC_CTYPE" != UTF-8; or set -gx LC_CTYPE C.UTF-8
set -l gpu_box_bin $HOME/.gpu-box/venv/bin
test -e ~/.gpu-box/project-venv/ready; and set gpu_box_bin $HOME/.gpu-box/project-venv/bin
if not contains -- $gpu_box_bin $PATH
    set -q GPU_BOX_SYSTEM_PATH; or set -gx GPU_BOX_SYSTEM_PATH (string join : $PATH)
    set -gx PATH $gpu_box_bin $PATH
end
if test -r ~/.gpu-box/env.sh
    # NAME=value, terminated by NUL, because values may have newlines.
    env -i sh -c '. "$1"; exec env -0' sh ~/.gpu-box/env.sh | while read -lz -d = name value
        contains -- $name PWD OLDPWD SHLVL _; or set -gx $name $value
    end
end
