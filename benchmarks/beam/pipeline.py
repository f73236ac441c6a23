"""The back-fill as an Apache Beam pipeline, only to measure it. Runs in Beam's own environment.

``python -m benchmarks.beam.pipeline SOURCE OUT [--direct_num_workers=2 …]``
"""

import argparse
import math
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from age_gender.batch.annotate import Annotator, predict_with
from age_gender.batch.location import locate
from age_gender.batch.storage import StoredObject
from age_gender.limits.limiter import PredictionLimiter
from age_gender.runtime import Runtime
from age_gender.settings import get_settings


class Annotate(beam.DoFn):  # type: ignore[misc]
    """Writes the results of one picture with the code of the trigger and the back-fill."""

    def __init__(self, source: str, out: str):
        """Store the places; models load in the workers."""
        self._source = source
        self._out = out

    def setup(self) -> None:
        """Load the models, once for each of the worker's threads."""
        settings = get_settings()
        runtime = Runtime(settings)
        limiter = PredictionLimiter.from_settings(
            settings, in_flight=1, intake=2, queue=math.inf, timeout=math.inf
        )
        timeout = settings.annotate_storage_timeout
        self._store = locate(self._source, timeout).store
        self._annotator = Annotator(
            locate(self._out, timeout),
            lambda data, options: predict_with(runtime, limiter, data, options),
            settings,
        )

    def process(self, stored: StoredObject) -> Iterator[str]:
        """Yield the status of one picture."""
        yield self._annotator.annotate(self._store, stored).status


def _list(source: str) -> Iterator[StoredObject]:
    place = locate(source, get_settings().annotate_storage_timeout)
    yield from place.store.list(place.prefix)


def main() -> None:
    """Run the pipeline and wait for its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("out")
    own, rest = parser.parse_known_args()
    with beam.Pipeline(options=PipelineOptions(rest, save_main_session=False)) as pipeline:
        (
            pipeline
            | beam.Create([own.source])
            | beam.FlatMap(_list)
            # Otherwise one worker would get all pictures of a listing.
            | beam.Reshuffle()
            | beam.ParDo(Annotate(own.source, own.out))
        )


if __name__ == "__main__":
    main()
