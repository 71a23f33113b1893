"""The module Faust is pointed at to publish: `faust -A infra.stream.publishing worker --without-web`."""

from infra.settings import Settings
from infra.stream.publish import publish_app

app = publish_app(Settings())
