"""From raw outputs to calibrated ages, intervals and probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from age_gender.vision.attributes import AttributeEstimator, calibrate
from age_gender.vision.model_spec import Ages, Calibration
from tests.unit.fakes import FakeEngine, estimator, predicted_by_colour, spec

Float = NDArray[np.float32]


def distribution(*masses: float) -> Float:
    return np.array([masses], np.float32)


def half() -> Float:
    return np.array([0.5], np.float32)


def width(masses: Float, calibration: Calibration) -> float:
    ((low, high),) = calibrate(masses, half(), spec(calibration)).intervals
    return float(high - low)


class TestOlder:
    def test_the_probability_of_being_at_least_so_old(self) -> None:
        predicted = calibrate(distribution(0.1, 0.2, 0.3, 0.4), half(), spec())
        assert predicted.older.shape == (1, 101)
        assert predicted.older[0, :5] == pytest.approx([1.0, 0.9, 0.7, 0.4, 0.0])

    def test_years_follow_the_spec(self) -> None:
        ages = Ages(first=1, step=2)  # 1, 3 and 5 years
        model = spec().model_copy(update={"ages": ages})
        predicted = calibrate(distribution(0.25, 0.25, 0.5), half(), model)
        assert predicted.older[0, :7] == pytest.approx([1, 1, 0.75, 0.75, 0.5, 0.5, 0])

    def test_slope_and_shift_change_the_logit_in_between_too(self) -> None:
        calibration = Calibration(older_ages=(0, 2), older_slopes=(1, 2), older_shifts=(0, 1))
        raw = calibrate(distribution(0.3, 0.3, 0.2, 0.2), half(), spec()).older[0]
        older = calibrate(distribution(0.3, 0.3, 0.2, 0.2), half(), spec(calibration)).older[0]
        for age, slope, shift in ((1, 1.5, 0.5), (2, 2, 1), (3, 2, 1)):
            logit = np.log(raw[age] / (1 - raw[age]))
            assert older[age] == pytest.approx(1 / (1 + np.exp(-slope * logit - shift)), abs=1e-4)
        with pytest.raises(ValueError, match="equally many"):
            Calibration(older_ages=(18,))

    @given(
        st.lists(st.floats(0.001, 1), min_size=101, max_size=101),
        st.floats(0.3, 3),
    )
    def test_it_never_rises_with_the_age(self, masses: list[float], temperature: float) -> None:
        calibration = Calibration(
            age_temperature=temperature,
            older_ages=(10, 50, 60),
            older_slopes=(0.5, 2, 0.5),
            older_shifts=(-2, 2, -2),
        )
        masses_ = np.array([masses], np.float32)
        older = calibrate(masses_ / masses_.sum(), half(), spec(calibration)).older[0]
        assert older[0] >= older[100]
        assert (np.diff(older) <= 0).all()
        assert (older >= 0).all()
        assert (older <= 1).all()


class TestCalibrate:
    def test_age_is_the_mean(self) -> None:
        predicted = calibrate(distribution(0.1, 0.2, 0.3, 0.4), half(), spec())
        assert predicted.ages == pytest.approx([0.2 + 0.6 + 1.2])

    def test_years_follow_the_spec(self) -> None:
        ages = Ages(first=10, step=5)
        predicted = calibrate(
            distribution(0.25, 0, 0.75), half(), spec().model_copy(update={"ages": ages})
        )
        assert predicted.ages == pytest.approx([0.25 * 10 + 0.75 * 20])

    def test_interval_of_an_even_distribution(self) -> None:
        # Mass 0.1 on each of the years 0-9, spread over -0.5 to 9.5: quantile q lies at 10 q - 0.5.
        predicted = calibrate(distribution(*[0.1] * 10), half(), spec())
        np.testing.assert_allclose(predicted.intervals, [[0.5, 8.5]], atol=1e-4)

    def test_interval_cuts_bins_in_proportion(self) -> None:
        # Year 1 holds 0.1 to 0.9 of the mass exactly; 0.9 of it ends within year 2 otherwise.
        predicted = calibrate(distribution(0.1, 0.8, 0.1), half(), spec())
        np.testing.assert_allclose(predicted.intervals, [[0.5, 1.5]], atol=1e-4)
        predicted = calibrate(distribution(0.0, 0.8, 0.2), half(), spec())
        np.testing.assert_allclose(predicted.intervals, [[0.5 + 0.1 / 0.8, 2.0]], atol=1e-4)

    def test_coverage_widens_the_interval(self) -> None:
        even = distribution(*[0.02] * 50)
        widths = [width(even, Calibration(coverage=c)) for c in (0.5, 0.8, 0.95)]
        np.testing.assert_allclose(widths, [25, 40, 47.5], atol=1e-3)

    def test_margin_is_added_on_both_sides(self) -> None:
        masses = np.zeros(101)
        masses[40:60] = 0.05
        plain = calibrate(distribution(*masses), half(), spec()).intervals
        wider = calibrate(distribution(*masses), half(), spec(Calibration(interval_margin=3.5)))
        np.testing.assert_allclose(wider.intervals, plain + np.array([-3.5, 3.5]), atol=1e-4)
        narrower = calibrate(distribution(*masses), half(), spec(Calibration(interval_margin=-2)))
        np.testing.assert_allclose(narrower.intervals, plain + np.array([2, -2]), atol=1e-4)

    def test_temperature_sharpens_and_flattens(self) -> None:
        masses = distribution(*np.exp(-((np.arange(101) - 50) ** 2) / 200.0))
        masses /= masses.sum()
        widths = [width(masses, Calibration(age_temperature=t)) for t in (0.5, 1.0, 2.0)]
        assert widths == sorted(widths)
        # A bell's spread grows with the root of the temperature.
        assert widths[2] / widths[0] == pytest.approx(2, rel=0.05)

    @given(
        masses=st.lists(st.floats(0, 1), min_size=3, max_size=101).filter(lambda v: sum(v) > 0.01),
        temperature=st.floats(0.2, 5),
        margin=st.floats(-30, 30),
        coverage=st.floats(0.05, 0.99),
    )
    def test_interval_always_contains_the_age(
        self, masses: list[float], temperature: float, margin: float, coverage: float
    ) -> None:
        calibration = Calibration(
            age_temperature=temperature, interval_margin=margin, coverage=coverage
        )
        raw = distribution(*masses)
        predicted = calibrate(raw / raw.sum(), half(), spec(calibration))
        ((low, high),) = predicted.intervals
        assert 0 <= low <= predicted.ages[0] <= high

    def test_gender_temperature(self) -> None:
        male = np.array([0.0, 0.2, 0.5, 0.9, 1.0], np.float32)
        even = np.full((5, 2), 0.5, np.float32)
        plain = calibrate(even, male, spec()).male
        np.testing.assert_allclose(plain, male, atol=1e-5)
        softer = calibrate(even, male, spec(Calibration(gender_temperature=2))).male
        # Half the logit: the odds' square root.
        assert softer[3] == pytest.approx(3 / 4, abs=1e-4)
        assert softer[1] == pytest.approx(1 / 3, abs=1e-4)
        assert softer[2] == pytest.approx(0.5)
        assert (np.diff(softer) > 0).all()
        assert np.isfinite(softer).all()

    def test_gender_temperature_by_age(self) -> None:
        by_age = Calibration(gender_ages=(0, 1), gender_temperatures=(2, 1))
        ages = np.array([[1, 0], [0, 1], [0.5, 0.5]], np.float32)
        male = calibrate(ages, np.full(3, 0.9, np.float32), spec(by_age)).male
        between = 1 / (1 + 9 ** -(1 / 1.5))
        assert male.tolist() == pytest.approx([3 / 4, 0.9, between], abs=1e-4)

    def test_types(self) -> None:
        predicted = calibrate(distribution(0.5, 0.5), half(), spec())
        assert {predicted.ages.dtype, predicted.intervals.dtype, predicted.male.dtype} == {
            np.dtype(np.float32)
        }


class TestEstimator:
    @pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 20])
    def test_many_get_the_same_predictions_as_each_alone(self, count: int) -> None:
        chips = np.zeros((count, 64, 64, 3), np.uint8)
        chips[..., 0] = (np.arange(count) * 4 + 3)[:, None, None]
        chips[..., 1] = (np.arange(count) * 10 + 20)[:, None, None]
        together = estimator().estimate(chips)
        np.testing.assert_allclose(together.ages, np.arange(count) * 4 + 3, atol=0.01)
        np.testing.assert_allclose(together.male, (np.arange(count) * 10 + 20) / 255, atol=1e-3)
        alone = [estimator().estimate(chips[i : i + 1]) for i in range(count)]
        np.testing.assert_array_equal(together.ages, np.concatenate([a.ages for a in alone]))
        np.testing.assert_array_equal(
            together.intervals, np.concatenate([a.intervals for a in alone])
        )
        np.testing.assert_array_equal(together.male, np.concatenate([a.male for a in alone]))

    @pytest.mark.parametrize("batch", [1, 8])
    def test_runs_are_no_larger_than_the_batch_and_nothing_is_padded(self, batch: int) -> None:
        engine = FakeEngine(predicted_by_colour, batch)
        predicted = AttributeEstimator(engine, spec()).estimate(np.zeros((20, 64, 64, 3), np.uint8))
        assert len(predicted.ages) == len(predicted.male) == len(predicted.intervals) == 20
        assert max(shape[0] for shape in engine.shapes) == batch
        assert sum(shape[0] for shape in engine.shapes) == 20
