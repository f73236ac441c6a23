"""Training without data: the split, sampling, calibration, recipes, conversion."""

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

from age_gender.vision.attributes import Attributes, calibrate
from age_gender.vision.model_spec import Ages, Calibration, Chip, ModelSpec, load_spec
from modelbuild.catalogue import CATALOGUE, MODELS_DIR, OWN
from modelbuild.fetch import sha256
from training import compare, steps
from training.answers import write_answers
from training.data import (
    AGE_BANDS,
    DataError,
    Labels,
    Prepared,
    age_band,
    in_second_half,
    is_validation,
    read_labels,
    read_tables,
    set_names,
)
from training.intervals import EDGES, fit_margins
from training.metrics import share_interval, summary
from training.perceptron import fit_perceptron
from training.prepare import SIDE, squared
from training.recipes import load_recipe, recipe_names
from training.report import over_age
from training.sampling import folds, groups, sampling_weights, training_rows

HAS_KERAS = importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow")
HAS_TORCH = importlib.util.find_spec("torch")
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
        name="own",
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
        rolls=np.zeros(count, np.float32),
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


# Sampling


def test_rare_groups_are_drawn_more_often() -> None:
    labels = make_labels([30] * 90 + [50] * 10)
    weights = sampling_weights(labels)
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(9**0.25, rel=1e-4)


def test_old_people_are_drawn_more_often() -> None:
    labels = make_labels([50, 60, 69, 70, 90])
    factors = sampling_weights(labels, 3.0) / sampling_weights(labels)
    assert factors / factors[0] == pytest.approx([1, 2, 2, 3, 3])


def test_folds_never_change_and_are_independent_of_the_split() -> None:
    names = [f"{i}.webp" for i in range(4000)]
    parts = folds(names)
    assert parts[:6].tolist() == folds([f"elsewhere/{name}" for name in names[:6]]).tolist()
    for part in range(3):
        assert (parts == part).mean() == pytest.approx(1 / 3, abs=0.03)
        assert is_validation(names)[parts == part].mean() == pytest.approx(0.1, abs=0.03)


def test_groups_are_races_and_genders_of_sets_with_ranges() -> None:
    labels = make_labels(
        [20, 20, 20, 30, 20],
        [29, 29, 29, 30, 29],
        male=[True, False, True, True, True],
        race=["B", "A", "A", "A", ""],
    )
    assert groups(labels).tolist() == [4, 1, 2, 0, 0]


def test_a_model_sees_only_the_sets_of_its_recipe() -> None:
    labels = make_labels([30] * 4)
    names = np.array(["utk_train/1", "fairface_train/2", "fairface_train/3", "portraits/4"])
    labels = replace(labels, name=names)
    usable = np.array([True, True, True, False])
    data = load_recipe("agn-v2").data
    assert training_rows(labels, usable, data).tolist() == [1, 2]
    assert training_rows(labels, usable, data, ["fairface_train/3"]).tolist() == [1]
    assert training_rows(labels, usable, ()).tolist() == [0, 1, 2]


def test_an_image_of_another_size_is_cut_around_its_face() -> None:
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:180, 200:260] = 255
    box = np.array([200, 100, 260, 180], np.float32)
    points = np.array([[215, 120], [245, 120], [230, 140], [218, 160], [242, 160]], np.float32)
    square, moved_box, moved_points = squared(image, box, points)
    assert square.shape == (SIDE, SIDE, 3)
    x1, y1, x2, y2 = moved_box.round().astype(int)
    assert (y2 - y1) / (x2 - x1) == pytest.approx(80 / 60, rel=0.05)
    assert square[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].min() > 200
    assert square[: y1 - 2].max() < 50
    assert moved_points[2] == pytest.approx((moved_box[:2] + moved_box[2:]) / 2)
    same, _, _ = squared(np.ones((SIDE, SIDE, 3), np.uint8), box, points)
    assert (same == 1).all()


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


# Calibration


