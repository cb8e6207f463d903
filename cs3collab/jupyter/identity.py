"""Who Jupyter says is typing: the CS3 user this server logs in as.

Switch on with ``c.ServerApp.identity_provider_class = "cs3collab.jupyter.identity.CS3IdentityProvider"``.
"""

from __future__ import annotations

import asyncio
import colorsys
import hashlib
from typing import Any

from jupyter_server.auth.identity import PasswordIdentityProvider, User
from tornado import web
from traitlets import default

from cs3collab import types
from cs3collab.errors import CollabError
from cs3collab.jupyter.settings import CS3Settings

WAIT_S = 5.0
"""How long a request waits for a gateway that does not answer, seconds; who asks is then anonymous."""


def colour(key: str) -> str:
    """A colour of one's own: the hue from `key` (``User.key``), strong enough for a cursor on a light and on a dark page."""
    hue = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) / 2**32
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, 0.45, 0.65))


def initials(name: str) -> str:
    """``Albert Einstein`` is ``AE``, ``einstein`` is ``E``."""
    words = [word for word in name.replace(".", " ").replace("-", " ").replace("_", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (words if len(words) < 3 else [words[0], words[-1]])).upper()


def jupyter_user(user: types.User, chosen_colour: str | None = None) -> User:
    name = user.display_name or user.username or user.opaque_id
    return User(
        username=user.username or user.key,
        name=name,
        display_name=name,
        initials=initials(name),
        color=chosen_colour or colour(user.key),
    )


class CS3IdentityProvider(PasswordIdentityProvider):
    """Tokens, passwords and cookies let people in as in stock Jupyter; who they are comes from storage alone.

    So nobody can call themselves by another's name: only ``color`` may be changed, in the browser's cookie.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = CS3Settings.instance(parent=self.parent, config=self.config)

    @default("updatable_fields")
    def _default_updatable_fields(self) -> list[str]:
        return ["color"]

    async def get_user(self, handler: web.RequestHandler) -> User | None:
        """As stock; the first requests wait until the gateway said who this is."""
        if self._settings.user is None:
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._settings.session()
            except (CollabError, TimeoutError) as error:
                self.log.warning("cannot ask the CS3 gateway who this is: %s", error or "it takes too long")
        return await self._get_user(handler)

    def generate_anonymous_user(self, handler: web.RequestHandler) -> User:
        user = self._settings.user
        return jupyter_user(user) if user is not None else super().generate_anonymous_user(handler)

    def user_from_cookie(self, cookie_value: str) -> User | None:
        """A cookie proves that its bearer was let in; the name in it may be that of an earlier user of this server."""
        known, user = super().user_from_cookie(cookie_value), self._settings.user
        if known is None or user is None:
            return known
        now = jupyter_user(user)
        return jupyter_user(user, known.color) if known.username == now.username else now
