"""The character model: counts, state, norm sites, initial values, and its task."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import normbench_problems
from normbench import Batch, Dropout, Role, UsageError
from normbench.initial_values import initialise
from normbench_problems.tasks.next_token import NextToken

CODES = torch.randint(83, (3, 12), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("norm", "mask", "expected"),
    [("none", None, 285_523), ("layer_norm", None, 286_291), ("batch_norm", (0, 1, 0), 285_779)],
)
def test_parameter_count(norm, mask, expected, build):
    """Without norm as in PyTorch DeepOBS; each site adds 128 scales and 128 shifts."""
    built = build("char_rnn", norm, mask)

    assert expected == built.parameter_count
    assert ["sequence"] * 3 == [site.kind for site in built.sites]
    assert [128] * 3 == [site.features for site in built.sites]


def test_roles(build):
    """Embedding and matrices are weights; LSTM's bias vectors are biases."""
    built = build("char_rnn", "layer_norm")
    roles = {info.name: info.role for info in built.parameters}

    biases = {name for name, role in roles.items() if role is Role.BIAS}
    weights = {name for name, role in roles.items() if role is Role.WEIGHT}
    lstm = {f"lstm{layer}.{{}}_{end}_l0" for layer in (1, 2) for end in ("ih", "hh")}
    assert {"dense.bias", *(name.format("bias") for name in lstm)} == biases
    expected = {name.format("weight") for name in lstm}
    assert {"dense.weight", "embedding.weight", *expected} == weights


def test_state_joins_windows(build):
    """Two windows with the state between them equal one long window; without it they do not."""
    network = build("char_rnn").network.eval()
    whole, end = network(CODES)
    first, state = network(CODES[:, :5])
    second, after = network(CODES[:, 5:], state)

    torch.testing.assert_close(whole, torch.cat((first, second), 1))
    for name in ("hidden", "cell"):
        torch.testing.assert_close(end[name], after[name])
        assert (2, 3, 128) == after[name].shape
    assert not torch.allclose(whole[:, 5:], network(CODES[:, 5:])[0])


def test_layers_equal_torchs_two_layer_lstm(build):
    """Without norm and dropout the two layers are one nn.LSTM of two layers."""
    network = build("char_rnn").network.eval()
    lstm = nn.LSTM(128, 128, num_layers=2, batch_first=True)
    with torch.no_grad():
        for layer, ours in enumerate((network.lstm1, network.lstm2)):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(lstm, f"{name}_l{layer}").copy_(getattr(ours, f"{name}_l0"))

    outputs, (hidden, cell) = lstm(network.embedding(CODES))
    logits, state = network(CODES)

    torch.testing.assert_close(network.dense(outputs), logits)
    torch.testing.assert_close(hidden, state["hidden"])
    torch.testing.assert_close(cell, state["cell"])


def test_norms_act_where_the_sites_say(build):
    """Norms see what enters the two LSTM layers and the dense layer, in that order."""
    network = build("char_rnn", "layer_norm").network
    called = []
    for name in ("embedding_norm", "lstm1", "lstm1_norm", "lstm2", "lstm2_norm", "dense"):
        layer = network.get_submodule(name)
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
    network(CODES)

    expected = ["embedding_norm", "lstm1", "lstm1_norm", "lstm2", "lstm2_norm", "dense"]
    assert expected == called


@pytest.mark.parametrize(
    ("dropout", "rates"), [("around_layers", [0.2, 0.36, 0.2]), ("between_layers", [0, 0.2, 0])]
)
def test_dropout(dropout, rates, build):
    """TensorFlow drops out around each layer, so twice between them, PyTorch between them alone."""
    layers = build("char_rnn", dropout=dropout).network.modules()

    assert pytest.approx(rates) == [m.rate for m in layers if isinstance(m, Dropout)]


def test_unknown_dropout_is_refused():
    """A word that the network does not know is named, with those it knows."""
    with pytest.raises(UsageError, match="dropout=everywhere is unknown: expected one of around"):
        normbench_problems.char_rnn(dropout="everywhere")


def test_initial_values(build):
    """Weights are uniform within TensorFlow's bounds, forget gates start open, other biases 0."""
    network = build("char_rnn").network
    initialise(network, 0)

    bounds = {
        network.embedding.weight: math.sqrt(6 / 211),
        network.dense.weight: math.sqrt(6 / 211),
        network.dense.bias: math.sqrt(3 / 83),
        network.lstm1.weight_ih_l0: math.sqrt(6 / 768),
        network.lstm2.weight_hh_l0: math.sqrt(6 / 768),
    }
    for tensor, bound in bounds.items():
        assert 0.9 * bound < tensor.abs().max().item() <= bound
    gates = network.lstm2.bias_ih_l0.view(4, 128)
    assert [0.0, 1.0, 0.0, 0.0] == gates.mean(1).tolist()
    assert not network.lstm2.bias_hh_l0.any()


class _Counting(nn.Module):
    """Predicts that every code is followed by itself, and counts the windows it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, codes, state):
        logits = nn.functional.one_hot(codes, 3).float() * self.scale
        return logits, {"windows": state.get("windows", torch.zeros(())) + self.scale}


def test_task_counts_tokens_and_detaches_the_state():
    """Loss and accuracy are per token, and no graph reaches into the next window."""
    network, task = _Counting(), NextToken()
    codes = torch.tensor([[0, 1, 2], [2, 2, 0]])
    batch = Batch(codes, torch.tensor([[0, 1, 0], [2, 0, 1]]))
    state = task.initial_state(2, torch.device("cpu"))
    scores = task(network, batch, state)
    again = task(network, batch, scores.state)

    right, wrong = math.log(math.e + 2) - 1, math.log(math.e + 2)
    assert pytest.approx((3 * right + 3 * wrong) / 6) == scores.loss.item()
    assert pytest.approx([3 * right + 3 * wrong, 3]) == scores.sums.tolist()
    assert ("loss", "accuracy") == task.metrics
    assert not scores.state["windows"].requires_grad
    assert 2.0 == again.state["windows"].item()
    assert not scores.sums.requires_grad
