"""Each step of a plan has a function of its own name."""

from __future__ import annotations

import re

from gpu_box.aws import act
from gpu_box.plan.steps import Step


def test_a_traceback_names_the_step_that_failed() -> None:
    def snake_case(name: str) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

    handlers = {step: handler.__name__ for step, handler in act._HANDLERS.items()}
    assert handlers == {step: snake_case(step.__name__) for step in Step.__subclasses__()}
