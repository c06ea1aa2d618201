import sys

_NO_SUCH_FOLDER = 3

command, folder, options = sys.argv[1], sys.argv[2], sys.argv[3:]
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
