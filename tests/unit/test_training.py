"""Training without data: losses, the split, augmentation, calibration, conversion."""

import importlib
import importlib.util
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.vision.attributes import calibrate
from age_gender.vision.model_spec import Ages, Calibration, Chip, ModelSpec, load_spec
from modelbuild.catalogue import CATALOGUE
from training import steps
from training.augment import degrade, jittered_chips
from training.batches import Batch, TrainingBatches, balancing_weights
from training.data import (
    AGE_BANDS,
    DataError,
    Labels,
    Prepared,
    age_band,
    in_second_half,
    is_validation,
    read_labels,
)
from training.metrics import share_interval, summary
from training.recipes import load_recipe

HAS_KERAS = importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow")
needs_keras = pytest.mark.skipif(not HAS_KERAS, reason="TensorFlow is not installed")


def make_labels(
    low: Sequence[int] | NDArray[np.integer],
    high: Sequence[int] | NDArray[np.integer] | None = None,
    male: Any = None,
    race: list[str] | None = None,
) -> Labels:
    count = len(low)
    return Labels(
        np.array([f"a/{i}.webp" for i in range(count)]),
        np.array(low),
        np.array(low if high is None else high),
        np.ones(count, bool) if male is None else np.array(male),
        np.array(["A"] * count if race is None else race),
    )


def make_spec(calibration: Calibration = Calibration()) -> ModelSpec:  # noqa: B008 - frozen
    return ModelSpec(
        name="tiny",
        version="1",
        licence="none",
        data="none",
        chip=Chip(size=32, scale=1.25),
        ages=Ages(first=0, step=1),
        calibration=calibration,
    )


def make_prepared(count: int = 12, size: int = 40) -> Prepared:
    rng = np.random.default_rng(0)
    box = np.array([10, 8, 30, 34], np.float32)
    points = np.array([[15, 18], [25, 18], [20, 23], [16, 28], [24, 28]], np.float32)
    return Prepared(
        images=rng.integers(0, 256, (count, size, size, 3), np.uint8),
        boxes=np.tile(box, (count, 1)),
        landmarks=np.tile(points, (count, 1, 1)),
        detected=np.ones(count, bool),
        leaked=np.zeros(count, bool),
        labels=make_labels(list(range(count))),
    )


# Labels and the split


def test_reads_exact_ages_and_ranges(tmp_path: Path) -> None:
    exact, ranged = tmp_path / "a.csv", tmp_path / "b.csv"
    exact.write_text("file,age,gender,race\nx/1.webp,30,M,White\n")
    ranged.write_text("file,age_low,age_high,gender,race\ny/2.webp,20,29,F,Black\n")
    assert read_labels(exact).exact.tolist() == [True]
    labels = read_labels(ranged)
    assert (labels.low[0], labels.high[0], labels.male[0], labels.exact[0]) == (
        20,
        29,
        False,
        False,
    )


