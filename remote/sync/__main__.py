import sys

from sync.listing import listing
from sync.prepare import prepare

_NO_SUCH_FOLDER = 3

command, folder, options = sys.argv[1], sys.argv[2], sys.argv[3:]
try:
    if command == "prepare":
        prepare(folder, sys.stdin.buffer.read(), delete="--delete" in options)
    elif command == "list":
        listing(folder)
    else:
        sys.exit("usage: python3 -m sync prepare|list FOLDER")
except (FileNotFoundError, NotADirectoryError) as problem:
    print(problem, file=sys.stderr)
    sys.exit(_NO_SUCH_FOLDER)
