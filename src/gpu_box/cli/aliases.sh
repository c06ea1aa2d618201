# The lesson's own commands, on gpu-box. Use: eval "$(gpu-box aliases)"
aws-start() { gpu-box@GIVEN@ up "$@"; }
aws-stop() { gpu-box@GIVEN@ stop "$@"; }
aws-ssh() { gpu-box@GIVEN@ ssh "$@"; }
aws-nb() { gpu-box@GIVEN@ jupyter "$@"; }
aws-state() { gpu-box@GIVEN@ --json status "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }
aws-ip() { gpu-box@GIVEN@ --json status "$@" | python3 -c 'import json, sys; print(json.load(sys.stdin)["address"])'; }
