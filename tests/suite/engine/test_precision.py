"""bf16 means the same for every norm, problem and optimizer, on a processor and on CUDA.

CUDA's side is traced with tensors that have a device and a dtype but no values, which needs no GPU:
autocast and torch's kernels decide on dtypes as they would there.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from normbench.build import build_network
from normbench.descriptions import Dataset, Norm, Optimizer
from normbench.engine.precision import computed_in, configure, forward_context
from normbench.engine.session import build_optimizer
from normbench.errors import UsageError
from normbench.plugins import load_catalogue
from normbench.resolve import Request, resolve
from normbench.tasks import Batch, Classification

CATALOGUE = load_catalogue()
CPU = torch.device("cpu")
CONV_ONLY = ("filter_response_norm", "instance_norm")
NORMS = sorted(offer.component.name for offer in CATALOGUE.offers(Norm))
OPTIMIZERS = sorted(offer.component.name for offer in CATALOGUE.offers(Optimizer))
# One of each kind of network; the others differ in depth, width and classes.
PROBLEMS = (
    *("cifar10_3c3d", "cifar10_plain10", "cifar10_resnet20", "cifar100_allcnnc", "fmnist_2c2d"),
    *("fmnist_logreg", "fmnist_mlp", "fmnist_vae", "quadratic_deep"),
)


def spec_of(problem="digits_cnn", optimizer="momentum", norm=None):
    sites = (1, 1, 0) if norm in CONV_ONLY else None
    words = ("protocol.precision=bf16",)
    asked = Request(
        problem=problem, optimizer=optimizer, norm=norm, sites=sites, seeds=[0], words=words
    )
    return resolve(asked, CATALOGUE)[0]


def dtypes_on(kind, network, dataset):
    """Return the dtypes that enter and leave every module in training on a *kind* of device."""
    seen = {}

    def look(name):
        def hook(module, inputs, outputs):
            both = (inputs, outputs if isinstance(outputs, tuple) else (outputs,))
            seen[name] = [[v.dtype for v in values if torch.is_tensor(v)] for values in both]

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in network.named_modules()]
    values = dict([*network.named_parameters(), *network.named_buffers()])
    with FakeTensorMode(allow_non_fake_inputs=True):
        held = {name: torch.empty_like(value, device=kind) for name, value in values.items()}
        images = torch.randn(4, *dataset.shape, device=kind)
        if dataset.content == "images":
            images = images.permute(0, 3, 1, 2)
        with forward_context("bf16", torch.device(kind)):
            functional_call(network, held, images)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.fixture
def without_gpu(monkeypatch):
    """Let autocast believe in a GPU; nothing is computed there."""
    monkeypatch.setattr(torch.amp.autocast_mode, "is_autocast_available", lambda _: True)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("name", [f"norm {n}" for n in NORMS] + [f"problem {p}" for p in PROBLEMS])
def test_activations_have_the_same_dtypes_on_both_devices(name):
    """Every module of every norm and network takes and gives the same dtypes on CUDA and CPU."""
    kind, _, name = name.partition(" ")
    spec = spec_of(norm=name) if kind == "norm" else spec_of(name)
    dataset = CATALOGUE.get(Dataset, spec.problem.dataset.name)
    network = build_network(spec, CATALOGUE).network.train()
    expected = dtypes_on("cpu", network, dataset)

    assert expected == dtypes_on("cuda", network, dataset)
    assert torch.bfloat16 in {dtype for _, given in expected.values() for dtype in given} or (
        name == "quadratic_deep"
    )


def step(spec, device=CPU):
    """Take one step; return the network, its optimizer, and its gradients flattened."""
    torch.manual_seed(0)
    built = build_network(spec, CATALOGUE)
    optimizer, described = build_optimizer(spec, built, CATALOGUE)
    batch = Batch(torch.randn(32, 1, 8, 8), torch.arange(32) % 10)

    def gradient():
        optimizer.zero_grad(set_to_none=True)
        with forward_context(spec.protocol.rules.precision, device):
            scores = Classification()(built.network, batch, {})
        scores.loss.backward()
        losses.append(scores.loss.detach())
        return scores.loss

    losses = []
    if not described.needs_closure:
        gradient()
    optimizer.step(*([gradient] if described.needs_closure else []))
    gradients = [p.grad for p in built.network.parameters() if p.grad is not None]
    return built.network, optimizer, torch.cat([g.flatten() for g in gradients]), losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_whatever_an_optimizer_sees_and_keeps_is_float32(name):
    """Weights, gradients and state of every optimizer are float32, and finite after a step."""
    network, optimizer, gradients, loss = step(spec_of(optimizer=name))
    state = [v for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
    kept = [*network.parameters(), *network.buffers(), *state, gradients, loss]
    numbers = [value for value in kept if value.is_floating_point()]

    assert {torch.float32} == {value.dtype for value in numbers}
    assert all(bool(value.isfinite().all()) for value in numbers)


@pytest.mark.parametrize("name", NORMS)
def test_one_step_is_that_of_float32_within_rounding(name):
    """For every norm the loss and the direction of the gradient are float32's, and buffers too."""
    spec = spec_of(norm=name)
    exact = replace(
        spec, protocol=replace(spec.protocol, rules=replace(spec.protocol.rules, precision="fp32"))
    )
    (rounded, _, got, loss), (network, _, expected, exact_loss) = step(spec), step(exact)

    assert pytest.approx(float(exact_loss), rel=0.01) == float(loss)
    assert torch.cosine_similarity(expected, got, dim=0) > 0.98
    for before, after in zip(network.buffers(), rounded.buffers(), strict=True):
        assert before.dtype == after.dtype
        assert torch.allclose(before, after, rtol=0.02, atol=0.02)


def test_tf32_is_float32_where_there_is_none():
    """What was asked for stays in the identity; what it was computed in is told beside it."""
    assert ["fp32", "fp32", "bf16"] == [computed_in(each, CPU) for each in ("tf32", "fp32", "bf16")]


def test_products_add_up_in_float32():
    """No product of 16-bit inputs adds up in 16 bits, which torch allows by default."""
    products = torch.backends.cuda.matmul
    names = [f"allow_{kind}_reduced_precision_reduction" for kind in ("bf16", "fp16")]
    for name in names:
        setattr(products, name, True)

    configure("bf16", deterministic=False, device=CPU)

    assert [False, False] == [getattr(products, name) for name in names]


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch):
    """The device that the run is trained on decides, whatever the current one could emulate."""
    capabilities = {0: (9, 0), 1: (7, 5)}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d: capabilities[d.index])
    newer, older = (torch.device("cuda", index) for index in capabilities)

    configure("bf16", deterministic=False, device=newer)
    configure("fp32", deterministic=False, device=older)
    with pytest.raises(UsageError, match=r"8\.0.*Use protocol\.precision=fp32"):
        configure("bf16", deterministic=False, device=older)

    assert ["tf32", "fp32"] == [computed_in("tf32", device) for device in (newer, older)]
