import { describe, expect, it } from 'vitest';

import { copyOf, parseCopy } from '../../src/copies/names';

const LOCAL = new Date(2026, 10, 20, 4, 12, 38);
const UTC = new Date(Date.UTC(2026, 10, 20, 4, 12, 38));
const AT = '2026-11-20_04_12_38-conflict';

describe('the name of a copy', () => {
  it.each<[string, string[]]>([
    [`RICHARD-einstein.${AT}.ipynb`, ['RICHARD.ipynb']],
    [`my-first-notes-einstein.${AT}.ipynb`, ['my-first-notes.ipynb', 'my-first.ipynb', 'my.ipynb']],
    [`a.b.c-albert.einstein.${AT}.py`, ['a.b.c.py']],
    [`data.tar-einstein.${AT}.gz`, ['data.tar.gz']],
    [`-einstein.${AT}.Makefile`, ['Makefile']],
    [`-marie-curie.${AT}.Makefile`, ['-marie.Makefile', 'Makefile']],
    [`ünï côdé-einstein.${AT}.ipynb`, ['ünï côdé.ipynb']],
    [`a--einstein.${AT}.md`, ['a-.md', 'a.md']]
  ])('%s of Cs3api4Lab', (name, originals) => {
    expect(parseCopy(name)).toEqual({ origin: 'cs3api4lab', originals, at: LOCAL });
  });

  it.each<[string, string]>([
    ['n.conflict-2026-11-20T04-12-38-someone.ipynb', 'n.ipynb'],
    ['n.conflict-2026-11-20T04-12-38-someone-2.ipynb', 'n.ipynb'],
    ['a-b.c-d.conflict-2026-11-20T04-12-38-marie-curie.py', 'a-b.c-d.py'],
    ['Makefile.conflict-2026-11-20T04-12-38-someone', 'Makefile'],
    ['.profile.conflict-2026-11-20T04-12-38-someone', '.profile'],
    [
      'n.conflict-2025-01-01T00-00-00-someone.conflict-2026-11-20T04-12-38-someone.ipynb',
      'n.conflict-2025-01-01T00-00-00-someone.ipynb'
    ]
  ])('%s of ours', (name, original) => {
    expect(parseCopy(name)).toEqual({ origin: 'cs3collab', originals: [original], at: UTC });
  });

  it.each([
    '',
    'n.ipynb',
    'n-conflict.ipynb',
    `einstein.${AT}.ipynb`,
    `n-.${AT}.ipynb`,
    `n-einstein.${AT}`,
    `n-einstein.2026-11-20-conflict.ipynb`,
    `n-einstein.${AT}.ipynb.bak`,
    'n.conflict-2026-11-20-someone.ipynb',
    'n.conflict-2026-11-20T04-12-38.ipynb',
    '.conflict-2026-11-20T04-12-38-someone.ipynb'
  ])('%j is none', name => {
    expect(parseCopy(name)).toBeNull();
  });
});

describe('a copy', () => {
  it.each<[string, string, string[], boolean]>([
    [`n-einstein.${AT}.ipynb`, 'n.ipynb', [], true],
    [`n-einstein.${AT}.ipynb`, 'n.py', [], false],
    [`n-einstein.${AT}.ipynb`, 'n', [], false],
    [`a-b-c.${AT}.ipynb`, 'a.ipynb', ['a.ipynb'], true],
    [`a-b-c.${AT}.ipynb`, 'a.ipynb', ['a.ipynb', 'a-b.ipynb'], false],
    [`a-b-c.${AT}.ipynb`, 'a-b.ipynb', ['a.ipynb', 'a-b.ipynb'], true],
    [`-einstein.${AT}.Makefile`, 'Makefile', ['Makefile'], true],
    ['n.conflict-2026-11-20T04-12-38-someone.ipynb', 'n.ipynb', [], true],
    ['n.ipynb', 'n.ipynb', [], false]
  ])('%s is one of %s beside %j: %s', (copy, name, among, expected) => {
    expect(copyOf(copy, name, new Set(among)) !== null).toBe(expected);
  });
});
