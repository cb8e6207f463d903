"""The server extension: stands in for ``jupyter_server_ydoc``, whose place in the settings and whose URLs it takes."""

from __future__ import annotations

import sys
from typing import Any

from jupyter_server.extension.application import ExtensionApp

from cs3collab.collector import settle
from cs3collab.jupyter import history, merging, pen, shares
from cs3collab.jupyter.documents import Documents
from cs3collab.jupyter.handlers import routes
from cs3collab.jupyter.live import Live
from cs3collab.jupyter.settings import CS3Settings
from cs3collab.rooms.room import Tasks

STOCK = "jupyter_server_ydoc"


class CS3CollabExtension(ExtensionApp):
    """Configured as ``c.CS3Settings``. Does nothing where no gateway is configured, so that it may be installed everywhere."""

    name = "cs3collab"
    app_name = "cs3collab"
    description = "Live editing of notebooks on CS3 storage"
    classes = [CS3Settings]

    def initialize_settings(self) -> None:
        self._live: Live | None = None
        app = self.serverapp
        assert app is not None
        self._cs3 = CS3Settings.instance(parent=app, config=app.config)
        if not self._cs3.gateway:
            self.log.info("cs3collab: no CS3 gateway is configured, so nothing is done")
            return
        if app.jpserver_extensions.get(STOCK):
            self.log.critical(
                "cs3collab cannot start: %s is switched on too, and two live servers of one document would tear it apart "
                "(jupyter server extension disable %s)",
                STOCK,
                STOCK,
            )
            sys.exit(1)
        self._live = Live(self._cs3)
        self._tasks = Tasks("browser")
        self._documents = Documents(self._live, app)
        app.web_app.settings[STOCK] = self._documents

    def initialize_handlers(self) -> None:
        if self._live is None or self.serverapp is None:
            return
        page: dict[str, Any] = self.serverapp.web_app.settings.setdefault("page_config_data", {})
        page["disableRTC"] = False
        page["serverSideExecution"] = False
        of_documents = [*history.routes(self._live), *merging.routes(self._live), *pen.routes(self._live)]
        self.handlers.extend([*routes(self._live, self._tasks), *of_documents, *shares.routes(self._live)])

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Jupyter's hook for the moment in which the server is ready."""
        if self._live is not None:
            settle()

    async def stop_extension(self) -> None:
        """Saves what is open, as far as storage lets."""
        if self._live is not None:
            await self._documents.close()
            await self._live.close()
            await self._tasks.cancel()
            await self._cs3.close()
