# The lesson's own commands, on gpu-box. Use: eval "$(gpu-box aliases)"
aws-start() { gpu-box@BOX@ up "$@"; }
aws-stop() { gpu-box@BOX@ stop "$@"; }
aws-ssh() { gpu-box@BOX@ ssh "$@"; }
aws-nb() { gpu-box@BOX@ jupyter "$@"; }
aws-state() { gpu-box@BOX@ --json status "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }
aws-ip() { gpu-box@BOX@ --json status "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)["address"])'; }
