"""What trains the networks, with PyTorch: losses, chips, damage, normalisation, resuming."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from age_gender.vision.geometry import chip_transforms, roll_angles, warp_chips
from modelbuild import weights as files
from modelbuild.catalogue import OWN
from tests.unit.test_training import make_prepared
from training.data import Prepared
from training.recipes import Phase, Recipe

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install torch==2.13.0 to test the training"
)

torch.set_num_threads(1)  # the networks are tiny; threads would only wait for each other

from training import train  # noqa: E402 - needs PyTorch
from training.chips import Faces, cut  # noqa: E402
from training.covers import surroundings  # noqa: E402
from training.damage import Damage  # noqa: E402
from training.losses import (  # noqa: E402
    SMOOTHING,
    Lesson,
    Targets,
    age_loss,
    age_targets,
    gender_loss,
    smoothed_genders,
    taught_loss,
    trust,
)
from training.network import AgeGender, Folded, blend  # noqa: E402


def targets(low: list[int], high: list[int] | None = None, flatness: float = 0.0) -> Targets:
    lowest = torch.tensor(low, dtype=torch.float32)
    highest = torch.tensor(high or low, dtype=torch.float32)
    middle, male = (lowest + highest) / 2, torch.ones(len(low), dtype=torch.bool)
    spread = (highest - lowest).clamp(min=1)
    distribution, hint = age_targets(lowest, highest, middle, spread, flatness)
    return Targets(lowest, highest, distribution, hint, male, smoothed_genders(male, highest))


# Losses


def test_age_loss_of_an_exact_age_is_least_for_its_own_target() -> None:
    goal = targets([30])
    matching = goal.distribution.clamp(min=1e-9).log()
    shifted = torch.roll(matching, 3, 1)
    assert float(age_loss(matching, goal)) == pytest.approx(0, abs=0.01)
    assert float(age_loss(shifted, goal)) > 0.5


def test_age_loss_of_a_range_is_its_likelihood() -> None:
    inside = torch.zeros(1, 101)
    inside[0, 20:30] = 20.0
    goal = targets([20], [29])
    assert float(age_loss(inside, goal)) == pytest.approx(0, abs=1e-4)
    assert float(age_loss(torch.roll(inside, 30, 1), goal)) > 10


def test_the_hint_draws_a_range_towards_its_guess() -> None:
    middle, end = torch.zeros(1, 101), torch.zeros(1, 101)
    middle[0, 24:26] = end[0, 20:22] = 20.0
    for flatness, more in ((0.0, 0.0), (0.5, 0.5)):
        goal = targets([20], [29], flatness)
        difference = float(age_loss(end, goal)) - float(age_loss(middle, goal))
        assert difference == pytest.approx(more, abs=0.5 if more else 1e-3)
        assert difference >= 0


def test_age_loss_accepts_ages_beyond_the_last_bin() -> None:
    assert torch.isfinite(age_loss(torch.zeros(1, 101), targets([116]))).all()


def test_gender_loss_is_smoothed_cross_entropy_and_less_certain_of_children() -> None:
    male = torch.tensor([True, True, True])
    learned = smoothed_genders(male, torch.tensor([40.0, 9.0, 2.0]))
    assert learned[0] == pytest.approx(1 - SMOOTHING / 2)
    assert learned[0] > learned[1] > learned[2] > 0.5
    p = 1 / (1 + np.exp(-2.0))
    goal = 1 - SMOOTHING / 2
    expected = -goal * np.log(p) - (1 - goal) * np.log(1 - p)
    assert float(gender_loss(torch.tensor([2.0]), learned[:1])) == pytest.approx(expected, abs=1e-5)


def test_labels_that_an_unbiased_teacher_doubts_count_for_less() -> None:
    ages = torch.zeros(2, 101)
    ages[:, 30] = 1.0
    lesson = Lesson(ages, torch.ones(2), ages, torch.tensor([0.99, 0.01]))
    age, gender = trust(targets([32, 70]), lesson)
    assert age.tolist() == pytest.approx([1.0, 0.3])
    assert gender.tolist() == pytest.approx([1.0, 0.3 + 0.7 * 0.01 / 0.25])


# Chips


def test_chips_are_cut_as_the_service_cuts_them() -> None:
    data = make_prepared(4, 96)
    smooth = np.linspace(0, 255, 96)
    picture = np.stack([np.tile(smooth, (96, 1)), np.tile(smooth[:, None], (1, 96))] * 2, -1)
    pictures = np.repeat(picture[None, ..., :3], 4, 0).astype(np.uint8)
    landmarks = data.landmarks + np.array([30, 30], np.float32)
    landmarks[1, [1, 4], 1] += 4  # tilted
    boxes = data.boxes + 30
    faces = Faces(
        *(
            torch.from_numpy(np.array(a))
            for a in (pictures, boxes, landmarks, roll_angles(landmarks))
        )
    )
    chips, points = cut(faces, 64, 1.25, jitter=False)
    transforms = chip_transforms(boxes, landmarks, 1.25, 64)
    expected = warp_chips(pictures[0], transforms, 64)
    assert chips.shape == (4, 3, 64, 64)
    difference = np.abs(chips.permute(0, 2, 3, 1).numpy() - expected.astype(np.float32))
    assert difference.mean() < 3
    assert points.abs().max() < 0.5


def test_every_kind_of_damage_keeps_shape_and_range() -> None:
    torch.manual_seed(0)
    chips = torch.rand(64, 3, 64, 64) * 255
    points = torch.tensor(make_prepared(1).landmarks[0] / 40 - 0.5).expand(64, 5, 2)
    damaged = Damage()(chips.clone(), points)
    assert damaged.shape == chips.shape
    assert torch.isfinite(damaged).all()
    assert 0 <= damaged.min() <= damaged.max() <= 255
    assert (damaged != chips).flatten(1).any(1).all()


def test_surroundings_are_replaced_and_the_face_is_kept() -> None:
    torch.manual_seed(0)
    dark, bright = torch.full((30, 3, 64, 64), 60.0), torch.full((30, 3, 64, 64), 200.0)
    chips = torch.stack([dark, bright], 1).flatten(0, 1)
    points = torch.tensor(make_prepared(1).landmarks[0] / 40 - 0.5).expand(60, 5, 2)
    alone = surroundings(chips, points)
    middle = points[0, 2]
    x, y = (int((value + 0.5) * 64) for value in middle)
    assert torch.allclose(alone[..., y, x], chips[..., y, x], atol=3)
    changed = (alone[:, :, 0, 0] - chips[:, :, 0, 0]).abs().amax(1) > 5
    assert 0.3 < changed.float().mean() < 1  # the blurred are of one colour here


def test_a_batch_stays_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On "meta", which has no memory and refuses to work with the CPU's, as a GPU does."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    device, count = torch.device("meta"), 16
    faces = Faces(
        torch.zeros(count, 160, 160, 3, dtype=torch.uint8, device=device),
        torch.rand(count, 4, device=device),
        torch.rand(count, 5, 2, device=device),
        torch.rand(count, device=device),
    )
    low = torch.rand(count, device=device)
    male = low > 0.5
    distribution, hint = age_targets(low, low + 9, low + 4, low + 1, 0.2)
    learned = Targets(low, low + 9, distribution, hint, male, smoothed_genders(male, low + 9))
    net = AgeGender().to(device, memory_format=torch.channels_last)
    for _ in range(5):  # what is done to a batch is drawn
        chips, points = cut(faces, 64, 1.25, jitter=True)
        damaged = Damage(apart=0.3)(chips.half(), points)
        assert (damaged.device, damaged.dtype) == (device, torch.float16)
        ages, genders = net(damaged.float())
    lesson = Lesson(ages.softmax(1), genders.sigmoid(), ages.softmax(1), genders.sigmoid())
    age_trust, gender_trust = trust(learned, lesson)
    loss = age_trust * age_loss(ages, learned) + gender_trust * gender_loss(
        genders, learned.smoothed
    )
    loss = (loss + taught_loss(ages, genders, lesson, torch.ones_like(low))).mean()
    loss.backward()
    assert loss.device == device


# The network


@pytest.fixture(scope="module")
def committed() -> files.Weights:
    return files.load(OWN / "agn-v2.npz")


def test_restored_normalisation_changes_nothing_and_folds_away(committed: files.Weights) -> None:
    torch.manual_seed(0)
    chips = torch.rand(6, 3, 64, 64) * 255
    net = AgeGender()
    net.restore(committed, chips)
    folded = Folded(committed).eval()
    net.eval()
    with torch.no_grad():
        for one, other in zip(net(chips), folded(chips), strict=True):
            assert torch.allclose(one, other, atol=2e-2)
    again = net.layers()
    assert again.keys() == committed.keys()
    for name, array in committed.items():
        np.testing.assert_allclose(again[name], array, atol=2e-3)


def test_the_network_is_the_one_that_is_served(committed: files.Weights) -> None:
    pytest.importorskip("keras", reason="TensorFlow is not installed")
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    from modelbuild import agn

    model = agn.build(64)
    agn.set_weights(model, committed)
    chips = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = agn.serving(model)(chips)
    with torch.no_grad():
        ages, genders = Folded(committed).eval()(torch.from_numpy(chips).permute(0, 3, 1, 2))
    assert ages.softmax(1).numpy() == pytest.approx(np.asarray(expected["age"]), abs=1e-3)
    assert genders.sigmoid().numpy() == pytest.approx(
        np.asarray(expected["gender"])[:, 0], abs=1e-3
    )


def test_frozen_convolutions_stay_and_nothing_else_does(committed: files.Weights) -> None:
    torch.manual_seed(0)
    chips = torch.rand(6, 3, 64, 64) * 255
    net = AgeGender()
    net.restore(committed, chips)
    net.eval()
    with torch.no_grad():
        before = net(chips)
    net.freeze(13)
    for one, other in zip(net(chips), before, strict=True):
        assert torch.allclose(one, other, atol=1e-2)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    ages, genders = net(chips)
    (ages.square().mean() + genders.square().mean()).backward()
    optimizer.step()
    after = net.layers()
    for name, array in committed.items():
        same = np.allclose(after[name], array, atol=2e-3)
        body = name.startswith("conv1/") or any(f"w_{i}/" in name for i in range(1, 7))
        assert same if body else (after[name] != array).any(), name


def test_a_missing_head_starts_afresh(committed: files.Weights) -> None:
    body = {name: array for name, array in committed.items() if name.startswith("conv")}
    net = AgeGender()
    net.restore(body, torch.rand(2, 3, 64, 64) * 255)
    assert net.hidden.weight.std() > 0


def test_blending_is_the_weighted_mean() -> None:
    one, other = ({"a/0": np.array([value], np.float32)} for value in (1.0, 4.0))
    assert blend([one, other], [2, 1])["a/0"] == pytest.approx([2.0])


# Runs

SMALL = Recipe(
    name="small",
    version="1",
    data=(),
    licence="none",
    provenance="none",
    size=32,
    phases=(
        Phase("first", "agn-v2", steps=2, rate=1e-4, seed=1, batch=4),
        Phase(
            *("second", "first"),
            steps=4,
            rate=1e-4,
            seed=2,
            batch=4,
            teachers=("first",),
            blend=True,
            tilt=0.1,
        ),
        Phase(
            *("small", "second"),
            steps=4,
            rate=1e-4,
            seed=3,
            batch=4,
            teachers=("second",),
            clear=True,
            frozen=13,
            apart=0.5,
        ),
    ),
)


def small_run(folder: Path, committed: files.Weights, data: Prepared) -> train.Trainer:
    shapes = {"feats": (1024, 256), "age": (256, 100), "gender": (256, 1)}
    rng = np.random.default_rng(0)
    faceres = {name: array for name, array in committed.items() if name.startswith("conv")}
    for name, shape in shapes.items():
        faceres[f"{name}/0"] = (rng.normal(0, 0.01, shape)).astype(np.float32)
        faceres[f"{name}/1"] = np.zeros(shape[1], np.float32)
    files.save(faceres, folder / "initial" / "faceres.npz")
    places = [folder / "initial", OWN]
    return train.Trainer(SMALL, data, folder / "run", places, torch.device("cpu"))


def some_faces() -> Prepared:
    data = make_prepared(40)
    labels = data.labels
    ranged = np.arange(40) % 2 == 0
    high = np.where(ranged, labels.low + 9, labels.low)
    race = np.array(["A", "B"])[np.arange(40) % 4 // 2]
    from dataclasses import replace

    return replace(data, labels=replace(labels, high=high, race=race))


def test_training_ends_with_weights_and_a_log(tmp_path: Path, committed: files.Weights) -> None:
    path = small_run(tmp_path, committed, some_faces()).train()
    made = files.load(path)
    assert {n: a.shape for n, a in made.items()} == {n: a.shape for n, a in committed.items()}
    assert all(np.isfinite(array).all() for array in made.values())
    assert (made["conv_pw_5/0"] != committed["conv_pw_5/0"]).any()
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert lines[0].startswith("phase,step,loss,a.mae")
    assert {line.split(",")[0] for line in lines[1:]} == {"first", "second", "small"}
    assert not list((tmp_path / "run").glob("*.checkpoint"))


def test_a_run_that_was_stopped_gives_the_same_weights(
    tmp_path: Path, committed: files.Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = some_faces()
    whole = files.load(small_run(tmp_path / "whole", committed, data).train())
    monkeypatch.setattr(train, "SAVE_EVERY", 0.0)
    advance = train._State.advance

    def stopping(state: Any) -> None:
        if state._phase.name == "small" and state.step == 3:
            raise KeyboardInterrupt
        advance(state)

    monkeypatch.setattr(train._State, "advance", stopping)
    with pytest.raises(KeyboardInterrupt):
        small_run(tmp_path / "parts", committed, data).train()
    assert (tmp_path / "parts" / "run" / "small.checkpoint").exists()
    monkeypatch.setattr(train._State, "advance", advance)
    resumed = files.load(small_run(tmp_path / "parts", committed, data).train())
    for name, array in whole.items():
        np.testing.assert_allclose(resumed[name], array, atol=1e-3, err_msg=name)


def test_missing_weights_are_replaced_and_said(
    tmp_path: Path, committed: files.Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = small_run(tmp_path, committed, some_faces())
    files.save(committed, tmp_path / "initial" / "small.npz")
    assert trainer.weights("open").keys() == committed.keys()
    assert "no weights open: those of small" in capsys.readouterr().out


def test_the_rate_warms_up_and_falls() -> None:
    rates: NDArray[np.floating] = np.array([train.schedule(done) for done in np.linspace(0, 1, 50)])
    assert rates.argmax() in range(1, 6)
    assert (np.diff(rates[6:]) < 0).all()
    assert rates[-1] < 0.02
