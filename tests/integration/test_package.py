"""What `pip install trimtab` brings: the source archive builds a wheel that has all that a server needs."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def built(source: Path, out: Path, kind: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.iterdir())


def test_a_wheel_from_the_source_archive_has_the_whole_house(tmp_path: Path) -> None:
    with tarfile.open(built(PROJECT, tmp_path / "sdist", "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(built(source, tmp_path / "wheel", "wheel")) as wheel:
        inside = set(wheel.namelist())
    modules = {
        str(path.relative_to(PROJECT)) for part in ("reconciler", "api") for path in (PROJECT / part).rglob("*.py")
    }
    carried = {
        f"reconciler/_share/{path.relative_to(PROJECT)}"
        for part in ("templates", "example-repo")
        for path in (PROJECT / part).rglob("*")
        if path.is_file()
    }
    assert modules | carried <= inside, sorted((modules | carried) - inside)
