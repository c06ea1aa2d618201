"""What `up` takes from this laptop, checked before AWS is asked."""

from __future__ import annotations

from gpu_box.box import project
from gpu_box.config.model import Config
from gpu_box.machine import project_python
from gpu_box.machine.files import kaggle, variables
from gpu_box.machine.ssh import keys, ssh_config


def require_usable(config: Config) -> variables.Variables:
    """Returns the variables, because env_file may be a pipe, which is read once. Raises InputError."""
    project.folder(config)
    project.require_results_folder(config)
    kaggle.require_credentials(config)
    project_python.read(config)
    keys.read_public_line(config.ssh.key)
    if config.ssh.config:
        ssh_config.require_writable()
    return variables.require(config)
