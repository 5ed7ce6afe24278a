"""The fused kernels of group norms: in Triton's interpreter, compiled for a GPU, and on one."""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from normbench import Norm, Sites
from normbench.parameters import defaults
from normbench.plugins import load_catalogue
from normbench_plugins import norms
from normbench_plugins.norms import (
    FilterResponseNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    RMSNorm,
    fused_groups,
)

CATALOGUE = load_catalogue()
NORMS = [offer.component for offer in CATALOGUE.offers(Norm) if offer.origin == "built-in"]
LAST = torch.channels_last

# What a norm's forward pass is on CUDA: torch's own kernel for batches, which keeps channels_last
# and takes float32 statistics, our fused kernel for groups, or plain torch operations. Norms that
# act on weights alone are not here.
ON_CUDA = {
    "batch_norm": "torch",
    "batch_renorm": "torch and plain",
    "evonorm_b0": "plain",
    "evonorm_s0": "plain",
    "filter_response_norm": "fused",
    "ghost_batch_norm": "torch and plain",
    "group_norm": "fused",
    "instance_norm": "fused",
    "layer_norm": "fused",
    "mean_centering": "plain",
    "rms_norm": "fused",
    "switchable_norm": "plain",
    "variance_norm": "plain",
    "weight_standardization": "fused",
}
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def interpreted():
    """Return what the kernels give in Triton's interpreter, in a process of its own."""
    script = Path(__file__).with_name("interpreted_kernels.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@needs_triton
def test_interpreted_kernels_give_the_numbers_of_the_plain_code(interpreted):
    """Output and gradients are float64's to 16 units in the last place, for shapes of all kinds.

    They repeat bit for bit, an example alone gives what it gives in a batch, and layout and dtype
    are the input's. Second derivatives are those of the plain code.
    """
    wrong = {
        name: case
        for name, case in interpreted["cases"].items()
        if not all(value for key, value in case.items() if key != "errors")
        or not all(error <= 16 for error in case["errors"].values())
    }

    assert {} == wrong
    assert len(interpreted["cases"]) >= 10
    assert all(error < 1e-5 for error in interpreted["second derivatives"])


@needs_triton
def test_kernels_are_operators_that_compilers_take(interpreted):
    """They pass torch's checks, and a compiled step has the eager bits without a break in it."""
    assert [0.0, 0.0, 0.0] == interpreted["compiled"]
    assert {"SUCCESS"} == set(interpreted["operators"])


@needs_triton
def test_kernels_that_compute_amiss_are_not_used(interpreted):
    """A sample is held against torch's own numbers before the first use on a device."""
    sound, wrong, none = interpreted["refusals"]

    assert sound is None
    assert "a sample is off by 1.0e-03" == wrong
    assert "a sample is off by inf" == none


@needs_triton
def test_processors_do_not_wait_for_triton(interpreted):
    """A norm computes on the processor without Triton or the compiler being imported."""
    assert [] == interpreted["imported"]


@needs_triton
@pytest.mark.parametrize(
    ("kernel", "dtype", "sizes"),
    [("normalise", "bf16", (96, 8, 1024)), ("differentiate", "fp32", (64, 8, 256))],
)
def test_kernels_build_for_a_gpu_that_is_not_here(kernel, dtype, sizes):
    """For compute capability 9.0 there is machine code without spills, atomics or narrow loads.

    It rounds to the nearest bfloat16, where the interpreter cuts digits off.
    """
    from normbench_plugins.norms import group_kernels

    cut = group_kernels.blocks(*sizes, {"bf16": 2, "fp32": 4}[dtype])
    built = built_for(90, getattr(group_kernels, kernel), dtype, sizes, cut)

    assert 0 < len(built.asm["cubin"])
    assert "ld.global.v4" in built.asm["ptx"]
    assert (dtype == "bf16") == ("cvt.rn.bf16" in built.asm["ptx"])
    assert "atom" not in built.asm["ptx"]
    assert ".local" not in built.asm["ptx"]
    assert 32 * cut.warps == int(built.asm["ptx"].split(".reqntid ")[1].split()[0])
    assert built.metadata.shared <= 48 * 1024


def built_for(capability, kernel, dtype, sizes, cut):
    """Return *kernel* compiled as a launch on activations of these sizes compiles it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    channels, groups, _ = sizes
    constants = {
        "CHANNELS": channels, "MEMBERS": channels // groups, "GROUPS": cut.groups,
        "LANES": cut.channels, "ROWS": cut.positions, "CENTRE": True, "SCALED": True,
        "SHIFTED": True, "AFFINE": True, "TRAINED_EPS": False, "eps_cell": None,
    }  # fmt: skip
    activations = {"inputs", "outputs", "gradient", "toward_inputs"}
    numbers = {"eps": "fp32", "factor": "fp32", "positions": "i32"}
    signature, known, aligned = {}, {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], known[(place,)] = "constexpr", constants[name]
            continue
        pointer = f"*{dtype}" if name in activations else "*fp32"
        signature[name] = numbers.get(name, pointer)
        if name not in numbers:
            aligned[(place,)] = [["tt.divisibility", 16]]
    return triton.compile(
        ASTSource(kernel, signature, known, aligned),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": cut.warps, "enable_fp_fusion": True},
    )


class Recorded(TorchDispatchMode):
    """Counts the operators that run inside it."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.found[operator.name().rpartition(".")[0] or operator.name()] += 1
        return operator(*args, **(kwargs or {}))


def means_on(kind, norm):
    """Return by which means *norm* computes on a *kind* of device, and if channels_last is kept."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device(kind):
        sites = Sites.for_norm(norm, defaults(norm.parameters))
        pair = sites.after(torch.nn.Conv2d(3, 16, 3, bias=False), torch.nn.Identity())
        module = torch.nn.Sequential(*pair).train()
        inputs = torch.empty(40, 16, 5, 5).to(memory_format=LAST)
        if not list(module.parameters()):
            return None, True
        with Recorded() as recorded:
            outputs = module(inputs)
    names = list(recorded.found)
    used = [
        word
        for word, part in (("fused", "normalise_groups"), ("torch", "batch_norm"))
        if any(part in name for name in names)
    ]
    plain = any(name in ("aten::mean", "aten::addcmul", "aten::cat") for name in names)
    return " and ".join(used + ["plain"] * plain), outputs.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_what_norms_compute_with(kind):
    """Each norm on activations runs by the means listed, plain for fused on the processor."""
    found = {norm.name: means_on(kind, norm) for norm in NORMS if "conv" in norm.site_kinds}
    expected = dict(ON_CUDA)
    if kind == "cpu":
        expected = {name: means.replace("fused", "plain") for name, means in expected.items()}

    assert expected == {name: means for name, (means, _) in found.items() if means is not None}
    assert [] == [name for name, (_, kept) in found.items() if not kept]


@pytest.mark.parametrize(
    ("inputs", "groups", "fused"),
    [
        (torch.ones(2, 8, 3, 3).to(memory_format=LAST), 4, True),
        (torch.ones(2, 8, 3, 3, dtype=torch.bfloat16).to(memory_format=LAST), 4, True),
        (torch.ones(2, 8), 4, True),
        (torch.ones(2, 8, 3, 3).double().to(memory_format=LAST), 4, False),
        (torch.ones(2, 8, 3, 3), 4, False),
        (torch.ones(2, 8, 3), 4, False),
        (torch.ones(0, 8, 3, 3).to(memory_format=LAST), 4, False),
        (torch.ones(1, 4097), 1, False),
        (torch.ones(2, 8, 3, 3, device="meta").to(memory_format=LAST), 4, False),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_kernels_take_what_they_can(inputs, groups, fused, monkeypatch):
    """Channels_last in float32 or less is fused; float64, other layouts and devices are not."""
    monkeypatch.setattr(fused_groups, "DEVICES", {"cpu"})
    monkeypatch.setitem(fused_groups._working, 0, True)

    assert fused == fused_groups.is_fused(inputs, groups)


def test_plain_code_serves_where_kernels_do_not_run(monkeypatch, caplog):
    """Without Triton the log says so in one line; the environment may ask for the plain code."""
    module = "normbench_plugins.norms.group_kernels"
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(norms, "group_kernels", raising=False)
    with caplog.at_level(logging.WARNING, "normbench.norms"):
        assert not fused_groups._try_out(torch.device("cpu"))
    (line,) = caplog.messages
    assert "plain torch operations" in line
    assert "Install triton" in line

    monkeypatch.setenv("NORMBENCH_NORM_KERNELS", "0")
    assert not fused_groups._try_out(torch.device("cpu"))
    assert [line] == caplog.messages


GROUPED = [GroupNorm(48, 4), LayerNorm(48), InstanceNorm(48), RMSNorm(48), FilterResponseNorm(48)]


def pass_through(norm, inputs, above):
    """Return output and all gradients of *norm*."""
    outputs = norm(inputs)
    gradients = torch.autograd.grad(outputs, (inputs, *norm.parameters()), above)
    return [outputs.detach(), *gradients]


def drawn(dtype, device="cuda"):
    """Return input and gradient from above on *device*, channels_last."""
    generator = torch.Generator().manual_seed(0)
    inputs, above = torch.randn(2, 8, 48, 17, 9, generator=generator)
    inputs, above = ((each + 1).to(device, dtype, memory_format=LAST) for each in (inputs, above))
    return inputs.requires_grad_(), above


@pytest.mark.parametrize("norm", GROUPED, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
class TestOnGpu:
    """What the interpreter and the compiler cannot show."""

    pytestmark = on_gpu

    def test_values_layout_and_repetition(self, norm, dtype):
        """Kernels give float64's numbers in the input's layout, twice the same bits."""
        norm, (inputs, above) = copy.deepcopy(norm).cuda(), drawn(dtype)
        assert fused_groups.is_fused(inputs, 1)
        found, again = (pass_through(norm, inputs, above) for _ in range(2))
        wide = inputs.detach().double().requires_grad_()
        exact = pass_through(copy.deepcopy(norm).double(), wide, above.double())

        for value, repeated, true in zip(found, again, exact, strict=True):
            assert torch.equal(value, repeated)
            unit = torch.finfo(value.dtype).eps * true.abs().max()
            assert ((value.double() - true).abs().max() / unit).item() <= 16
        assert all(each.is_contiguous(memory_format=LAST) for each in found[:2])

    def test_captured_step(self, norm, dtype):
        """Captured in a CUDA graph, forward and backward give the eager bits."""
        norm, (inputs, above) = copy.deepcopy(norm).cuda(), drawn(dtype)
        expected = pass_through(norm, inputs, above)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = pass_through(norm, inputs, above)
        graph.replay()
        torch.cuda.synchronize()

        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))

    def test_compiled_step(self, norm, dtype):
        """Compiled without a break, forward and backward give the eager numbers."""
        norm, (inputs, above) = copy.deepcopy(norm).cuda(), drawn(dtype)
        expected = pass_through(norm, inputs, above)
        compiled = torch.compile(norm, fullgraph=True, dynamic=False)
        outputs = compiled(inputs)
        found = torch.autograd.grad(outputs, (inputs, *norm.parameters()), above)

        assert torch.equal(expected[0], outputs)
        assert all(torch.equal(a, b) for a, b in zip(expected[1:], found, strict=True))
        assert outputs.is_contiguous(memory_format=LAST)
