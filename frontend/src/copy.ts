/** Copies of a document into the user's own home. */

import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Contents } from '@jupyterlab/services';

/** The first of `NAME-Copy1.EXT`, `NAME-Copy2.EXT`, … that is free: the names Jupyter gives its own copies. A copy's copy does not pile up suffixes. */
export function copyName(name: string, taken: ReadonlySet<string>): string {
  const dot = name.lastIndexOf('.');
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const base = stem.replace(/-Copy\d+$/, '');
  for (let number = 1; ; number++) {
    const candidate = `${base}-Copy${number}${extension}`;
    if (!taken.has(candidate)) {
      return candidate;
    }
  }
}

function join(folder: string, name: string): string {
  const trimmed = folder.replace(/^\/+|\/+$/g, '');
  return trimmed === '' ? name : `${trimmed}/${name}`;
}

/**
 * Writes what the document shows now to a new file in `folder` and returns its path. Rejects as the contents manager does.
 *
 * What is shown, not what is in the file: a live document is ahead of its file.
 */
export async function copyDocument(
  contents: Contents.IManager,
  context: DocumentRegistry.Context,
  folder: string
): Promise<string> {
  const listing = await contents.get(folder, { content: true });
  const entries = listing.content as readonly Contents.IModel[];
  const name = context.localPath.slice(context.localPath.lastIndexOf('/') + 1);
  const path = join(folder, copyName(name, new Set(entries.map(entry => entry.name))));
  const model = context.model;
  const isNotebook = context.contentsModel?.type === 'notebook';
  await contents.save(path, {
    type: isNotebook ? 'notebook' : 'file',
    format: isNotebook ? 'json' : 'text',
    content: isNotebook ? model.toJSON() : model.toString()
  });
  return path;
}
