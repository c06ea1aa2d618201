"""The steps, each in a file of its name, in the order in which they are shown."""

from setup.steps import code, disk, driver, jupyter, kaggle, notify, packages, python, shell, tmux, watch

# watch near the end: it is asked first, and answers while the others are looked at.
ALL = (
    *(disk.STEP, driver.STEP, tmux.STEP, code.STEP),
    *(kaggle.STEP, notify.STEP, python.STEP, packages.STEP, shell.STEP, jupyter.STEP, watch.STEP),
)