def make_observations(weights: NDArray[np.floating], male: float) -> Any:
    """Observations of N detected faces, all with the same probability of male.

    Args:
        weights: ``[N, K]``, age distributions; rows need not sum to 1.
        male: probability of male.
    """
    from training.observe import NOTHING, Observations

    blank = np.ones(len(weights), np.float32)
    distributions = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    quality = np.full(len(weights), NOTHING, object)
    features = np.zeros((len(weights), 0), np.float16)
    return Observations(blank.astype(bool), distributions, blank * male, features, quality)


@needs_keras
def test_intervals_reach_their_coverage() -> None:
    from training.calibration import fit

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


def test_the_gender_is_as_sure_as_it_is_right_at_every_age() -> None:
    from training.probabilities import GENDER_AGES, fit_gender

    rng = np.random.default_rng(0)
    count = 20_000
    ages = rng.uniform(0, 80, count)
    truth = np.interp(ages, [0, 12, 80], [2.0, 0.8, 0.8])  # babies: too sure by half
    is_male = rng.random(count) < 0.5
    logits = rng.normal(np.where(is_male, 2, -2), 2) * truth
    male = 1 / (1 + np.exp(-logits))
    fitted = np.interp([1, 5, 40, 74], GENDER_AGES, fit_gender(male, ages, is_male, 1.0))
    assert fitted == pytest.approx(np.interp([1, 5, 40, 74], [0, 12, 80], [2.0, 0.8, 0.8]), rel=0.2)
    few = slice(0, 20)
    assert fit_gender(male[few], ages[few], is_male[few], 1.0) == pytest.approx([1.0] * 7, abs=0.5)


def test_intervals_hold_for_every_group() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 90, 6000)
    hard = rng.random(6000) < 0.15
    biased = truth + rng.normal(0, 4, 6000) - 7 * hard
    distributions = np.exp(-0.5 * ((np.arange(101) - biased[:, None]) / 3) ** 2) + 1e-9
    labels = make_labels(truth)
    bare = calibrate(
        distributions / distributions.sum(axis=1, keepdims=True),
        np.full(6000, 0.5, np.float32),
        make_spec(),
    )
    covered = []
    for must_hold in ([], [hard]):
        fitted = fit_margins(bare, labels, np.ones(6000), must_hold, Calibration())
        below, above = np.array(fitted.interval_margins)[np.digitize(bare.ages, EDGES)].T
        low, high = bare.intervals.T
        covered.append((low - below <= truth) & (truth <= high + above))
    without, held = covered
    assert without.mean() == pytest.approx(0.8, abs=0.01)
    assert held.mean() == pytest.approx(0.8, abs=0.01)
    assert without[hard].mean() < 0.6
    assert held[hard].mean() > 0.74


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
    from training.calibration import cross_fitted, fit

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
    from training.calibration import drawn_ages

    labels = make_labels([20, 40, 70], high=[29, 40, 100])
    drawn = drawn_ages(np.full((3, 101), 1 / 101, np.float32), labels)
    assert (labels.low <= drawn).all()
    assert (drawn <= labels.high).all()


@needs_keras
def test_drawn_ages_justify_no_narrower_interval() -> None:
    from training.calibration import fit

    rng = np.random.default_rng(0)
    low = rng.integers(0, 8, 600) * 10
    wide = np.exp(-0.5 * ((np.arange(101) - low[:, None] - 4.5) / 9) ** 2)
    observed = make_observations(wide, male=0.5)
    calibration = fit(observed, make_labels(low, high=low + 9), make_spec())
    assert np.array(calibration.interval_margins).min() >= 0


@needs_keras
def test_a_model_without_limits_takes_those_of_quality(tmp_path: Path) -> None:
    from training.calibrate import with_limits
    from training.export import write_spec

    own = make_spec()
    assert with_limits(own, tmp_path) == own
    default = load_spec(MODELS_DIR, "agn-v2")
    write_spec(default, tmp_path)
    limits = with_limits(own, tmp_path).reliability
    assert limits.min_contrast == default.reliability.min_contrast > 0
    assert not limits.heads
    assert limits.age_risk is limits.gender_risk is None
    assert with_limits(default, tmp_path) == default


# Answers


