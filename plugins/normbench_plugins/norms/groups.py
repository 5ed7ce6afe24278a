"""How many groups of channels: three spellings, and the messages where they do not fit."""

from __future__ import annotations

from math import ceil

from normbench import Site, UsageError

VARIANCES = ("biased", "unbiased")
DEFAULT_GROUPS = 8


def is_unbiased(variance: str, owner: str) -> bool:
    """Return whether *variance* is ``unbiased``.

    Raises:
        UsageError: If it is not ``biased`` either.
    """
    if variance not in VARIANCES:
        raise UsageError(
            f"{owner} received variance={variance!r}: expected one of {', '.join(VARIANCES)}."
        )
    return variance == "unbiased"


def check_groups(owner: str, features: int, num_groups: int) -> None:
    """Refuse groups that do not divide the channels.

    Raises:
        UsageError: With the numbers that do.
    """
    if num_groups < 1 or features % num_groups:
        raise UsageError(
            f"{owner} received num_groups={num_groups} for {features} channels: expected one of "
            f"{_listed(_divisors(features))}."
        )


def check_site_groups(site: Site, num_groups: int) -> None:
    """Refuse *num_groups* that do not divide the channels of *site* or leave one value in a group.

    Raises:
        UsageError: With the numbers that fit, and the fix.
    """
    _check(site, f"norm.num_groups={num_groups}", num_groups, _group_counts(site))


def groups_at(site: Site, num_groups: int, group_size: int | None, p_grouping: float | None) -> int:
    """Return the groups at *site*, by whichever spelling was given.

    Args:
        site: A convolutional or dense site.
        num_groups: Groups at every site.
        group_size: Channels in a group, instead of *num_groups*.
        p_grouping: p, instead of *num_groups*: int(p) groups at every site for p > 1, ceil(C·p) for
            p <= 1.

    Raises:
        UsageError: If several spellings are given, the groups do not divide the channels, or a
            dense site's groups would hold one value.
    """
    _refuse_several(num_groups, group_size, p_grouping)
    counts = _group_counts(site)
    if group_size is not None:
        sizes = sorted(site.features // count for count in counts)
        _check(site, f"norm.group_size={group_size}", group_size, sizes)
        return site.features // group_size
    if p_grouping is None:
        _check(site, f"norm.num_groups={num_groups}", num_groups, counts)
        return num_groups
    groups = int(p_grouping) if p_grouping > 1 else ceil(site.features * p_grouping)
    given = f"norm.p_grouping={p_grouping:g}, that is {groups} groups,"
    _check(site, given, groups, counts)
    return groups


def _refuse_several(num_groups: int, group_size: int | None, p_grouping: float | None) -> None:
    spellings = {
        "num_groups": None if num_groups == DEFAULT_GROUPS else num_groups,
        "group_size": group_size,
        "p_grouping": p_grouping,
    }
    given = [f"norm.{name}={value:g}" for name, value in spellings.items() if value is not None]
    if len(given) > 1:
        raise UsageError(
            f"{' and '.join(given)} each say how many groups there are: expected one of them. "
            f"Leave the {'other' if len(given) == 2 else 'others'} out."
        )


def _check(site: Site, given: str, value: int, allowed: list[int]) -> None:
    if value in allowed:
        return
    reason = (
        f"leaves a single value in each group of the {site.features} channels of {site.kind} norm "
        f"site {site.index}, so that the output would be constant"
        if value in _divisors(site.features)
        else f"does not divide the {site.features} channels of norm site {site.index}"
    )
    raise UsageError(
        f"{given} {reason}: expected one of {_listed(allowed)}. Give one that fits every site, or "
        f"leave site {site.index} out with --sites."
    )


def _group_counts(site: Site) -> list[int]:
    """Return the numbers of groups that fit; at a dense site a channel is one value, no group."""
    lone = None if site.kind == "conv" else site.features
    return [divisor for divisor in _divisors(site.features) if divisor != lone]


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers) or "none"
