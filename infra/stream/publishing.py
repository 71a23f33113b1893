"""The module Faust is pointed at to publish: `faust -A infra.stream.publishing worker --without-web`."""

from infra.collector import look_seldom
from infra.settings import Settings
from infra.stepping_back import step_back
from infra.stream.publish import publish_app

# what is derived yields to what it is derived from: on a busy machine folding, archiving and answering come first
BEHIND_THE_FOLD = 10

app = publish_app(Settings())
look_seldom()
step_back(BEHIND_THE_FOLD)
