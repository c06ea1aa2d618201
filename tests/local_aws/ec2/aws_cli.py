"""AWS's command line, started once: a line of arguments in, its output out."""

from __future__ import annotations

import contextlib
import io
import json
import sys


def main() -> None:
    from awscli.clidriver import create_clidriver

    for line in sys.stdin:
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                status = create_clidriver().main(json.loads(line))
            except SystemExit as end:
                status = int(end.code or 0)
        answer = {"status": status, "out": said.getvalue(), "err": complained.getvalue()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
