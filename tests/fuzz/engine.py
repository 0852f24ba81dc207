"""A target as a test of `hypothesis`, which makes the inputs, and shrinks those that fail."""

from typing import Any

from hypothesis import HealthCheck, Phase, example, given, seed, settings

from tests.fuzz.target import Target


def fuzz_test(target: Target, examples: int, first: int, shrink: bool = True) -> Any:
    """Return a function without arguments that gives `target` its known inputs and `examples` new ones.

    Args:
        target: what is tested.
        examples: how many inputs are made.
        first: the seed; the same one makes the same inputs.
        shrink: look for the smallest input that fails, which takes minutes where a try takes seconds.
    """

    target.warm_up()

    @seed(first)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, *([Phase.shrink] if shrink else [])),
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(value=target.inputs)
    def try_one(value: Any) -> None:
        target.check(value)

    for known in target.known:
        try_one = example(value=known)(try_one)
    return try_one
