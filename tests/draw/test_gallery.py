"""The gallery is what its commands make, small, and a stale picture is named."""

from __future__ import annotations

import importlib.util
import shutil

from tests.docs.pages import DOCS

SPEC = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)


def test_gallery_is_up_to_date_and_stale_parts_are_named(tmp_path):
    (tmp_path / "work").mkdir()
    page = gallery.write_page(tmp_path / "work")
    assert gallery.stale_files(tmp_path / "work", page) == [], "run python docs/gallery.py"
    shutil.copytree(DOCS / "gallery", tmp_path / "gallery")
    picture = tmp_path / "gallery/butterfly-hasse.svg"
    picture.write_text(picture.read_text().replace('id="edge-1-0"', 'id="edge-0-1"'))
    (tmp_path / "gallery/rollouts.svg").unlink()
    (tmp_path / "gallery.md").write_text((DOCS / "gallery.md").read_text().replace("10 positions", "11 positions"))
    assert gallery.stale_files(tmp_path / "work", page, tmp_path) == [
        "gallery.md",
        "butterfly-hasse.svg",
        "rollouts.svg",
    ]


def test_pictures_are_small_and_all_shown():
    files = sorted(path.name for path in (DOCS / "gallery").iterdir())
    assert files == sorted(gallery.picture_names())
    assert all((DOCS / "gallery" / name).stat().st_size < 60_000 for name in files)
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert all(f"(gallery/{name})" in page for name in files)