def test_answers_survive_the_table_and_are_compared(tmp_path: Path) -> None:
    count = 80
    labels = make_labels([30] * count, male=[True] * count)
    table = tmp_path / "labels.csv"
    lines = "".join(f"{name},30,M,\n" for name in labels.name)
    table.write_text(f"file,age,gender,race\n{lines}")
    rng = np.random.default_rng(0)
    pair = []
    for name, off, male in (("old", 9, 0.9), ("new", 3, 0.4)):
        ages = (30 + off * rng.choice((-1, 1), count)).astype(np.float32)
        blank = np.zeros(count, np.float32)
        sure = blank + np.float32(male)
        answers = Attributes(ages, np.stack([ages, ages], 1), sure, blank, blank)
        found = np.arange(count) != (3 if name == "old" else 5)
        write_answers(tmp_path / f"{name}.csv", labels.name, found, answers)
        pair += [name, str(tmp_path / f"{name}.csv")]
    out = tmp_path / "out.md"
    compare.main(["--labels", str(table), "--pair", *pair, "--out", str(out)])
    text = out.read_text()
    row = next(line for line in text.splitlines() if line.startswith("| M |"))
    assert (
        row == "| M | 78 | 9.00 → 3.00 | -6.00 to -6.00 | 100.0 % → 0.0 % | **-100.0 to -100.0** |"
    )
    assert "Worse beyond chance in one measure: a all, a M" in text
    assert "| F |" not in text  # no such faces


# From weights to a served model


@needs_keras
def test_weights_survive_the_file_and_the_conversion(tmp_path: Path) -> None:
    import keras

    from age_gender.limits.cpus import CpuShares
    from age_gender.networks.engine import LiteRTEngine
    from modelbuild import agn, weights
    from training.export import publish

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    source = agn.build(32)
    weights.save(agn.weights_of(source), tmp_path / "weights.npz")
    publish(tmp_path / "weights.npz", make_spec(), tmp_path, own=tmp_path / "own")
    agn.convert(tmp_path / "own" / "own.npz", tmp_path, chip_size=32)

    chips = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    outputs = LiteRTEngine(tmp_path / "own.tflite", CpuShares(1)).run(chips)
    expected = agn.serving(source)(chips)
    assert outputs["age"].shape == (3, 101)
    assert np.asarray(expected["age"]) == pytest.approx(outputs["age"], abs=2e-3)
    assert np.asarray(expected["gender"]) == pytest.approx(outputs["gender"], abs=5e-3)
    assert (tmp_path / "own" / "saved_model.pb").is_file()

    names = ["embedding", "conv_pw_11_relu", "conv_pw_5_relu"]
    maps = keras.Model(source.inputs, [source.get_layer(name).output for name in names])(chips)
    means = [np.asarray(m) if m.ndim == 2 else np.asarray(m).mean(axis=(1, 2)) for m in maps]
    assert [m.shape for m in means] == [(3, 1024), (3, 512), (3, 256)]
    assert np.asarray(expected["embedding"]) == pytest.approx(np.concatenate(means, 1), abs=1e-4)


def test_weights_are_pinned_in_the_catalogue() -> None:
    from training.export import pinned

    before = '# head\n\n[own.a]\nversion = "1"\nsha256 = "0"\n\n[own.b]\nversion = "1"\n'
    after = tomllib.loads(pinned(before, "a", "2", "MIT", "ff", 192))
    assert after["own"]["a"] == {
        "version": "2",
        "licence": "MIT",
        "sha256": "ff",
        "revision": 1,
        "chip_size": 192,
    }
    assert after["own"]["b"] == {"version": "1"}
    added = tomllib.loads(pinned(before, "c", "1", "MIT", "ff", 192))
    assert added["own"]["c"]["sha256"] == "ff"


# Recipes


def own_models() -> dict[str, Any]:
    """The networks for age and gender."""
    own = tomllib.loads(CATALOGUE.read_text())["own"]
    return {name: table for name, table in own.items() if "chip_size" in table}


