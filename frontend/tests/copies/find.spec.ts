import type { Contents } from '@jupyterlab/services';
import { describe, expect, it } from 'vitest';

import { copiesOf, originalOf } from '../../src/copies/find';

const T1 = '2026-11-20_04_12_38-conflict';
const T2 = '2026-11-21_04_12_38-conflict';

/** The contents of a server with these folders; others cannot be listed. */
function holding(folders: Record<string, string[]>): Contents.IManager {
  const get = (path: string): Promise<unknown> => {
    if (!(path in folders)) {
      return Promise.reject(new Error('not found'));
    }
    return Promise.resolve({
      content: folders[path].map(name => ({ name, type: name.endsWith('/') ? 'directory' : 'file' }))
    });
  };
  return { get } as unknown as Contents.IManager;
}

describe('the copies of a document', () => {
  it('are those in the home and beside it, newest first', async () => {
    const contents = holding({
      '': [`n-marie.${T1}.ipynb`, `other-marie.${T2}.ipynb`, 'n.conflict-2026-11-20T04-12-38-someone.ipynb'],
      lab: ['n.ipynb', `n-marie.${T2}.ipynb`]
    });
    const found = await copiesOf(contents, 'lab/n.ipynb');
    expect(found.map(({ path }) => path)).toEqual([`lab/n-marie.${T2}.ipynb`, `n-marie.${T1}.ipynb`]);
    expect(await copiesOf(contents, 'lab/o.ipynb')).toEqual([]);
  });

  it('are found once where the document is in the home', async () => {
    const found = await copiesOf(holding({ '': ['n.ipynb', `n-marie.${T1}.ipynb`] }), 'n.ipynb');
    expect(found.length).toBe(1);
  });

  it('are looked for where one may look', async () => {
    const found = await copiesOf(holding({ '': [`n-marie.${T1}.ipynb`] }), 'Shares/n.ipynb');
    expect(found.length).toBe(1);
  });
});

describe('the document of a copy', () => {
  const contents = holding({ '': ['a-b.ipynb', 'a.ipynb'], empty: [] });

  it.each<[string, string[], string | null]>([
    [`a-b-c.${T1}.ipynb`, [], 'a-b.ipynb'],
    [`a-c.${T1}.ipynb`, ['lab/a.ipynb'], 'a.ipynb'],
    [`n-c.${T1}.ipynb`, ['lab/m.ipynb', 'lab/n.ipynb'], 'lab/n.ipynb'],
    [`empty/a-b-c.${T1}.ipynb`, ['a.ipynb'], 'a.ipynb'],
    [`n-c.${T1}.ipynb`, [], null]
  ])('%s while %j are open is %s', async (copy, open, expected) => {
    expect(await originalOf(contents, copy, open)).toBe(expected);
  });
});
