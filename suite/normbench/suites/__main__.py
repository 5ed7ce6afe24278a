"""``python -m normbench.suites``: print the JSON Schema of suite files, for editors."""

from __future__ import annotations

import json

from normbench.suites.schema import SCHEMA

print(json.dumps(SCHEMA, indent=2, ensure_ascii=False))  # noqa: T201 - its output is the file
