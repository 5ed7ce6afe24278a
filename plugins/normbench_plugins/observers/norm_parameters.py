"""γ and β of every channel at every norm site, and the biases of layers without a norm.

After DissectBatchNorm (code on DeepOBS 1.2), which follows them every few steps: ``every_steps=5``.

Three groups of arrays, ``gamma``, ``beta`` and ``bias``, each along a dimension of its own that
runs over all channels of all sites, site after site: the value, the parameter's name, its site, and
the channel's number. ``gamma`` are the parameters of role ``norm_scale``, of norms on weights too,
``beta`` those of role ``norm_shift``. ``bias`` are the biases of layers whose site has no β, the
part that β plays without a norm; a layer without a site, such as the last one, comes last with site
-1. Values have the parameters' dtype and are read behind the optimizer's step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normbench import Role, View

_NONE = -1
_Placed = tuple[int, str, Tensor]


class NormParameters:
    """See the module and :class:`normbench.observers.Probe`."""

    def observe(self, view: View) -> dict[str, Any]:
        """Return the values of γ, β and biases at one moment."""
        fed = {site.layer: site.index for site in view.sites if site.layer}
        found: dict[str, list[_Placed]] = {Role.NORM_SCALE: [], Role.NORM_SHIFT: [], Role.BIAS: []}
        for info in view.parameters:
            site = fed.get(info.name.rpartition(".")[0]) if info.role == Role.BIAS else info.site
            if info.role in found:
                place = _NONE if site is None else site
                found[info.role].append((place, info.name, info.parameter.detach()))
        shifted = {site for site, _, _ in found[Role.NORM_SHIFT]} - {_NONE}
        biases = [entry for entry in found[Role.BIAS] if entry[0] not in shifted]
        return {
            **_trajectory("gamma", found[Role.NORM_SCALE]),
            **_trajectory("beta", found[Role.NORM_SHIFT]),
            **_trajectory("bias", biases),
        }


def _trajectory(name: str, found: Iterable[_Placed]) -> dict[str, Any]:
    """Return one group of arrays, in the order of the sites."""
    placed = sorted(found, key=lambda entry: (entry[0] == _NONE, entry[0]))
    lengths = [values.numel() for _, _, values in placed]
    return {
        name: torch.cat([torch.zeros(0), *(values.flatten().cpu() for _, _, values in placed)]),
        f"{name}_parameter": np.repeat(
            np.array([parameter for _, parameter, _ in placed], dtype=np.str_), lengths
        ),
        f"{name}_site": np.repeat(
            np.array([site for site, _, _ in placed], dtype=np.int64), lengths
        ),
        f"{name}_index": np.concatenate(
            [np.zeros(0, dtype=np.int64), *(np.arange(length) for length in lengths)]
        ),
    }