def test_every_committed_model_has_a_recipe() -> None:
    models = Path(__file__).parents[2] / "function" / "age_gender" / "models"
    for name, table in own_models().items():
        recipe, spec = load_recipe(name), load_spec(models, name)
        assert recipe.version == table["version"] == spec.version
        assert (recipe.licence, recipe.provenance) == (spec.licence, spec.data)
        assert recipe.licence == table["licence"]
        assert (recipe.size, recipe.scale) == (spec.chip.size, spec.chip.scale)
        assert table["chip_size"] == spec.chip.size


def test_the_recipes_match_the_committed_weights() -> None:
    own = own_models()
    assert set(own) == {"agn-v2", "agn-v2-research"} <= set(recipe_names())
    assert {path.stem for path in OWN.glob("*.npz")} == {*own, "retinaface"}
    for name, table in own.items():
        assert sha256(OWN / f"{name}.npz") == table["sha256"]
        assert load_recipe(name).phases[-1].name == name


def test_the_default_model_has_seen_no_research_data() -> None:
    assert set(load_recipe("agn-v2").data).isdisjoint({"utk_train", "aaf_train"})
    research = load_recipe("agn-v2-research")
    assert {"utk_train", "aaf_train"} < set(research.data)
    assert "research" in research.licence
    # Nor have the weights that it starts from, as far as they are ours.
    made = {phase.name for phase in load_recipe("agn-v2").phases}
    starts = {phase.start for phase in load_recipe("agn-v2").phases} - made
    assert starts == {"agn-v1-ccby", "open"}


def test_teachers_are_trained_before_they_teach() -> None:
    for name in recipe_names():
        done = {"agn-v2"} if name == "own" else set()
        for phase in load_recipe(name).phases:
            assert set(phase.teachers) <= done
            done.add(phase.name)


def test_an_invalid_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipes.toml"
    path.write_text(
        '[a]\nversion = "1"\n'
        "[b]\ndata = []\n[[b.phases]]\nepoch = 1\n"
        '[c]\nversion = "1"\ndata = []\nlicence = ""\nprovenance = ""\n'
        '[[c.phases]]\nname = "x"\nstart = "y"\nsteps = 1\nrate = 1.0\nseed = 1\n'
    )
    for name, message in (
        ("a", "a: .*phases"),
        ("b", "b: .*epoch"),
        ("c", "the last phase must be called c"),
        ("d", "known: a, b, c"),
    ):
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
    arguments = ["steps", "--name", "agn-v2", "--images", "i", "--labels", labels, "--work", work]
    monkeypatch.setattr("sys.argv", [str(a) for a in arguments])
    with pytest.raises(SystemExit, match=r"training\.train failed"):
        steps.main()
    assert done == ["training.prepare", "training.initial", "training.train"]
    done.clear()
    (work / "prepared" / "faces.npz").touch()
    with pytest.raises(SystemExit, match=r"training\.train failed"):
        steps.main()
    assert done == ["training.initial", "training.train"]
    done.clear()
    (work / "agn-v2" / "open-t0.npz").touch()
    labels.write_text("file,age\na.jpg,3\n")
    with pytest.raises(SystemExit, match="results of another recipe or other tables"):
        steps.main()
    assert done == []


def test_results_of_other_inputs_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "agn-v2"
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
    recipe = load_recipe("agn-v2")
    assert steps.recipe_inputs(replace(recipe, version="9")) == steps.recipe_inputs(recipe)
    assert steps.recipe_inputs(replace(recipe, size=8)) != steps.recipe_inputs(recipe)


@needs_keras
def test_every_step_accepts_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step's parser accepts the command, and the step stops because there is no data."""
    commands = steps.steps(
        load_recipe("agn-v2"),
        images=tmp_path,
        labels=[tmp_path / "none.csv"],
        work=tmp_path / "work",
        faceres=tmp_path,
        models=tmp_path,
        docs=tmp_path,
        leave_out=tmp_path / "clean.csv",
        device="cpu",
    )
    for _, (module, *arguments) in commands:
        if module == "training.train" and not HAS_TORCH:
            continue
        monkeypatch.setattr("sys.argv", [module, *arguments])
        with pytest.raises((FileNotFoundError, DataError)):
            importlib.import_module(module).main()


