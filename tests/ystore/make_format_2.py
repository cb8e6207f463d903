"""Wrote ``format_2``, once. Run again it would write another store; what is committed must be read for ever."""

import asyncio
import sys
from pathlib import Path

from ystore import Retention, Store
from ystore.testing import update


async def main(root: Path) -> None:
    async with await Store.open(root, retention=Retention(None, 0)) as store:
        for n in range(4):
            await store.append(update(n), f"author {n}", at=1000.0 + n)
        await store.name_version("draft", 2)
        await store.set_base(3, '"3"')
        await store.compact()
    async with await Store.open(root) as store:
        await store.append(update(4), "Zoë", at=1004.0004)
        await store.append(update(5), "", at=1005.0)
        await store.compact()
        await store.append(update(6), "author 6", at=1006.0)
        await store.name_version("naïve", 6)
        await store.name_version("sent", 7)
        await store.name_version("", 6)
        await store.set_meta({"ü": "ö"})
    (root / "lock").unlink()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
