"""Live editing of one notebook by people at different institutes, on the CS3 storage they already have."""

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    from cs3collab.jupyter.extension import CS3CollabExtension

    return [{"module": "cs3collab", "app": CS3CollabExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@cs3collab/frontend"}]
