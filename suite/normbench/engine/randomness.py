"""The random numbers that layers draw while training and while evaluating."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normbench.layers import bind_generator
from normbench.streams import stream_seed


class Randomness:
    """The random numbers that layers draw while training: one stream for each epoch of a run."""

    def __init__(self, network: nn.Module, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._training = torch.Generator(device)
        self._evaluation = torch.Generator(device)
        self._network = network

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        """What training draws from, beside torch's global generators."""
        return (self._training,)

    @property
    def evaluation_generators(self) -> tuple[torch.Generator, ...]:
        """What evaluation draws from."""
        return (self._evaluation,)

    def start_epoch(self, epoch: int) -> None:
        """Begin the stream of *epoch*; torch's global one too, for layers that know no other."""
        seed = stream_seed(self._seed, "dropout", epoch)
        torch.manual_seed(seed)
        self._training.manual_seed(seed)
        bind_generator(self._network, self._training)

    def start_evaluation(self) -> None:
        """Begin the evaluation stream, the same every time; training's is left alone."""
        self._evaluation.manual_seed(stream_seed(self._seed, "evaluation"))
        bind_generator(self._network, self._evaluation)

    def state(self) -> list[Tensor]:
        """Return the state of the training generator, and of torch's global ones."""
        device = self._training.device
        more = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
        return [self._training.get_state(), torch.get_rng_state(), *more]

    def restore(self, states: Sequence[Tensor]) -> None:
        """Go back to *states*, to draw the same numbers again."""
        self._training.set_state(states[0])
        torch.set_rng_state(states[1])
        for state in states[2:]:
            torch.cuda.set_rng_state(state, self._training.device)
