"""The module Faust is pointed at: the app of the role this process was started for."""

from infra.settings import Settings
from infra.stream.app import build

settings = Settings()
app = build(settings, settings.role)
