"""The engines that come with the package, registered when this is imported."""

from migration.engine import register
from migration.native.engine import NAME, Native

register(NAME, Native)
