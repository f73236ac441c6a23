"""How close the networks are to the peak arithmetic rate of the machine."""

from typing import Any

from age_gender.settings import load_settings
from benchmarks.reference import gemm_gflops, model_gflop

DETECTOR_SHAPE = (1, 480, 640, 3)


def measure(latency: dict[str, Any]) -> dict[str, Any]:
    """Minimum times by operation count, next to the times of ``benchmarks.latency``."""
    settings = load_settings()
    folder = settings.models_dir
    rate = gemm_gflops()
    stages = {row["case"]: row["stages_ms"] for row in latency["cases"]}
    one, ten = stages["accurate, 640x480"], stages["accurate, 640x480, 10 faces"]
    detector = model_gflop(folder / "retinaface.tflite", DETECTOR_SHAPE)
    chip = _chip_gflop(settings.attribute_model)
    cases = (
        ("accurate, 640x480: detector", detector, one["detect"]),
        ("age and gender, one face", chip, one["attributes"]),
        ("age and gender, ten faces", 10 * chip, ten["attributes"]),
    )
    return {
        "gemm_gflops": rate,
        "rows": [
            {
                "case": case,
                "gflop": round(gflop, 2),
                "min_ms": round(gflop / rate * 1000, 2),
                "measured_ms": measured,
                "ratio": round(measured / (gflop / rate * 1000), 2),
            }
            for case, gflop, measured in cases
        ],
    }


def _chip_gflop(model: str) -> float:
    from age_gender.vision.model_spec import load_spec

    folder = load_settings().models_dir
    side = load_spec(folder, model).chip.size
    return model_gflop(folder / f"{model}.tflite", (1, side, side, 3))
