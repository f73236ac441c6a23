"""A Python program over the generated client: python client.py URL PICTURE."""

import base64
import io
import json
import sys
from pathlib import Path

from age_gender_client import Client
from age_gender_client.api.default import health, model, predict
from age_gender_client.models import (
    PredictFaceDetector,
    PredictFilesPredictForm,
    PredictFilesPredictFormFaceDetector,
    PredictRequest,
    PredictRequestFaceDetector,
    PredictResponse,
    PredictSeveralRequest,
    PredictSeveralRequestFaceDetector,
    PredictSeveralResponse,
    Problem,
)
from age_gender_client.types import File


def main(url: str, picture: bytes) -> None:
    """Send a picture in three ways and twice in one call, and print what came back as JSON."""
    login = "Basic " + base64.b64encode(b"sugar:kubes").decode()
    client = Client(base_url=url, headers={"Authorization": login})
    request = PredictRequest(
        b64=base64.b64encode(picture).decode(),
        face_detector=PredictRequestFaceDetector.ACCURATE,
        return_image=False,
    )
    form = PredictFilesPredictForm(
        image=File(io.BytesIO(picture), "photo.jpg"),
        face_detector=PredictFilesPredictFormFaceDetector.ACCURATE,
        return_image=False,
    )
    answers = [
        predict.sync(client=client, body=request),
        predict.sync(
            client=client,
            body=File(io.BytesIO(picture)),
            face_detector=PredictFaceDetector.ACCURATE,
            return_image=False,
        ),
        predict.sync(client=client, body=form),
    ]
    rows = []
    for answer in answers:
        assert isinstance(answer, PredictResponse), answer
        ages = [face.age for face in answer.details]
        rows.append({"faces": answer.faces, "ages": ages, "warnings": answer.warnings})
    several = predict.sync(
        client=client,
        body=PredictSeveralRequest(
            images=[PredictRequest(b64=request.b64), PredictRequest(b64="AAAA")],
            face_detector=PredictSeveralRequestFaceDetector.ACCURATE,
            return_image=False,
        ),
    )
    assert isinstance(several, PredictSeveralResponse), several
    refused = predict.sync(client=client, body=PredictRequest(b64="AAAA", confidence=2))
    assert isinstance(refused, Problem)
    said = {
        "answers": rows,
        "several": [
            len(result.faces) if isinstance(result, PredictResponse) else result.error.code.value
            for result in several.results
        ],
        "refused": refused.code.value,
        "health": health.sync(client=client).status,
        "model": model.sync(client=client).name,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_bytes())
