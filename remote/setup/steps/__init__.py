"""The steps, each in a file of its name, in the order in which they are shown."""

from setup.steps import code, driver, jupyter, kaggle, python, tmux, watch

ALL = (driver.STEP, tmux.STEP, code.STEP, kaggle.STEP, watch.STEP, python.STEP, jupyter.STEP)