def test_an_invalid_table_is_named(tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("file,age,gender,race\nx/1.webp,30,?,White\n")
    with pytest.raises(DataError, match=r"bad\.csv"):
        read_labels(table)


def test_the_split_never_changes() -> None:
    names = [f"utk_train/{i}.webp" for i in range(5000)]
    held_out = is_validation(names)
    assert 0.085 < held_out.mean() < 0.115
    assert np.flatnonzero(held_out)[:5].tolist() == FIRST_HELD_OUT
    assert (is_validation([f"elsewhere/{i}.webp" for i in range(5000)]) == held_out).all()


FIRST_HELD_OUT = [22, 33, 35, 40, 43]


def test_the_halves_are_independent_of_the_split() -> None:
    files = [f"{i}.webp" for i in range(4000)]
    held_out, second = is_validation(files), in_second_half(files)
    assert second[held_out].mean() == pytest.approx(0.5, abs=0.08)
    assert second[~held_out].mean() == pytest.approx(0.5, abs=0.03)


def test_age_bands_are_those_of_fairface() -> None:
    ages = [0, 2.99, 3, 9.5, 10, 19.99, 20, 69.9, 70, 101]
    assert [AGE_BANDS[i] for i in age_band(np.array(ages))] == [
        "0-2", "0-2", "3-9", "3-9", "10-19", "10-19", "20-29", "60-69", "70+", "70+",
    ]  # fmt: skip


# Augmentation and batches


def test_augmentation_keeps_shapes_and_types() -> None:
    data = make_prepared()
    rng = np.random.default_rng(0)
    chips = jittered_chips(data.images, data.boxes, data.landmarks, 1.25, 48, rng)
    assert chips.shape == (12, 48, 48, 3)
    assert chips.dtype == np.uint8
    for chip in np.concatenate([chips] * 8):  # often enough for every kind of degradation
        result = degrade(chip, rng)
        assert result.shape == (48, 48, 3)
        assert result.dtype == np.uint8


def test_a_batch_depends_on_seed_and_step_only() -> None:
    def batch(step: int, seed: int) -> Batch:
        batches = TrainingBatches(
            make_prepared(), np.arange(12), size=32, scale=1.25, batch=4, degradation=1.0, seed=seed
        )
        return batches.make(step)

    first = batch(3, 1)
    assert first.chips.shape == (4, 32, 32, 3)
    assert first.ages.shape == (4, 2)
    assert (batch(3, 1).chips == first.chips).all()
    assert (batch(3, 2).chips != first.chips).any()


def test_the_stream_resumes_at_any_step() -> None:
    batches = TrainingBatches(
        make_prepared(), np.arange(12), size=32, scale=1.25, batch=4, degradation=1.0, seed=1
    )
    from_two = batches.stream(2)
    assert (next(from_two).chips == batches.make(2).chips).all()
    assert (next(from_two).chips == batches.make(3).chips).all()
    from_two.close()


def test_rare_groups_get_higher_weights() -> None:
    labels = make_labels([30] * 90 + [80] * 10)
    weights = balancing_weights(labels)
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    assert weights[-1] / weights[0] == pytest.approx(9**0.25, rel=1e-4)


# Metrics


def test_summary_counts_buckets_and_years() -> None:
    labels = make_labels([30, 20], high=[30, 29], male=[True, False])
    scores = summary(np.array([33.0, 31.0]), np.array([0.9, 0.9]), labels)
    assert scores["mae"] == 3
    assert (scores["bucket"], scores["bucket_within_one"]) == (0, 1)
    assert (scores["gender_exact"], scores["gender_ranged"]) == (1, 0)


def test_wilson_interval() -> None:
    low, high = share_interval(8, 10)
    assert (low, high) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert share_interval(0, 0) == (0.0, 1.0)


# Losses


@needs_keras
def test_age_loss_of_an_exact_age_is_zero_for_its_own_target() -> None:
    from training.losses import DISTANCE_WEIGHT, MAX_SPREAD, AgeLoss

    years = np.arange(101)
    logits = -0.5 * ((years - 50) / MAX_SPREAD) ** 2
    loss = AgeLoss(reduction="none")
    label = np.array([[50.0, 50.0]])
    assert float(loss(label, logits[None].astype(np.float32))[0]) == pytest.approx(0, abs=1e-4)
    shifted = np.roll(logits, 1)[None].astype(np.float32)
    # Two equal Gaussians a year apart: divergence 1 / (2 s^2), and the distance of a year.
    expected = 1 / (2 * MAX_SPREAD**2) + DISTANCE_WEIGHT
    assert float(loss(label, shifted)[0]) == pytest.approx(expected, abs=1e-3)


@needs_keras
def test_age_loss_of_a_range_is_its_likelihood() -> None:
    from training.losses import DISTANCE_WEIGHT, AgeLoss

    flat = np.zeros((1, 101), np.float32)
    loss = AgeLoss(reduction="none")
    # The expected age of a flat distribution, 50, is inside the first range and 21 off the second.
    inside = float(loss(np.array([[40.0, 59.0]]), flat)[0])
    assert inside == pytest.approx(-np.log(20 / 101), abs=1e-4)
    below = float(loss(np.array([[20.0, 29.0]]), flat)[0])
    assert below == pytest.approx(-np.log(10 / 101) + 21 * DISTANCE_WEIGHT, abs=1e-3)


@needs_keras
def test_flatness_draws_a_range_towards_its_middle() -> None:
    import keras

    from training.losses import AgeLoss

    truth = np.array([[20.0, 29.0]], np.float32)
    even = np.where((np.arange(101) >= 20) & (np.arange(101) < 30), 0.0, -30.0)
    peaked = np.where(np.arange(101) == 29, 0.0, -30.0)

    def loss(logits: Any, flatness: float) -> float:
        value = AgeLoss(flatness)(truth, logits[None].astype(np.float32))
        return float(keras.ops.convert_to_numpy(value))

    assert loss(even, 0.0) == pytest.approx(0, abs=1e-4)
    assert loss(peaked, 0.0) == pytest.approx(0, abs=1e-4)
    assert loss(even, 0.1) == pytest.approx(0, abs=1e-4)
    assert loss(peaked, 0.1) > 1


@needs_keras
def test_age_loss_accepts_ages_beyond_the_last_bin() -> None:
    from training.losses import AgeLoss

    loss = AgeLoss(reduction="none")(np.array([[116.0, 116.0]]), np.zeros((1, 101), np.float32))
    assert np.isfinite(float(loss[0]))


@needs_keras
def test_gender_loss_is_smoothed_cross_entropy() -> None:
    from training.losses import SMOOTHING, GenderLoss

    loss = GenderLoss(reduction="none")(np.array([[1.0]]), np.array([[2.0]], np.float32))
    p = 1 / (1 + np.exp(-2.0))
    target = 1 - SMOOTHING / 2
    expected = -target * np.log(p) - (1 - target) * np.log(1 - p)
    assert float(loss[0]) == pytest.approx(expected, abs=1e-5)


# Calibration


def make_observations(weights: NDArray[np.floating], male: float) -> Any:
    """Observations of N detected faces, all with the same probability of male.

    Args:
        weights: ``[N, K]``, age distributions; rows need not sum to 1.
        male: probability of male.
    """
    from training.observe import Observations

    blank = np.ones(len(weights), np.float32)
    distributions = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return Observations(blank.astype(bool), distributions, blank * male, blank, blank, blank)


@needs_keras
def test_intervals_reach_their_coverage() -> None:
    from training.calibrate import fit

    rng = np.random.default_rng(0)
    count, years = 4000, np.arange(101)
    centre = rng.uniform(15, 75, count)
    truth = np.clip(np.rint(centre + rng.normal(0, 6, count)), 0, 100).astype(int)
    overconfident = np.exp(-0.5 * ((years - centre[:, None]) / 2.5) ** 2)
    observed = make_observations(overconfident, male=0.5)
    labels = make_labels(truth, male=rng.random(count) < 0.5)
    half = np.arange(count // 2), np.arange(count // 2, count)
    calibration = fit(observed[half[0]], labels[half[0]], make_spec())
    assert calibration.age_temperature > 1.5
    spec = make_spec(calibration)
    rest = observed[half[1]]
    low, high = calibrate(rest.distributions, rest.male, spec).intervals.T
    truth = labels[half[1]].low
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.8, abs=0.03)


@needs_keras
def test_intervals_reach_their_coverage_for_old_faces_too() -> None:
    from training.calibrate import banded_margins

    rng = np.random.default_rng(0)
    ages = rng.uniform(0, 90, 6000)
    biased = np.where(ages > 70, ages - 6, ages)  # too low for old faces
    predicted = biased + rng.normal(0, 4, 6000)
    low, high = predicted - 4, predicted + 4
    margins = np.array(banded_margins(low, high, predicted, ages, 0.8, min_coverage=0.75))
    below, above = margins[age_band(predicted)].T
    covered = (low - below <= ages) & (ages <= high + above)
    assert 0.78 < covered.mean() < 0.85
    assert covered[ages >= 70].mean() >= 0.74


def test_margins_depend_on_the_predicted_age() -> None:
    spec = make_spec(Calibration(interval_edges=(50,), interval_margins=((1, 2), (3, 4))))
    certain = np.eye(101, dtype=np.float32)[[20, 80]]
    intervals = calibrate(certain, np.array([0.5, 0.5], np.float32), spec).intervals
    # 0.4: the interval's ends lie within the one bin that has all the probability.
    assert intervals == pytest.approx(np.array([[18.6, 22.4], [76.6, 84.4]]), abs=1e-3)
    with pytest.raises(ValueError, match="one more"):
        Calibration(interval_margins=((1, 1), (2, 2)))


@needs_keras
def test_cross_fitting_calibrates_on_the_other_half() -> None:
    from training.calibrate import cross_fitted, fit

    rng = np.random.default_rng(0)
    count, years = 2000, np.arange(101)
    labels = make_labels(rng.integers(10, 80, count), male=rng.random(count) < 0.5)
    second = in_second_half(list(labels.name))
    # Predictions are unbiased for one half and ten years too high for the other.
    centre = labels.low + rng.normal(0, 4, count) + np.where(second, 10, 0)
    distributions = np.exp(-0.5 * ((years - centre[:, None]) / 4) ** 2) + 1e-9
    observed = make_observations(distributions, male=0.6)
    use = np.ones(count, bool)
    crossed = cross_fitted(observed, labels, make_spec(), use)
    for half in (second, ~second):
        rows = use & half
        calibration = fit(observed[rows], labels[rows], make_spec())
        other = calibrate(observed.distributions, observed.male, make_spec(calibration))
        assert crossed.intervals[~half] == pytest.approx(other.intervals[~half])
        assert crossed.male[~half] == pytest.approx(other.male[~half])


@needs_keras
def test_ages_are_drawn_within_their_ranges() -> None:
    from training.calibrate import drawn_ages

    labels = make_labels([20, 40, 70], high=[29, 40, 100])
    drawn = drawn_ages(np.full((3, 101), 1 / 101, np.float32), labels)
    assert (labels.low <= drawn).all()
    assert (drawn <= labels.high).all()


@needs_keras
def test_the_reliability_limit_lies_where_the_error_grows() -> None:
    from training.calibrate import reliability_limit

    quality = np.linspace(0, 100, 1200)
    errors = np.where(quality < 25, 3.0, 1.0)
    assert reliability_limit(quality, errors) == pytest.approx(25, abs=0.5)
    assert reliability_limit(quality, np.ones(1200)) == 0


# From weights to a served model


@needs_keras
def test_weights_survive_the_file_and_the_conversion(tmp_path: Path) -> None:
    import keras

    from age_gender.limits.cpus import CpuShares
    from age_gender.networks.engine import LiteRTEngine
    from modelbuild import agn
    from training.export import publish

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    source = agn.build(32)
    agn.save(agn.weights_of(source), tmp_path / "weights.npz")
    publish(tmp_path / "weights.npz", make_spec(), tmp_path, own=tmp_path / "own")
    agn.convert(tmp_path / "own" / "tiny.npz", tmp_path, chip_size=32)

    chips = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    outputs = LiteRTEngine(tmp_path / "tiny.tflite", CpuShares(1)).run(chips)
    expected = agn.serving(source)(chips)
    assert outputs["age"].shape == (3, 101)
    assert np.asarray(expected["age"]) == pytest.approx(outputs["age"], abs=2e-3)
    assert np.asarray(expected["gender"]) == pytest.approx(outputs["gender"], abs=5e-3)
    assert (tmp_path / "tiny" / "saved_model.pb").is_file()


def test_weights_are_pinned_in_the_catalogue() -> None:
    from training.export import pinned

    before = '# head\n\n[own.a]\nversion = "1"\nsha256 = "0"\n\n[own.b]\nversion = "1"\n'
    after = tomllib.loads(pinned(before, "a", "2", "ff", 192))
    assert after["own"]["a"] == {
        "version": "2",
        "sha256": "ff",
        "revision": 1,
        "chip_size": 192,
    }
    assert after["own"]["b"] == {"version": "1"}
    added = tomllib.loads(pinned(before, "c", "1", "ff", 192))
    assert added["own"]["c"]["sha256"] == "ff"


@needs_keras
def test_weights_are_rounded_except_for_the_outputs() -> None:
    from modelbuild import agn

    weights = {
        "conv1/0": np.array([1.001], np.float32),
        "age_logits/0": np.array([1.001], np.float32),
    }
    assert agn.rounded(weights)["conv1/0"][0] == 1.0
    assert agn.rounded(weights)["age_logits/0"][0] == np.float32(1.001)


@needs_keras
def test_the_first_blocks_are_frozen() -> None:
    from modelbuild import agn

    assert agn.frozen_layers(0) == []
    assert agn.frozen_layers(1) == ["conv1", "conv_dw_1", "conv_pw_1"]
    with pytest.raises(ValueError, match="13 blocks"):
        agn.frozen_layers(14)


@needs_keras
def test_averaged_weights_follow_slowly() -> None:
    from training.train import ExponentialMovingAverage

    average = ExponentialMovingAverage([np.zeros(2, np.float32)], 0.9)
    average.update([np.ones(2, np.float32)], 2, step=1000)
    assert average.weights[0] == pytest.approx([0.19, 0.19])
    average = ExponentialMovingAverage([np.zeros(2, np.float32)], 0.999)
    average.update([np.ones(2, np.float32)], 4, step=4)
    assert average.weights[0][0] > 0.9


# Recipes


def test_every_committed_model_has_a_recipe() -> None:
    models = Path(__file__).parents[2] / "function" / "age_gender" / "models"
    own = tomllib.loads(CATALOGUE.read_text())["own"]
    for name, table in own.items():
        recipe, spec = load_recipe(name), load_spec(models, name)
        assert recipe.version == table["version"] == spec.version
        assert (recipe.licence, recipe.provenance) == (spec.licence, spec.data)
        assert (recipe.size, recipe.tuning.scale) == (spec.chip.size, spec.chip.scale)
        assert table["chip_size"] == spec.chip.size


def test_an_invalid_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipes.toml"
    path.write_text('[a]\nversion = "1"\n[b]\nhead = { epoch = 1 }\n')
    for name, message in (("a", "a: .*missing"), ("b", "b: .*epoch"), ("c", "known: a, b")):
        with pytest.raises(DataError, match=message):
            load_recipe(name, path)


def test_a_step_is_skipped_only_if_its_result_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        done.append(command[2])
        return subprocess.CompletedProcess(command, int(command[2] == "training.train"))

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr(steps, "fetched", lambda _: tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,age\n")
    work = tmp_path / "work"
    arguments = ["steps", "--name", "agn-v1", "--images", "i", "--labels", labels, "--work", work]
    monkeypatch.setattr("sys.argv", [str(a) for a in arguments])
    with pytest.raises(SystemExit, match=r"training\.train failed"):
        steps.main()
    assert done == ["training.prepare", "training.refit", "training.train"]
    done.clear()
    (work / "prepared" / "faces.npz").touch()
    with pytest.raises(SystemExit, match=r"training\.train failed"):
        steps.main()
    assert done == ["training.refit", "training.train"]
    done.clear()
    (work / "agn-v1" / "first.npz").touch()
    labels.write_text("file,age\na.jpg,3\n")
    with pytest.raises(SystemExit, match="results of another recipe or other tables"):
        steps.main()
    assert done == []


def test_results_of_other_inputs_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "agn-v1"
    steps.require_same_inputs(folder, {"recipe": {"size": 192}})  # no results yet
    for _ in range(2):
        steps.require_same_inputs(folder, {"recipe": {"size": 224}})
        (folder / "first.npz").touch()
    with pytest.raises(DataError, match="another recipe"):
        steps.require_same_inputs(folder, {"recipe": {"size": 192}})
    (tmp_path / "old.npz").touch()
    with pytest.raises(DataError, match="unknown inputs"):
        steps.require_same_inputs(tmp_path, {})


def test_descriptions_in_a_recipe_do_not_count_as_inputs() -> None:
    recipe = load_recipe("agn-v1")
    assert steps.recipe_inputs(replace(recipe, version="9")) == steps.recipe_inputs(recipe)
    assert steps.recipe_inputs(replace(recipe, size=8)) != steps.recipe_inputs(recipe)


@needs_keras
def test_every_step_accepts_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step's parser accepts the command, and the step stops because there is no data."""
    commands = steps.steps(
        load_recipe("agn-v1-ccby"),
        images=tmp_path,
        labels=[tmp_path / "none.csv"],
        work=tmp_path,
        faceres=tmp_path,
        models=tmp_path,
        docs=tmp_path,
    )
    monkeypatch.setattr("keras.config.set_dtype_policy", lambda _: None)
    for _, (module, *arguments) in commands:
        monkeypatch.setattr("sys.argv", [module, *arguments])
        with pytest.raises((FileNotFoundError, DataError)):
            importlib.import_module(module).main()
