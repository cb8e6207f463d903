"""Which CS3 gateway a Jupyter server talks to, as whom, and where rooms live: one object that all its parts share."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Self

from jupyter_core.paths import jupyter_data_dir
from traitlets import Bool, Dict, Enum, Float, Unicode, default
from traitlets.config import Config, Configurable, LoggingConfigurable

from cs3collab.cs3.auth import TOKEN_KINDS, provider_from
from cs3collab.cs3.files import Files
from cs3collab.cs3.gateway import Gateway
from cs3collab.cs3.session import Session
from cs3collab.errors import CollabError, InvalidInput, NotAuthenticated
from cs3collab.jupyter.paths import PathIds
from cs3collab.jupyter.places import Places
from cs3collab.relay.config import changed_limits, check_url
from cs3collab.types import User

_shared: weakref.WeakValueDictionary[str, CS3Settings] = weakref.WeakValueDictionary()


class CS3Settings(LoggingConfigurable):
    """Configured as ``c.CS3Settings.<name> = ...``. Get it with `instance`, so that a server opens one session and not four."""

    gateway = Unicode("", config=True, help="Address of the site's CS3 gateway, host:port. Default: $CS3COLLAB_GATEWAY.")
    tls = Bool(False, config=True, help="Talk TLS to the gateway.")
    ca = Unicode("", config=True, help="PEM file of the authority that signed the gateway's certificate; empty: the system's.")
    auth = Enum(
        list(TOKEN_KINDS),
        default_value="basic",
        config=True,
        help="How to log in: basic, app-password and machine take username and password; bearer takes token; file and "
        "oidc-file take token_file, which somebody else renews.",
    )
    username = Unicode("", config=True, help="User name at the site. Default: $CS3COLLAB_USERNAME.")
    password = Unicode("", config=True, help="Password or machine secret. Better: password_file, or $CS3COLLAB_PASSWORD.")
    password_file = Unicode("", config=True, help="File that holds the password.")
    token = Unicode("", config=True, help="Access token for auth=bearer. Better: token_file, or $CS3COLLAB_TOKEN.")
    token_file = Unicode("", config=True, help="File with the access token, read again whenever it changes.")
    site = Unicode("", config=True, help="Domain name of the site in the mesh, e.g. cernbox.cern.ch.")
    relay = Unicode("", config=True, help="URL of the site's relay; empty: this server is the authority of its rooms itself.")
    relays = Dict(Unicode(), key_trait=Unicode(), config=True, help="Relay URL by domain, for when this site has no relay.")
    link_url = Unicode("", config=True, help="URL of public links at the site, e.g. https://cernbox.cern.ch/s/{token}.")
    store_dir = Unicode(
        config=True, help="Local folder for journals of live documents. Default: cs3collab in Jupyter's data folder."
    )
    limits = Dict(
        Float(), key_trait=Unicode(), config=True, help="What bounds something, by name, in bytes and seconds; see limits.md."
    )
    check_at_start = Bool(True, config=True, help="Log in when the server starts, and stop with the reason when that fails.")

    @default("gateway")
    def _default_gateway(self) -> str:
        return os.environ.get("CS3COLLAB_GATEWAY", "")

    @default("username")
    def _default_username(self) -> str:
        return os.environ.get("CS3COLLAB_USERNAME", "")

    @default("password")
    def _default_password(self) -> str:
        return os.environ.get("CS3COLLAB_PASSWORD", "")

    @default("token")
    def _default_token(self) -> str:
        return os.environ.get("CS3COLLAB_TOKEN", "")

    @default("store_dir")
    def _default_store_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "cs3collab")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ids = PathIds()
        self.places = Places(self.session, self.ids, site=self.site)
        self._user: User | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[Session] | None = None

    def __repr__(self) -> str:
        return f"CS3Settings({self.username!r} at {self.gateway!r} by {self.auth})"

    @classmethod
    def instance(cls, parent: Configurable | None = None, config: Config | None = None) -> Self:
        """The one instance for what is configured under ``CS3Settings``, by value: extensions get copies of the configuration.

        It lives as long as somebody holds it.
        """
        config = config if config is not None else parent.config if parent is not None else Config()
        section = sorted((name, repr(value)) for name, value in config.get(cls.__name__, {}).items())
        key = hashlib.sha256(repr((cls.__qualname__, section)).encode()).hexdigest()
        found = _shared.get(key)
        if not isinstance(found, cls):
            found = cls(config=config, log=parent.log) if isinstance(parent, LoggingConfigurable) else cls(config=config)
            _shared[key] = found
        return found

    @property
    def user(self) -> User | None:
        """Who the gateway says this is; None before the first login."""
        return self._user

    async def session(self) -> Session:
        """The session of this server's user, opened when first asked for.

        Raises `NotAuthenticated`, `InvalidInput`, `Unavailable`.
        """
        loop = asyncio.get_running_loop()
        opening = self._opening
        if opening is None or self._loop is not loop or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self._opening = loop.create_task(self._open())
            self._loop = loop
        return await asyncio.shield(opening)

    async def files(self) -> Files:
        return Files(await self.session())

    async def close(self) -> None:
        """Closes the session; the next call of `session` opens a new one."""
        opening, self._opening = self._opening, None
        if opening is None or self._loop is not asyncio.get_running_loop():
            return
        opening.cancel()
        done = await asyncio.gather(opening, return_exceptions=True)
        await self.places.close()
        if isinstance(done[0], Session):
            await done[0].gateway.close()

    def check(self) -> None:
        """Looks at the URLs of relays and at the limits, logs in once and blocks until that is done; only for the start.

        Does not log in once the event loop runs. Raises an error that says what to correct.
        """
        if self.relay:
            check_url("CS3Settings.relay", self.relay)
        for domain, url in self.relays.items():
            check_url(f"CS3Settings.relays[{domain!r}]", url)
        changed_limits("CS3Settings.limits", self.limits)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self.check_at_start and self._user is None:
                self._check()

    def _check(self) -> None:
        failures: list[Exception] = []

        def work() -> None:
            try:
                asyncio.run(self._log_in_and_out())
            except Exception as error:  # noqa: BLE001 - carried over to the caller's thread
                failures.append(error)

        # a thread of its own, for the main thread's event loop is the server's and not to be replaced
        thread = threading.Thread(target=work, name="cs3collab-check")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    async def _log_in_and_out(self) -> None:
        await (await self._open()).gateway.close()

    async def _open(self) -> Session:
        if not self.gateway:
            raise InvalidInput(
                "no CS3 gateway is configured", hint="set c.CS3Settings.gateway or $CS3COLLAB_GATEWAY to host:port"
            )
        gateway = Gateway(self.gateway, tls=self.tls, ca=Path(self.ca) if self.ca else None)
        try:
            tokens = provider_from(
                gateway,
                kind=self.auth,
                client_id=self.username,
                secret=self.token if self.auth == "bearer" else await asyncio.to_thread(self._secret),
                token_file=Path(self.token_file) if self.token_file else None,
            )
            session = await Session.open(gateway, tokens)
        except CollabError as error:
            await gateway.close()
            if isinstance(error, NotAuthenticated):
                raise NotAuthenticated(
                    f"the gateway at {self.gateway} refused the login ({self.auth}) of {self.username or 'this user'}",
                    hint="correct CS3Settings.username and the password ($CS3COLLAB_PASSWORD), or the token",
                ) from error
            raise
        self._user = session.user
        return session

    def _secret(self) -> str:
        if not self.password_file:
            return self.password
        try:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"cannot read {self.password_file}: {error}", hint="correct CS3Settings.password_file"
            ) from error