# Reports


def test_errors_of_over_age_are_counted_by_threshold_and_limit() -> None:
    # Known ages 17 and 18; one of each is predicted with 0.95, the other with 0.4.
    certain = np.zeros((4, 101), np.float32)
    certain[[0, 2], 10], certain[[0, 2], 30] = 0.6, 0.4
    certain[[1, 3], 10], certain[[1, 3], 30] = 0.05, 0.95
    predicted = calibrate(certain, np.full(4, 0.5, np.float32), make_spec())
    labels = make_labels([17, 17, 18, 18], male=[True, False, True, False], race=["", "", "", ""])
    table = over_age(predicted, labels)["18"]
    assert table["faces"] == 4
    assert (table["predicted"], table["share"]) == (pytest.approx(0.675), 0.5)
    assert table["0.5"]["younger_passed"][0] == table["0.5"]["older_refused"][0] == 0.5
    assert table["0.99"]["younger_passed"][0] == 0
    assert table["0.99"]["older_refused"][0] == 1
    assert set(table["by_group"]) == {
        *("M", "F", "up to 3 years younger", "up to 3 years older"),
        *("up to 6 years younger", "up to 6 years older"),
    }
    assert table["by_group"]["M"]["wrong"][0] == 0.5


def test_older_is_calibrated_age_by_age() -> None:
    from training.probabilities import fit_older

    rng = np.random.default_rng(0)
    ages = rng.integers(0, 90, 6000)
    logit = (ages[:, None] - np.arange(101)) / 2 - 1  # too certain and too low
    labels = make_labels(ages + np.rint(rng.logistic(0, 4, 6000)).astype(int).clip(-5, 5))
    fitted_ages, slopes, _ = fit_older(1 / (1 + np.exp(-logit)), labels)
    assert 18 in fitted_ages
    assert all(slope < 1 for slope in slopes)
    ranged = make_labels([10] * 100 + [20] * 100, high=[19] * 100 + [29] * 100)
    assert fit_older(np.full((200, 101), 0.5), ranged)[0] == (20.0,)


def test_a_range_across_the_threshold_proves_nothing() -> None:
    predicted = calibrate(np.full((1, 101), 0.01, np.float32), np.array([0.5]), make_spec())
    assert "18" not in over_age(predicted, make_labels([10], high=[19]))
    assert "60" in over_age(predicted, make_labels([10], high=[19]))


def test_tables_are_read_as_one_without_what_is_left_out(tmp_path: Path) -> None:
    one, two, bad = (tmp_path / name for name in ("a.csv", "b.csv", "bad.csv"))
    one.write_text("file,age,gender\n1.jpg,30,M\n2.jpg,40,F\n")
    two.write_text("file,age_low,age_high,gender,race\nx/3.webp,20,29,F,Black\n")
    bad.write_text("file,reason\n2.jpg,blurred\n")
    labels = read_tables([one, two], bad)
    assert labels.name.tolist() == ["1.jpg", "x/3.webp"]
    assert labels.race.tolist() == ["", "Black"]
    assert set_names(labels.name).tolist() == ["", "x"]
    bad.write_text("name\n2.jpg\n")
    with pytest.raises(DataError, match=r"bad\.csv: missing column file"):
        read_tables([one], bad)


def test_a_hidden_layer_tells_what_no_line_can() -> None:
    points = np.random.default_rng(1).uniform(-1, 1, (800, 2)).astype(np.float32)
    opposite = points[:, 0] * points[:, 1] < 0
    fitted = fit_perceptron(np.concatenate([points * 5 + 3, points], axis=1), opposite)
    others = np.random.default_rng(2).uniform(-1, 1, (400, 2)).astype(np.float32)
    logits = fitted.logits(np.concatenate([others * 5 + 3, others], axis=1))
    clear = np.abs(others[:, 0] * others[:, 1]) > 0.02
    right = (logits > 0) == (others[:, 0] * others[:, 1] < 0)
    assert right[clear].mean() > 0.97
