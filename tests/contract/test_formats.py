"""Every format in every part of the product; see `tests.formats_table`."""

from pathlib import Path

import pytest

from tests import formats_table
from tests.contract.conftest import Client
from tests.markdown import read
from tests.unit import files
from tests.unit.pictures import encoded


def test_the_table_of_formats_is_current(client: Client, tmp_path: Path) -> None:
    made = formats_table.table(client, tmp_path)
    assert formats_table.current(read(formats_table.PAGE)) == made, (
        "run `python -m tests.formats_table`"
    )


def test_the_page_offers_every_ending() -> None:
    from age_gender.vision.formats.kinds import SUFFIXES

    page = read(formats_table.INDEX)
    endings = [ending for endings in SUFFIXES.values() for ending in endings]
    assert f'accept="{",".join(["image/*", *endings, "video/*"])}"' in page


@pytest.mark.parametrize("name", [*files.refused(), *files.others()])
def test_what_is_not_read_is_named_with_what_to_do(client: Client, name: str) -> None:
    _, data = (files.refused() | files.others())[name]
    detail = client.post(data=data, content_type="application/octet-stream").get_json()["detail"]
    assert detail.startswith(f"{name} cannot be read: ")
    assert "HEIC" in detail


def test_a_cut_off_picture_is_answered_with_a_warning(client: Client) -> None:
    whole = encoded(files.IMAGE.repeat(4, 0).repeat(4, 1), "JPEG", quality=95)
    answer = client.post(data=whole, content_type="image/jpeg").get_json()
    assert answer["warnings"] == []
    cut = client.post(data=whole[: len(whole) * 9 // 10], content_type="image/jpeg").get_json()
    assert cut["image_size"] == answer["image_size"]
    (warning,) = cut["warnings"]
    assert "of its 256 rows are missing" in warning
