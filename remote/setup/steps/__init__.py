"""The steps, each in the file of its name, in display order."""

from setup.steps import (
    code,
    disk,
    driver,
    env,
    environment,
    jupyter,
    jupyterlab,
    kaggle,
    notify,
    packages,
    python,
    scratch,
    script,
    shell,
    tmux,
    watch,
)

# watch is last: its query runs while the others are checked.
ALL = (
    *(disk.STEP, scratch.STEP, driver.STEP, tmux.STEP, code.STEP),
    *(
        kaggle.STEP,
        notify.STEP,
        env.STEP,
        python.STEP,
        packages.STEP,
        jupyterlab.STEP,
        shell.STEP,
        jupyter.STEP,
        watch.STEP,
    ),
)
# After the project's files are on the box: `python3 -m setup project`.
PROJECT = (environment.STEP, script.STEP)
