"""Reads the facts that `up` is planned from."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from gpu_box.aws.client import Cloud, side_by_side
from gpu_box.aws.launch import render_user_data
from gpu_box.aws.launch_options import read_launchable
from gpu_box.aws.prices.prices import read_price_of
from gpu_box.box import spent
from gpu_box.config.model import Config
from gpu_box.machine.ssh import keys
from gpu_box.model.facts import Facts
from gpu_box.model.observed import Launch, Launchable, Observed
from gpu_box.model.price import Price


class FactsReader:
    """Reads launch options and prices once, for all rounds of observe, plan and act.

    Except while AWS is still making the image: a round waits for it, so the options are read again.
    """

    def __init__(self, cloud: Cloud, public_key: str, *, launches: bool = True) -> None:
        """launches: False for a preview, which does not derive the machine's first host key."""
        self._cloud, self._public_key, self._launches = cloud, public_key, launches
        self._generation = secrets.token_hex(8)  # for a new box
        self._launchable: Launchable | None = None
        self._prices: dict[tuple[str, ...], Price] = {}

    def of(self, observed: Observed) -> Facts:
        """Raises InputError and CloudError as `read_launchable`."""
        if observed.instance:
            rates = spent.rates_of(self.price(observed))
            return Facts(observed=observed, public_key=self._public_key, rates=rates, now=datetime.now(UTC))
        launchable, price = side_by_side(self._read_launchable, lambda: self.price(observed))
        return Facts(
            observed=observed,
            public_key=self._public_key,
            rates=spent.rates_of(price),
            now=datetime.now(UTC),
            launch=self._launch(observed.group.generation if observed.group else self._generation),
            launchable=launchable,
        )

    def price(self, observed: Observed) -> Price:
        """The price of the instance, or of the type tried first."""
        instance = observed.instance
        key = (instance.type, instance.market, instance.zone) if instance else ()
        if key not in self._prices:
            cloud = self._cloud
            self._prices[key] = read_price_of(cloud, instance) if instance else spent.first_price(cloud)
        return self._prices[key]

    def _read_launchable(self) -> Launchable:
        if self._launchable is None or self._launchable.image_pending:
            self._launchable = read_launchable(self._cloud, describe=not self._launches)
        return self._launchable

    def _launch(self, generation: str) -> Launch:
        user_data = _user_data(self._cloud.config, generation) if self._launches else ""
        return Launch(generation=generation, public_key=self._public_key, user_data=user_data)


def _user_data(config: Config, generation: str) -> str:
    first = keys.first_host_key(config.ssh.key, config.name, generation)
    return render_user_data(
        config, host_private_key=first.private_openssh_pem, host_public_key=first.public_line
    )
