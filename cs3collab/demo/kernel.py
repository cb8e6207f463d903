"""Runs code as a notebook frontend does: in the person's own kernel, the outputs go into the shared document."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
from pycrdt import Map, Text

from cs3collab.errors import CollabError, DeadlineExceeded

RUN_S = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """``outputs`` as nbformat has them."""

    execution_count: int
    outputs: list[dict[str, Any]]

    def write(self, cell: Map[Any]) -> None:
        """Puts the result into a cell of a `jupyter_ydoc.YNotebook`, where the text of a stream is a `Text`."""
        with cell.doc.transaction():
            cell["execution_count"] = self.execution_count
            cell["outputs"].clear()
            for output in self.outputs:
                stream = output["output_type"] == "stream"
                cell["outputs"].append(Map({**output, "text": Text(output["text"])} if stream else output))


async def run(url: str, token: str, source: str) -> Result:
    """Executes `source` in a new Python kernel of the Jupyter server at `url`.

    The messages are those of the kernel protocol over Jupyter Server's websocket (jupyter-client, "Messaging").
    """
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{url}/api/kernels", json={"name": "python3"}) as answer:
            if answer.status != 201:
                raise CollabError(f"no kernel: {answer.status} {await answer.text()}", hint="is ipykernel installed?")
            kernel = (await answer.json())["id"]
        try:
            async with asyncio.timeout(RUN_S), http.ws_connect(f"{url}/api/kernels/{kernel}/channels") as ws:
                return await _execute(ws, source)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the kernel did not finish within {RUN_S:.0f} s") from error
        finally:
            await http.delete(f"{url}/api/kernels/{kernel}")


async def _execute(ws: aiohttp.ClientWebSocketResponse, source: str) -> Result:
    request = _request("execute_request", {"code": source, "silent": False, "store_history": True})
    await ws.send_str(json.dumps(request))
    count, outputs = 0, list[dict[str, Any]]()
    async for frame in ws:
        message = json.loads(frame.data)
        if message.get("parent_header", {}).get("msg_id") != request["header"]["msg_id"]:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            outputs.append({"output_type": "stream", "name": content["name"], "text": content["text"]})
        elif kind in ("display_data", "execute_result", "error"):
            outputs.append({"output_type": kind, **{k: v for k, v in content.items() if k != "transient"}})
        elif kind == "execute_input":
            count = content["execution_count"]
        elif kind == "status" and content["execution_state"] == "idle":
            break
    return Result(count, outputs)


def _request(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": uuid.uuid4().hex, "version": "5.3"}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
