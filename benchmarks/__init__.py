"""How fast cs3collab is, beside stock jupyter-collaboration or a floor measured in the same run."""
