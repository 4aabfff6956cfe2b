"""What the next step of a training depends on, apart from its position."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from certero.config.settings import TrainSettings
from certero.learn.averages import beginning, mix
from certero.learn.classifier import Classifier
from certero.learn.optimisers import build_optimiser


@dataclass(frozen=True, slots=True)
class State:
    """Networks and optimiser of a training. The random state is none of it: it follows from the position.

    Args:
        network: that learns.
        optimiser: of its weights.
        average: moving average of the weights; None without one.
        origin: the weights before the first step, by name, where they are mixed in; else None.
        shipped: the network that is judged and shipped: the one that learns, the average, or a mix with the origin.
    """

    network: Classifier
    optimiser: torch.optim.Optimizer
    average: Classifier | None
    origin: dict[str, torch.Tensor] | None
    shipped: Classifier

    @classmethod
    def begin(cls, network: Classifier, settings: TrainSettings, device: str) -> State:
        """The state before the first step; the network moves to the device."""
        # A network from an earlier training comes frozen.
        network = network.requires_grad_(True).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = build_optimiser(network, settings, device)
        average = copy.deepcopy(network).requires_grad_(False) if settings.ema else None
        shipped, origin = network if average is None else average, None
        if settings.start_share:
            shipped, origin = copy.deepcopy(network).requires_grad_(False), beginning(network)
        return cls(network, optimiser, average, origin, shipped)

    def mix_in_origin(self, share: float) -> None:
        """Brings `shipped` up to date where it is a mix; `share` is the weight of the origin."""
        if self.origin is not None:
            mix(self.shipped, self.origin, self.network if self.average is None else self.average, share)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor that the next step depends on, by name."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in values.items() if tensor is not None}
        averages = {} if self.average is None else self.average.state_dict()
        for kind, named in (("average", averages), ("origin", self.origin or {})):
            tensors |= {f"{kind}.{name}": tensor for name, tensor in named.items()}
        return tensors

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Takes what `tensors` gave."""
        self.network.load_state_dict(_below(tensors, "network."))
        if self.average is not None:
            self.average.load_state_dict(_below(tensors, "average."))
        if self.origin is not None:
            for name, tensor in _below(tensors, "origin.").items():
                self.origin[name].copy_(tensor)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below(tensors, "optimiser.").items():
            number, _dot, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        for parameter, values in self.optimiser.state.items():
            for key, tensor in values.items():
                if torch.is_tensor(tensor) and tensor.shape == parameter.shape:
                    # The fused update walks both in memory order: another layout would silently pair wrong numbers.
                    values[key] = torch.empty_like(parameter, requires_grad=False).copy_(tensor)


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
