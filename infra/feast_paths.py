"""Where Feast's files lie in the data directory. Knows no Feast, so that everybody may ask."""

from pathlib import Path

from features.views import VIEWS, View


def feast_dir(data_dir: Path) -> Path:
    """The directory of the registry, of `feature_store.yaml` and of the offline tables."""
    return data_dir.resolve() / "feast"


def offline_path(data_dir: Path, view: View) -> Path:
    """The Delta table of one view's offline rows."""
    return feast_dir(data_dir) / "offline" / view.name


def offline_paths(data_dir: Path) -> dict[str, Path]:
    """The tables by the name of their view."""
    return {view.name: offline_path(data_dir, view) for view in VIEWS}
