import pytest

from solov2.errors import UnknownNameError
from solov2.train import build_parser
from solov2.training.train_config import PRESETS, find_preset, fine_tuning, preset_of
from solov2.variants import VARIANTS


@pytest.mark.parametrize(
    ("variant", "preset"),
    [("nano", "nano"), ("light-r50-dcn", "light-3x"), ("r50-1x", "1x"), ("r50", "3x"), ("x101-dcn", "3x")],
)
def test_every_variant_has_the_schedule_that_it_was_published_with(variant: str, preset: str) -> None:
    assert preset_of(variant) == preset


@pytest.mark.parametrize(
    ("preset", "epochs", "drops"), [("1x", 12, (8, 11)), ("3x", 36, (27, 33)), ("light-3x", 36, (27, 33))]
)
def test_the_published_schedules_are_the_papers(preset: str, epochs: int, drops: tuple[int, ...]) -> None:
    config = find_preset(preset)
    assert (config.epochs, config.drops, config.batch_size) == (epochs, drops, 16)
    assert (config.optimizer, config.learning_rate, config.warmup_steps) == ("sgd", 0.01, 500)


def test_the_help_says_what_each_schedule_should_reach() -> None:
    words = build_parser().format_help().split()
    for name, row in VARIANTS.items():
        if row.mask_ap is not None:
            place = len(words) - 1 - words[::-1].index(name)
            assert words[place - 3 : place + 2] == ["--preset", preset_of(name), "--variant", name, str(row.mask_ap)]


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown preset '2x'.* nano-masks, nano-416, nano, 1x, 3x, light-3x"):
        find_preset("2x")


@pytest.mark.parametrize(
    ("pictures", "epochs", "repeats"),
    [(2, 10, 160), (20, 10, 16), (80, 10, 4), (100, 10, 4), (400, 10, 4), (1000, 10, 1), (4000, 4, 1), (100_000, 1, 1)],
)
def test_a_fine_tuning_lasts_as_the_set_is_large(pictures: int, epochs: int, repeats: int) -> None:
    config = fine_tuning(PRESETS["nano"], pictures)
    assert (config.epochs, config.repeats) == (epochs, repeats)


@pytest.mark.parametrize("pictures", [2, 50, 300, 2000, 15_000])
def test_a_fine_tuning_shows_pictures_within_its_bounds(pictures: int) -> None:
    config = fine_tuning(PRESETS["nano"], pictures)
    shown = config.epochs * config.repeats * pictures
    assert 1600 < shown <= 16_000
    assert config.warmup_steps <= max(shown // config.batch_size // 10, 1)


def test_the_warm_up_of_a_fine_tuning_is_a_tenth_of_the_epochs_that_were_asked_for() -> None:
    config = fine_tuning(PRESETS["nano"], 80, epochs=1, batch_size=4)
    assert (config.epochs, config.repeats, config.batch_size) == (1, 4, 4)
    assert config.warmup_steps == 1 * 4 * 80 // 4 // 10


def test_a_fine_tuning_is_gentler_than_the_training_was() -> None:
    nano, light = fine_tuning(PRESETS["nano"], 100), fine_tuning(PRESETS["light-3x"], 100)
    assert nano.learning_rate < PRESETS["nano"].learning_rate
    assert light.optimizer == "adamw"
    assert light.drops is None
    assert (nano.batch_size, light.batch_size) == (8, 4)
    assert nano.canvases == PRESETS["nano"].canvases
