"""Hostile JSON: a whole value of which parts are replaced, removed or repeated."""

import copy
import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 255, 2**31, 2**63, 10**30, 0.5, float("nan"), float("inf"), -1e300),
    *("", "x", "7", "../../x", "a\0b", "x" * 3000, "\ud800", "NaN", "zz", "0", "/etc/passwd", "two\nlines"),
    *([], {}, [[]], [None], [0, 0], [0, 90], [-1, -1], [10**9, 10**9], [1, 2, 3, 4], [[1e9, -1e9] * 4], {"a": {}}),
    *({"size": [0, 5], "counts": "0"}, {"size": [60, 90], "counts": [5400]}, {"size": [60, 90], "counts": [-1, 5401]}),
)


def changed(whole: Any, max_changes: int = 3) -> SearchStrategy[Any]:
    """Return a strategy that changes `whole`, which stays as it is, at one place or several."""

    @st.composite
    def change(draw: st.DrawFn) -> Any:
        value = copy.deepcopy(whole)
        for _ in range(draw(st.integers(1, max_changes))):
            places = list(_places(value))
            if not places:
                return value
            holder, key = draw(st.sampled_from(places))
            action = draw(st.sampled_from(("replace", "replace", "replace", "remove", "repeat")))
            if action == "replace":
                holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            elif action == "remove":
                del holder[key]
            elif isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            else:
                holder[f"{key}_"] = holder[key]
        return value

    return change()


def _places(value: Any) -> Any:
    """Yield (list or object, index or key) of every part of `value`."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(part, dict | list):
            yield from _places(part)


def as_bytes(value: Any) -> bytes:
    """Return JSON as any program might have written it: with NaN, and with lone surrogates as escapes."""
    return json.dumps(value).encode()
