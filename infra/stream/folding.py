"""The module Faust is pointed at to fold: `faust -A infra.stream.folding worker --without-web`."""

from infra.collector import look_seldom
from infra.settings import Settings
from infra.stream.app import fold_app

app = fold_app(Settings())
look_seldom()
