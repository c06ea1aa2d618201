# Run by `gpu-box tmux` on the box, with sh, whatever the login shell is: attaches to the session `main`, or makes it.
command -v tmux >/dev/null || {
    echo 'tmux is not installed on this machine' >&2
    exit 1
}
tmux=tmux
socket=${TMUX_TMPDIR:-/tmp}/tmux-$(id -u)/default
# A cleaner of /tmp may have removed the socket of a server that still runs: it makes it again (tmux's FAQ).
if [ ! -S "$socket" ] && pkill -USR1 -u "$(id -u)" -x 'tmux: server'; then
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ ! -S "$socket" ] || break
        sleep 0.2
    done
fi
# After an upgrade of tmux, a server that still runs understands only its own program, which is deleted by now.
for pid in $(pgrep -u "$(id -u)" -x 'tmux: server'); do
    case $(readlink "/proc/$pid/exe") in *' (deleted)') tmux=/proc/$pid/exe ;; esac
done
exec "$tmux" new-session -A -s main -c ~/work
