/** Finds copies of a document, and the document of a copy. */

import type { Contents } from '@jupyterlab/services';

import { copyOf, parseCopy } from './names';

export interface IFound {
  readonly path: string;
  readonly at: Date;
}

/** The folder and the name in a path of the contents API. */
export function split(path: string): [string, string] {
  const slash = path.lastIndexOf('/');
  return [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
}

export function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** The names of the files in a folder; none if it cannot be listed, as that of a file that was shared alone. */
async function names(contents: Contents.IManager, folder: string): Promise<string[]> {
  try {
    const listing = await contents.get(folder, { content: true, type: 'directory' });
    return (listing.content as readonly Contents.IModel[])
      .filter(({ type }) => type !== 'directory')
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** What Cs3api4Lab kept of the document, in the home or beside it, newest first. */
export async function copiesOf(contents: Contents.IManager, path: string): Promise<IFound[]> {
  const [folder, name] = split(path);
  const beside = await names(contents, folder);
  const places = [{ folder, files: beside }];
  if (folder !== '') {
    places.push({ folder: '', files: await names(contents, '') });
  }
  const among = new Set(beside);
  return places
    .flatMap(place =>
      place.files.flatMap(file => {
        const parsed = copyOf(file, name, among);
        return parsed?.origin === 'cs3api4lab' ? [{ path: join(place.folder, file), at: parsed.at }] : [];
      })
    )
    .sort((a, b) => b.at.getTime() - a.at.getTime());
}

/** The document that the file keeps a version of: beside it, or among those that are `open`. Null if it is neither. */
export async function originalOf(
  contents: Contents.IManager,
  path: string,
  open: readonly string[]
): Promise<string | null> {
  const [folder, name] = split(path);
  const originals = parseCopy(name)?.originals ?? [];
  const beside = new Set(await names(contents, folder));
  for (const original of originals) {
    const found = beside.has(original)
      ? join(folder, original)
      : open.find(other => split(other)[1] === original);
    if (found !== undefined) {
      return found;
    }
  }
  return null;
}
