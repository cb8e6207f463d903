"""Wrote ``format_1``, once. Run again it would write another store; what is committed must be read for ever."""

import asyncio
import sys
from pathlib import Path

from ystore import Store
from ystore.testing import update


async def main(root: Path) -> None:
    async with await Store.open(root) as store:
        for n in range(3):
            await store.append(update(n), f"author {n}", at=1000.0 + n)
            await store.flush()
        await store.compact()
    async with await Store.open(root) as store:
        await store.append(update(3), "Zoë", at=1003.5)
        await store.compact()
        await store.append(update(4), "", at=1004.0)
        await store.append(update(5), "author 5", at=1005.0)
        await store.set_meta({"base_etag": '"0123"', "ü": "ö"})
    (root / "lock").unlink()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
