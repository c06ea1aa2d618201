import contextlib
import os
import sys

_NO_SUCH_FOLDER = 3
_MARK = os.path.expanduser("~/.gpu-box/sync/active")  # a change tells the watcher that a sync runs

command, folder, options = sys.argv[1], sys.argv[2], sys.argv[3:]
with contextlib.suppress(OSError):  # the sync itself reports a full disk
    os.makedirs(os.path.dirname(_MARK), exist_ok=True)
    os.close(os.open(_MARK, os.O_WRONLY | os.O_CREAT, 0o600))
    os.utime(_MARK)
try:  # imports are local to keep every sync's start fast
    if command == "prepare":
        from sync.prepare import prepare

        prepare(folder, sys.stdin.buffer.read(), delete="--delete" in options)
    elif command == "compare":
        from sync.compare import compare

        compare(folder, sys.stdin.buffer.read(), delete="--delete" in options)
    elif command == "unchanged":
        from sync.unchanged import unchanged

        unchanged(folder, sys.stdin.buffer.read)
    elif command == "gone":
        from sync.prepare import gone

        gone(folder, sys.stdin.buffer.read())
    elif command == "remove":
        from sync.prepare import remove

        remove(folder, sys.stdin.buffer.read())
    elif command == "commit":
        from sync.compare import commit

        commit(folder, sys.stdin.buffer.read(), options[0] if options else "")
    elif command == "digest":
        from sync.compare import digest

        digest(folder, sys.stdin.buffer.read())
    elif command == "list":
        from sync.listing import listing

        listing(folder)
    elif command == "whole":
        from sync.whole import whole

        whole(folder, sys.stdin.buffer.read(), ended="--ended" in options)
    elif command == "receive":
        from sync.receive import receive

        receive(folder, sys.stdin.buffer.read())
    elif command == "send":
        from sync.send import send_files

        send_files(folder, sys.stdin.buffer.read())
    else:
        sys.exit(
            "usage: python3 -m sync list|whole|prepare|unchanged|compare|gone|remove|commit|digest|receive|"
            "send ..."
        )
except (FileNotFoundError, NotADirectoryError) as problem:
    print(problem, file=sys.stderr)
    sys.exit(_NO_SUCH_FOLDER)
except OSError as problem:
    sys.exit(str(problem))
