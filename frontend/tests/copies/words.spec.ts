// @vitest-environment jsdom
import { beforeAll, describe, expect, it } from 'vitest';

import { CLOCK, ENGLISH } from '../data';

beforeAll(() => {
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

describe('the words for copies', () => {
  it.each([
    [0, '“n.ipynb” has a conflict copy from d5.'],
    [1, '“n.ipynb” has a conflict copy from d5, and 1 older one.'],
    [3, '“n.ipynb” has a conflict copy from d5, and 3 older ones.']
  ])('when there are %i more', async (more, words) => {
    const { describeFound } = await import('../../src/copies/words');
    expect(describeFound('n.ipynb', new Date(5000), more, ENGLISH, CLOCK)).toBe(words);
  });

  it.each([
    [0, 'Nothing of it is missing there'],
    [1, 'but for 1 change that conflicts'],
    [2, 'but for 2 changes that conflict']
  ])('when %i changes conflict', async (conflicts, words) => {
    const { describeMerged } = await import('../../src/copies/words');
    const said = describeMerged('n'.repeat(100), { conflicts, copy: 'c' }, ENGLISH);
    expect(said).toContain(words);
    expect(said.length).toBeLessThan(140);
  });
});
