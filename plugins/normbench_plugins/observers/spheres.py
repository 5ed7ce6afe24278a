r"""Norm, effective learning rate and turning of every scale-invariant weight.

Spherical Perspective on Learning with Normalization Layers, S. Roburin, Y. de Mont-Marin,
A. Bursuc, R. Marlet, P. Pérez and M. Aubry, Neurocomputing 487, 2022, arXiv:2006.13382.

A slice w of d numbers whose scale changes nothing, because a norm follows, lives on a sphere: only
its direction u = w / r counts, with radius r = ‖w‖. A step :math:`w \leftarrow w - \eta \, a / b`
with direction a and divisor b turns u like a step on the unit sphere with the learning rate

.. math:: \eta_e = \frac{\eta}{r^2 \, d^{-1/2} \lVert b \rVert}

up to a factor 1 + O(η_e) that is left out. For SGD, with momentum or without, b = 1 and
:math:`\eta_e = \eta / r^2`. For optimizers that keep ``exp_avg_sq`` v, such as Adam,
:math:`b = \sqrt{v / (1 - \beta_2^t)} + \epsilon`, and for one such number v for a sphere, as AdamS
keeps, :math:`b = (\sqrt{v / (1 - \beta_2^t)} + \epsilon) / \sqrt d`; for those that keep
``square_avg``, such as RMSprop, :math:`b = \sqrt v + \epsilon`. Before the first step such an
optimizer has no divisor, and η_e is not a number. Any other is taken as SGD.

``angle`` is :math:`2 \arctan(\lVert u - u' \rVert / \lVert u + u' \rVert)` with u' the direction at
the last moment, in radians. Spheres are numbered along their weight: one for each channel before
batch norm, one for each group before group norm. Norms are taken in float64 and returned as such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normbench import Invariance, ParameterInfo, View

_NONE = -1


class SphereMotion:
    """See the module and :class:`normbench.observers.Probe`."""

    def __init__(self) -> None:
        self._last: dict[str, Tensor] = {}

    def observe(self, view: View) -> dict[str, Any]:
        """Return radii, learning rates and angles at one moment."""
        found = [(info, info.invariance) for info in view.parameters if info.invariance]
        found.sort(key=lambda pair: _NONE if pair[0].site is None else pair[0].site)
        infos = [info for info, _ in found]
        entries = [self._entry(view, info, invariance) for info, invariance in found]
        lengths = [len(entry["weight_norm"]) for entry in entries]
        along = {
            name: torch.cat([torch.zeros(0, dtype=torch.float64), *(e[name] for e in entries)])
            for name in ("weight_norm", "effective_learning_rate", "angle")
        }
        return {
            "weight_name": np.array([info.name for info in infos], dtype=np.str_),
            "weight_site": np.array([info.site for info in infos], dtype=np.int64),
            "learning_rate": np.array([entry["rate"] for entry in entries], dtype=np.float64),
            "sphere_weight": np.repeat(np.arange(len(lengths)), lengths),
            "sphere_index": np.concatenate(
                [np.zeros(0, dtype=np.int64), *(np.arange(length) for length in lengths)]
            ),
            **along,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights of the last moment."""
        return dict(self._last)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the weights of the last moment."""
        self._last = dict(state)

    def _entry(self, view: View, info: ParameterInfo, invariance: Invariance) -> dict[str, Any]:
        """Return what is known of the spheres of one weight."""
        weight = info.parameter.detach()
        spheres = _rows(weight, invariance)
        radii = spheres.norm(dim=1)
        settings, state = view.group_of(info.name), view.state_of(info.name)
        rate = float(settings.get("lr", 0.0))
        divisor = _divisor(settings, state, invariance, spheres)
        last = self._last.get(info.name)
        angle = torch.zeros_like(radii) if last is None else _angles(spheres, last, invariance)
        self._last[info.name] = weight.clone()
        return {
            "rate": rate,
            "weight_norm": radii.cpu(),
            "effective_learning_rate": (rate / (radii.square() * divisor)).cpu(),
            "angle": angle.cpu(),
        }


def _rows(weight: Tensor, invariance: Invariance) -> Tensor:
    """Return the slices that are spheres as rows, (spheres, d), in float64."""
    viewed = weight.double().reshape(invariance.view)
    inside = [dim for dim in range(viewed.ndim) if dim not in invariance.dims]
    count = math.prod(invariance.view[dim] for dim in invariance.dims)
    return viewed.permute(*invariance.dims, *inside).reshape(count, -1)


def _angles(spheres: Tensor, last: Tensor, invariance: Invariance) -> Tensor:
    """Return the angle between each row and that of the *last* weight, in radians."""
    before = _rows(last, invariance)
    here = spheres / spheres.norm(dim=1, keepdim=True)
    there = before / before.norm(dim=1, keepdim=True)
    # Unlike the arc cosine, exact for small angles.
    return 2 * torch.atan2((here - there).norm(dim=1), (here + there).norm(dim=1))


def _divisor(
    settings: Mapping[str, Any],
    state: Mapping[str, Any],
    invariance: Invariance,
    spheres: Tensor,
) -> Tensor:
    """Return d^(-1/2)·‖b‖ of each sphere, (spheres,)."""
    moments = state.get("exp_avg_sq", state.get("square_avg"))
    count, size = spheres.shape
    if not isinstance(moments, Tensor):
        divides = "eps" in settings
        return spheres.new_full((count,), torch.nan if divides and not state else 1.0)
    one_each = moments.numel() == count and size > 1
    rows = moments.double().reshape(-1, 1) if one_each else _rows(moments, invariance)
    divisors = (rows / _bias_correction(settings, state)).sqrt() + float(settings.get("eps", 0.0))
    divisor: Tensor = divisors.square().mean(dim=1).sqrt()
    return divisor / size**0.5 if one_each else divisor


def _bias_correction(settings: Mapping[str, Any], state: Mapping[str, Any]) -> float:
    if "exp_avg_sq" not in state or "betas" not in settings or "step" not in state:
        return 1.0
    return float(1.0 - float(settings["betas"][1]) ** float(state["step"]))
