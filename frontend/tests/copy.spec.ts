import { describe, expect, it } from 'vitest';

import { copyName } from '../src/copy';

describe('copyName', () => {
  it.each<[string, string[], string]>([
    ['a.ipynb', [], 'a-Copy1.ipynb'],
    ['a.ipynb', ['a.ipynb', 'a-Copy1.ipynb', 'a-Copy3.ipynb'], 'a-Copy2.ipynb'],
    ['a-Copy1.ipynb', ['a-Copy1.ipynb'], 'a-Copy2.ipynb'],
    ['a.tar.gz', [], 'a.tar-Copy1.gz'],
    ['Makefile', [], 'Makefile-Copy1'],
    ['.profile', [], '.profile-Copy1']
  ])('of %s beside %j is %s', (name, taken, copy) => {
    expect(copyName(name, new Set(taken))).toBe(copy);
  });
});
