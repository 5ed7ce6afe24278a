"""From a spec to a network: sites fitted, values drawn, ablation applied."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from normbench.descriptions import Dataset, Network, Norm
from normbench.errors import UsageError
from normbench.identity import refuse_changed_files
from normbench.initial_values import initialise
from normbench.plugins import Catalogue
from normbench.roles import Built, Role, apply_ablation, describe_network
from normbench.rules import Ablation
from normbench.sites import Sites
from normbench.specs import RunSpec
from normbench.streams import stream_seed


def build_network(spec: RunSpec, catalogue: Catalogue) -> Built:
    """Build the network of *spec* on the CPU with its initial values.

    The global random state is left as it was.

    Raises:
        UsageError: If the norm, the mask or a parameter does not fit the network.
    """
    built, input_norm = _assembled(spec, catalogue)
    initialise(built.network, spec.stream_root)
    _ablate(built, input_norm, spec.ablation)
    return built


def sketch_network(spec: RunSpec, catalogue: Catalogue) -> Built:
    """Build the network of *spec* without numbers, on torch's device ``meta``, where it can be.

    That takes a fraction of the time, and shows all but values: sites, shapes, roles.

    Raises:
        UsageError: As :func:`build_network`.
    """
    try:
        with torch.device("meta"):
            built, input_norm = _assembled(spec, catalogue)
            _ablate(built, input_norm, spec.ablation)
    except (NotImplementedError, RuntimeError):
        # A stranger's layer may compute what needs numbers.
        return build_network(spec, catalogue)
    return built


def _ablate(built: Built, input_norm: nn.Module | None, ablation: Ablation) -> None:
    apply_ablation(built, ablation)
    if input_norm is not None:
        _set_input_norm(built, input_norm, ablation)


def _assembled(spec: RunSpec, catalogue: Catalogue) -> tuple[Built, nn.Module | None]:
    """Return the network of *spec* as its parts were made, and the norm of its input, if any."""
    refuse_changed_files(spec, catalogue)
    norm = catalogue.get(Norm, spec.norm.name)
    network = catalogue.get(Network, spec.problem.network.name)
    sites = Sites.for_norm(norm, spec.norm.parameters, spec.ablation.sites)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(spec.stream_root, "init"))
        try:
            module = network.load()(sites, **spec.problem.network.parameters)
        except TypeError as error:
            raise UsageError(
                f"network {network.name!r} could not be built with "
                f"{dict(spec.problem.network.parameters)}: {error}."
            ) from error
    input_norm = _put_input_norm(module, spec, catalogue)
    return describe_network(module, sites, f"problem {spec.problem.name}"), input_norm


def try_shapes(built: Built, shape: Sequence[int], batch_size: int) -> None:
    """Pass a training batch of images without numbers through a network, which is spent by it.

    Args:
        built: The network.
        shape: Height, width and channels of an image.
        batch_size: Images in a batch.

    Raises:
        UsageError: If a layer refuses the batch, as batch norm does a single value.
    """
    height, width, channels = shape
    network = built.network.to("meta").train()
    with suppress(NotImplementedError, RuntimeError, TypeError):
        # A stranger's layer may compute what needs numbers; then its worker will tell.
        network(torch.empty((batch_size, channels, height, width), device="meta"))


def _put_input_norm(module: nn.Module, spec: RunSpec, catalogue: Catalogue) -> nn.Module | None:
    """Let *module* normalize its input first, if the ablation says so; its names stay."""
    if spec.ablation.input_norm is None:
        return None
    dataset = catalogue.get(Dataset, spec.problem.dataset.name)
    if dataset.content not in ("images", "files"):
        raise UsageError(
            f"ablation.input_norm={spec.ablation.input_norm}: dataset {dataset.name} holds no "
            "images. Leave it out."
        )
    norm = catalogue.get(Norm, spec.ablation.input_norm)
    sites = Sites.for_norm(norm, {p.name: p.default for p in norm.parameters})
    channels = dataset.shape[-1]
    try:
        layer, _ = sites.before(channels, "conv")
        sites.finish("the input")
    except UsageError:
        raise UsageError(
            f"ablation.input_norm={norm.name}: at its default parameters it does not fit an input "
            f"of {channels} channels. Give a norm that works on each channel, such as batch_norm."
        ) from None
    if isinstance(layer, nn.Identity):
        raise UsageError(
            f"ablation.input_norm={norm.name} leaves the input as it is. Leave it out, or give a "
            "norm that acts on activations."
        )
    if isinstance(module, nn.Sequential):
        # What a chain holds it runs, in this order.
        rest = dict(module._modules)
        module._modules.clear()
        module.add_module("input_norm", layer)
        module._modules.update(rest)
    else:
        module.add_module("input_norm", layer)
        module.register_forward_pre_hook(_normalise_input)
    return layer


def _normalise_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    normalised: Tensor = module.get_submodule("input_norm")(inputs[0])
    return (normalised, *inputs[1:])


def _set_input_norm(built: Built, layer: nn.Module, ablation: Ablation) -> None:
    """Set γ of the input's norm and fix its β at 0, whatever holds for the norm sites."""
    own = set(layer.parameters())
    times = 1.0 if ablation.scale_init is None else ablation.scale_init
    for info in built.parameters:
        if info.parameter not in own:
            continue
        with torch.no_grad():
            if info.role is Role.NORM_SCALE:
                info.parameter.fill_(ablation.input_scale_init * times)
            elif info.role is Role.NORM_SHIFT:
                info.parameter.zero_()
        info.parameter.requires_grad_(info.role is not Role.NORM_SHIFT)
