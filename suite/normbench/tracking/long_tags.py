"""Texts of any length in MLflow's tags, which take some thousand characters each."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping

# MLflow takes 8000; older servers took 5000, and cut what was longer.
LONGEST = 5000
_PACKED = "deflate "


def spread(name: str, text: str) -> dict[str, str]:
    """Return the tags that hold *text* under *name*.

    A text that fits stays readable. A longer one is compressed and continues in ``NAME.1`` and so
    on.
    """
    if len(text) <= LONGEST:
        return {name: text}
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    parts = [packed[start : start + LONGEST] for start in range(0, len(packed), LONGEST)]
    numbered = {f"{name}.{number}": part for number, part in enumerate(parts, 1)}
    return {name: f"{_PACKED}{len(parts)}", **numbered}


def gathered(tags: Mapping[str, str], name: str) -> str:
    """Return the text that :func:`spread` put under *name*; empty if there is none.

    Raises:
        ValueError: If a part is missing or not what belongs to the others.
    """
    first = tags.get(name, "")
    if not first.startswith(_PACKED):
        return first
    try:
        count = int(first.removeprefix(_PACKED))
        packed = "".join(tags[f"{name}.{number}"] for number in range(1, count + 1))
        return zlib.decompress(base64.b64decode(packed, validate=True)).decode()
    except (KeyError, ValueError, binascii.Error, zlib.error) as error:
        raise ValueError(f"tag {name} is not whole ({type(error).__name__}: {error})") from error
