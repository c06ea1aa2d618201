"""As `scenario`, but in a process of its own, which `kill -9` ends at one of its AWS calls."""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection

from gpu_box.config import Config

from ..aws.conftest import Laptop
from .apart import CONTEXT, impatient, process
from .faults import FAULTS, Place, Saboteur
from .scenario import COMMANDS, Account, mend

KILLS = tuple(name for name, fault in FAULTS.items() if fault.kills)
_ENDS_WITHIN_S = 120.0


def run(config: Config, name: str, at: Place, fault: str) -> list[str]:
    """The defects of one scenario; none is what is wanted."""
    account, command = Account(Laptop(config)), COMMANDS[name]
    command.prepare(Laptop(config))
    told, tell = CONTEXT.Pipe(duplex=False)
    dying = process(_die, config, name, at, fault, tell)
    dying.start()
    dying.join(_ENDS_WITHIN_S)
    while told.poll():
        account.defects.append(told.recv())
    if dying.exitcode == 0:
        return ["not reached"]
    if dying.exitcode != -signal.SIGKILL:
        account.defects.append(f"not killed, but ended with {dying.exitcode}")
    return mend(lambda: Laptop(config), command, account)


def _die(config: Config, name: str, at: Place, fault: str, tell: Connection) -> None:
    laptop, account = Laptop(config), Account(Laptop(config))

    def before_send(operation: str) -> None:
        account.before_send(operation)
        while account.defects:
            tell.send(account.defects.pop())

    Saboteur(at, FAULTS[fault], before_send, really=True).follow(laptop.cloud)
    with impatient():
        COMMANDS[name].run(laptop)
