"""python -m local_aws HOME POLICY...: the daemon. People use `gpu-box --local`."""

from __future__ import annotations

import sys
from pathlib import Path

from local_aws.server import main

if __name__ == "__main__":
    main(Path(sys.argv[1]), policies=[Path(word) for word in sys.argv[2:]])
