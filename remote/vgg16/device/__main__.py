"""`python -m vgg16.device`: whether PyTorch can compute on every card here. Set-up runs it.

The last line is for people: what PyTorch sees (exit status 0), or what is in its way (1).
"""

from __future__ import annotations

import sys

import torch

from vgg16.device.cuda import failures, why_not


def main() -> int:
    problems = [problem] if (problem := why_not()) else failures()
    if problems:
        print(problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else ""))
        return 1
    cards = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    print(f"PyTorch {torch.__version__} computes on {cards}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
