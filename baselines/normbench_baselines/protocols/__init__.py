"""The protocols that come with normbench, one file each but for its own two."""

from __future__ import annotations

from collections.abc import Sequence

from normbench import Protocol, hookimpl
from normbench_baselines.protocols.beyond_batchnorm import BEYOND_BATCHNORM
from normbench_baselines.protocols.bn_init import BN_INIT
from normbench_baselines.protocols.deepobs import DEEPOBS
from normbench_baselines.protocols.dissect_bn import DISSECT_BN
from normbench_baselines.protocols.group_norm_study import GROUP_NORM_STUDY
from normbench_baselines.protocols.own import QUICK, STANDARD
from normbench_baselines.protocols.spherical import SPHERICAL


@hookimpl
def normbench_protocols() -> Sequence[Protocol]:
    """Offer the built-in protocols."""
    return (
        STANDARD,
        QUICK,
        DEEPOBS,
        BEYOND_BATCHNORM,
        BN_INIT,
        DISSECT_BN,
        SPHERICAL,
        GROUP_NORM_STUDY,
    )
