import contextlib
import os
import sys

_NO_SUCH_FOLDER = 3
_MARK = os.path.expanduser("~/.gpu-box/sync/active")  # the watcher sees it change: files are on their way

command, folder, options = sys.argv[1], sys.argv[2], sys.argv[3:]
with contextlib.suppress(OSError):  # a full disk: the sync itself says so
    os.makedirs(os.path.dirname(_MARK), exist_ok=True)
    os.close(os.open(_MARK, os.O_WRONLY | os.O_CREAT, 0o600))
    os.utime(_MARK)
try:  # each imports what it needs: this starts at every sync
    if command == "prepare":
        from sync.prepare import prepare

        prepare(folder, sys.stdin.buffer.read(), delete="--delete" in options)
    elif command == "list":
        from sync.listing import listing

        listing(folder)
    elif command == "receive":
        from sync.receive import receive

        receive(folder, sys.stdin.buffer.read())
    elif command == "send":
        from sync.send import send_files

        send_files(folder, sys.stdin.buffer.read())
    else:
        sys.exit("usage: python3 -m sync prepare|list|receive|send FOLDER")
except (FileNotFoundError, NotADirectoryError) as problem:
    print(problem, file=sys.stderr)
    sys.exit(_NO_SUCH_FOLDER)
except OSError as problem:
    sys.exit(str(problem))
