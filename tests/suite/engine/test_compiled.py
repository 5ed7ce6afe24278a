"""A compiled task computes compiled, or says that it cannot."""

from __future__ import annotations

import pytest
import torch

from normbench.engine import compiled
from normbench.engine.compiled import CompiledTask
from normbench.tasks import Batch, Scores


class Doubling:
    """A task whose loss is the sum of the network's outputs."""

    metrics = ()

    def initial_state(self, batch_size, device):
        """Return nothing."""
        return {}

    def __call__(self, network, batch, state):
        """Compute it."""
        outputs = network(batch.inputs)
        return Scores(outputs.sum(), outputs.detach().mean(0), {})


@pytest.fixture
def graphs(monkeypatch):
    """Return the graphs compiled so far; nothing but the recording of them takes time."""
    made = []

    def backend(graph, inputs):
        made.append(graph)
        return graph.forward

    run = torch.compile(compiled._run, dynamic=False, backend=backend)
    monkeypatch.setattr(compiled, "_compiled", lambda: run)
    torch._dynamo.reset()
    yield made
    torch._dynamo.reset()


@torch._dynamo.config.patch(recompile_limit=2)
def test_every_form_is_compiled_however_many_there_are(graphs):
    """Behind the compiler's limit of forms it starts over, where it would go on uncompiled."""
    task = CompiledTask(Doubling())
    for size in range(1, 6):
        batch = Batch(torch.ones(size, size), torch.zeros(size))
        layer = torch.nn.Linear(size, 1)
        assert torch.equal(layer(batch.inputs).sum(), task(layer, batch, {}).loss)

        assert size == len(graphs)


@torch._dynamo.config.patch(recompile_limit=1)
@pytest.mark.usefixtures("graphs")
def test_task_that_finds_no_room_is_refused(monkeypatch):
    """Where starting over does not help, it raises, so that the rung does not hold."""
    monkeypatch.setattr(torch._dynamo, "reset", lambda: None)
    task = CompiledTask(Doubling())
    task(torch.nn.Linear(1, 1), Batch(torch.ones(1, 1), torch.zeros(1)), {})
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        task(torch.nn.Linear(2, 1), Batch(torch.ones(2, 2), torch.zeros(2)), {})
